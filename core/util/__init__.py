"""Small helpers: errors, files, the command line, progress."""
