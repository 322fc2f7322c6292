"""The database: every query of a response's life, connections, what is kept and for how long.

Knows no waiting list, no sockets and no engine's inside.
"""
