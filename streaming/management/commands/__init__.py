"""One command a file: it reads options, starts what other rooms have, and prints."""
