"""Everything measured on one machine by one command: `python -m benchmarks`.

docs/benchmarks.md says how each figure is made and how to read it.
"""
