"""What operators see of the queue: one look for all who watch, and what of it is news.

Knows no sockets and no admin pages.
"""
