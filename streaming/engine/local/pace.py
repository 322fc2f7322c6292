"""How many prompt tokens a step may read, so that those who decode hardly notice.

Chunked prefill beside decoding: Agrawal et al. 2023, "Sarathi", arXiv:2308.16369. The size of a
chunk follows from what steps have taken lately, since a token of a long prompt takes longer than
one of a short prompt, and every machine and model has its own speed.
"""

from __future__ import annotations

STRETCH = 2.0
"""A step that also reads prompts may last so many times as long as one that only decodes,"""

UNNOTICED = 0.1
"""or so many seconds, if that is more: readers still get 10 tokens a second. With short steps the
first rule alone would read prompts in small pieces, and let those who wait for their first token
pay for a speed that nobody reads at."""

BEARABLE = 0.25
"""Where more prompts wait to be read than answers are being written, a step may last longer in
that proportion, up to so many seconds: all of them start sooner, and a step that decodes few rows
costs nearly as much as one that decodes many. Four tokens a second are still read as they come."""

LEAST = 16
"""A prompt must get on, however slow the machine is."""

_FIRST = 128  # before anything is known
_WEIGHT = 0.2  # of the newest step in the moving averages


class Pace:
    """`most` bounds the tokens of any step; what nobody has to wait for is read in such steps."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError("most must be at least 1")
        self.most = most
        self._decode_seconds: float | None = None  # a step that only decodes
        self._token_seconds: float | None = None  # what one prompt token adds to a step

    def budget(self, decoding: int, reading: int = 1) -> int:
        """The prompt tokens for the next step, in which so many rows decode while so many prompts
        are not read yet."""
        if not decoding:
            return self.most
        if self._decode_seconds is None or self._token_seconds is None:
            return min(self.most, _FIRST)
        crowded = min(BEARABLE, UNNOTICED * max(1.0, reading / decoding))
        spare = max(STRETCH * self._decode_seconds, crowded) - self._decode_seconds
        return min(self.most, max(LEAST, int(spare / self._token_seconds)))

    def learn(self, decoded: int, read: int, seconds: float) -> None:
        """A step in which `decoded` rows got a token and `read` prompt tokens were read took so
        long."""
        if not read:
            self._decode_seconds = _average(self._decode_seconds, seconds)
            return
        alone = (self._decode_seconds or 0.0) if decoded else 0.0
        # A step never costs less than nothing; the bound keeps a fluke from opening the door.
        added = max(seconds - alone, seconds / 4)
        self._token_seconds = _average(self._token_seconds, added / read)


def _average(known: float | None, newest: float) -> float:
    return newest if known is None else known + _WEIGHT * (newest - known)
