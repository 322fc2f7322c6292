"""The siege: attackers take turns, then all attack together, while others watch what it costs them.

`python -m tests.faults.siege` starts an embedded server with default settings and prints figures;
`docs/faults.md` says what is promised.
"""
