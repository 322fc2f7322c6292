"""Bounds of what is taken from a server, in proportion to what was asked of it.

A server that means well comes nowhere near them; a hostile one can fill neither memory nor disk.
"""

from __future__ import annotations

from streaming.engine.upstream import faults

EVENT_BYTES = 262_144
"""The longest event of a stream, or line of one."""
ERROR_BYTES = 65_536
"""The longest body of an error; the rest is not read."""
LIST_BYTES = 2_097_152
"""The longest list of models."""
LISTED_MODELS = 1_000
"""The most models of a list; the rest is ignored."""
NAME_CHARS = 200
"""The longest name of a model, a tool or a call."""
PIECES_A_TOKEN = 8
"""The most events for each token that was asked for: a token may come character by character."""
CHARS_A_TOKEN = 128
"""The most characters for each token, on the average of an answer; no token of the usual
vocabularies has more."""
LEAST_CHARS = 1_024
"""Characters that an answer may have, however few its tokens."""
DELTA_CHARS = 16_384
"""The longest text that is passed on at once."""
MOST_TOKENS = 100_000_000
"""The largest count of tokens that is believed; the record could not hold a larger one."""
TOOL_CALLS = 128
"""The most calls of one answer."""

_ANSWERS = 2
"""How often one response may be said: once more after a break."""
_EVENT_BYTES_A_TOKEN = 4_096
_OTHER_BYTES = 1_048_576
_REPETITIONS = 6
"""How often Responses says a part of an answer, or what was asked, beside the deltas."""
_OTHER_EVENTS = 10_000
"""Events of a stream that say nothing, such as keep-alives and counts."""


def answer_chars(max_tokens: int) -> int:
    """Return the most characters that an answer of so many tokens may have."""
    return CHARS_A_TOKEN * max_tokens + LEAST_CHARS


def whole_response_bytes(max_tokens: int, told_bytes: int) -> int:
    """Return the longest event of Responses: the last one has the whole answer, and what was asked
    beside the input, which is `told_bytes` long."""
    return EVENT_BYTES + 2 * told_bytes + _EVENT_BYTES_A_TOKEN * max_tokens


class Allowance:
    """What one response may still take from the server, over all its connections. Each method
    raises UpstreamFault when it is used up."""

    def __init__(self, max_tokens: int) -> None:
        self._bytes = _ANSWERS * (_EVENT_BYTES_A_TOKEN * max_tokens + _OTHER_BYTES)
        self._events = _ANSWERS * (PIECES_A_TOKEN * max_tokens + _OTHER_EVENTS)
        self._chars = _ANSWERS * answer_chars(max_tokens)
        self._with_whole_responses = False

    def add_whole_responses(self, most_bytes: int) -> None:
        """Allow for events that say all of an answer once more, each at most so long; once."""
        if not self._with_whole_responses:
            self._with_whole_responses = True
            self._bytes += _ANSWERS * _REPETITIONS * most_bytes

    def take_bytes(self, count: int) -> None:
        """Take bytes of a stream, comments included."""
        self._bytes -= count
        if self._bytes < 0:
            raise faults.too_much("the streams have more bytes than an answer can have")

    def take_event(self) -> None:
        """Take one event of a stream."""
        self._events -= 1
        if self._events < 0:
            raise faults.too_much("the streams have more events than an answer can have")

    def take_chars(self, count: int) -> None:
        """Take characters of text that is passed on."""
        self._chars -= count
        if self._chars < 0:
            raise faults.too_much("the answer began anew too often")
