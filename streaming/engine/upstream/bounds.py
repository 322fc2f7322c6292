"""How much of a server is listened to, in proportion to what was asked of it.

A server that means well comes nowhere near; one that does not fills no memory and no disk.
"""

from __future__ import annotations

from streaming.engine.upstream import faults

EVENT_BYTES = 262_144
"""Of one event of a stream, or a line of it."""
ERROR_BYTES = 65_536
"""Of the body of an error."""
LIST_BYTES = 2_097_152
"""Of the list of models."""
LISTED_MODELS = 1_000
NAME_CHARS = 200
"""Of a model's name."""
PIECES_A_TOKEN = 8
"""At most: a character may be one."""
CHARS_A_TOKEN = 128
"""On the average of an answer; no token of the usual vocabularies is longer, and few are."""
LEAST_CHARS = 1_024
"""An answer may have so many, however few its tokens."""
DELTA_CHARS = 16_384
"""Of what is passed on at once."""
MOST_TOKENS = 100_000_000
"""A count of more is nonsense, which the record could not hold."""
TOOL_CALLS = 128
"""Of one answer."""

_ANSWERS = 2
"""So often one response may be said: once more after a break."""
_EVENT_BYTES_A_TOKEN = 4_096
_OTHER_BYTES = 1_048_576
_OTHER_EVENTS = 10_000
"""Events of a stream that say nothing: that it is alive, what it has read, what it has used."""


def answer_chars(max_tokens: int) -> int:
    """The most characters that an answer of so many tokens has."""
    return CHARS_A_TOKEN * max_tokens + LEAST_CHARS


class Allowance:
    """What is left of one response, over all its connections. Each method raises UpstreamFault
    when it is used up."""

    def __init__(self, max_tokens: int) -> None:
        self._bytes = _ANSWERS * (_EVENT_BYTES_A_TOKEN * max_tokens + _OTHER_BYTES)
        self._events = _ANSWERS * (PIECES_A_TOKEN * max_tokens + _OTHER_EVENTS)
        self._chars = _ANSWERS * answer_chars(max_tokens)

    def take_bytes(self, count: int) -> None:
        """Of a stream, comments included."""
        self._bytes -= count
        if self._bytes < 0:
            raise faults.too_much("the streams have more bytes than an answer can have")

    def take_event(self) -> None:
        self._events -= 1
        if self._events < 0:
            raise faults.too_much("the streams have more events than an answer can have")

    def take_chars(self, count: int) -> None:
        """Of text that is passed on."""
        self._chars -= count
        if self._chars < 0:
            raise faults.too_much("the answer began anew too often")
