"""The WebSocket consumers for people, programs and operators, with their limits.

Know neither SQL nor how a response is accepted or ended: that is for `lifecycle` and `delivery`.
"""
