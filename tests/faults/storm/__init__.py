"""The storm: many people ask, leave, come back and cancel, while all that can fail does, at random.

`python -m tests.faults.storm --full` runs the full one and prints what it counted; it exits
with 1 if a promise was broken. `docs/faults.md` says what is checked.
"""
