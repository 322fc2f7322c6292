"""The waiting list of one process: no `await` inside an operation.

Knows no Redis, no record and no sockets.
"""
