"""The WebSocket doors, for people, programs and operators: who may enter, at what cost.

Know neither SQL nor how a response is accepted or ended: they ask `lifecycle` and `delivery`.
"""
