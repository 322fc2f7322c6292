"""Decides which turns of a conversation are left out, so that the newest ones fit."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.engine.base import ChatMessage


class TrimSearch:
    """Searches `low` to `high` for the first turn from which on all fits: from the guess on in
    strides that double (exponential search), then by bisection once it is bracketed."""

    def __init__(self, low: int, high: int, guess: int) -> None:
        self._low, self._high = low, high
        self._turn = min(max(guess, low), high)
        self._stride = 1
        self._fits: bool | None = None

    def next(self) -> int | None:
        """Return the turn to try next; None if the search is over."""
        return self._turn if self._low <= self._high else None

    def record(self, fits: bool) -> bool:
        """Take note whether all fits from the turn that `next` returned; return the same."""
        if fits:
            self._high = self._turn - 1
        else:
            self._low = self._turn + 1
        if self._stride and self._fits in (None, fits):
            farther = self._turn - self._stride if fits else self._turn + self._stride
            self._turn = min(max(farther, self._low), self._high)
            self._stride *= 2
        else:
            self._turn = (self._low + self._high) // 2
            self._stride = 0
        self._fits = fits
        return fits


def turns_of(messages: Sequence[ChatMessage]) -> tuple[int, list[int]]:
    """Return how many system messages lead, and the index at which each turn after them begins."""
    head = 0
    while head < len(messages) - 1 and messages[head].role == "system":
        head += 1
    starts = [head]
    starts += [i for i in range(head + 1, len(messages)) if messages[i].role == "user"]
    return head, starts


def chars_of(message: ChatMessage) -> int:
    """Return the characters of all that a prompt may show of a message."""
    return len(message.content) + len(message.reasoning)


def first_within(messages: Sequence[ChatMessage], starts: Sequence[int], chars: int) -> int:
    """Return the first turn from which on there are at most `chars` characters, or the newest
    one."""
    end = len(messages)
    for turn in range(len(starts) - 1, -1, -1):
        chars -= sum(map(chars_of, messages[starts[turn] : end]))
        if chars < 0:
            return min(turn + 1, len(starts) - 1)
        end = starts[turn]
    return 0
