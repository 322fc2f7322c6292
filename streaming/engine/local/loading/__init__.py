"""Makes of a model's files one that runs: examines, loads, checks the memory, keeps what was made.

Knows no responses.
"""
