"""A worker: claims from the waiting list, runs an engine, publishes, maintains.

Knows no sockets and no HTTP; an engine only by its interface.
"""
