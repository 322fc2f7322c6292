"""The life of a response, in the record and in the waiting list together.
Four functions touch both:

- `accepting.accept` writes a response and gives it a place, `starting.start` starts what a worker
  has claimed, `ending.end` ends, and `forgetting.forget` deletes;
- `recovery` gives a list that has lost its memory back what the record holds, `reconciler` mends
  what a process that died has left between the two, and `transitions` is the table that all follow.

It knows no sockets, no HTTP and no engine: doors and workers call it, and it tells them nothing but
what they asked for.
"""
