"""What a user types and imports: the command line, the jobs, maintenance, the demo, and synthetic scenes."""
