"""Files that are attached to messages: what is in them, as text, and whether they are taken.

It knows no sockets, no HTTP and no engine: doors call `parts.take_parts`.
"""
