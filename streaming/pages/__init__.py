"""The chat page: views, the tree of a conversation, the side list, preferences.

Know no sockets and no waiting list: what is open, the page's script asks for itself.
"""
