"""The waiting list that many processes share: Lua scripts, connections, what a server must have.

Knows no record and no sockets.
"""
