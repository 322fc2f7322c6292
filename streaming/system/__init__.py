"""The ground: processes that can be killed, private files, bounds of this host, faults that pass.

Knows nothing of chats, queues or models.
"""
