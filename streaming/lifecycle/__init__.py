"""The life of a response: `accept`, `start`, `end` and `forget` are the only functions that touch
the record and the waiting list together; `transitions` is the table they follow.

It knows no sockets, no HTTP and no engine: doors and workers call it, and it tells them nothing but
what they asked for.
"""
