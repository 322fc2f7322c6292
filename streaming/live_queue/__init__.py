"""What operators see of the queue: one poll for all watchers, and the parts that have changed.

Knows no sockets and no admin pages.
"""
