"""What `chiplake demo` shows: a small synthetic archive, a summary of the run, and a picture of it."""
