"""Sinks: SQL plans the rows of a table with pixels, and workers make them and write them into its data files."""
