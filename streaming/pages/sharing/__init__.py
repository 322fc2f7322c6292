"""Keeping a conversation as a file or on paper, and showing a copy of it by a link.

Know no sockets: nothing here goes on while it is looked at.
"""
