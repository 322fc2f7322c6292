"""The life of a response, in the record and in the waiting list together: how it is accepted, how
it ends (`ending.end`, the only way), how it is deleted, restored and reconciled. `transitions` is
the table that they follow.

It knows no sockets, no HTTP and no engine: doors and workers call it, and it tells them nothing but
what they asked for.
"""
