"""`python -m benchmarks`."""

import sys

from benchmarks.command import main

if __name__ == "__main__":  # each part is a fresh process, which imports this module again
    sys.exit(main(sys.argv[1:]))
