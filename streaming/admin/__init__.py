"""The operators' pages in the Django admin: the live queue, the history, keys.

Django imports this package for its registrations.
"""

from streaming.admin import conversations, keys, responses, shares

__all__ = ["conversations", "keys", "responses", "shares"]
