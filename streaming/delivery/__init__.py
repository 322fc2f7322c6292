"""From the waiting list's events to one reader: viewers, replay, position and ETA.

Knows no sockets, no HTTP and no engine; it decides nothing about a response.
"""
