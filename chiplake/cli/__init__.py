"""The command line, `chiplake …`: a module a command. A command parses, calls one function and prints."""
