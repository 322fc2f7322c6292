"""How many prompt tokens a step may read, so that those who decode hardly notice.

Chunked prefill beside decoding: Agrawal et al. 2023, "Sarathi", arXiv:2308.16369. The size of a
chunk follows from what steps have taken lately, since a token of a long prompt takes longer than
one of a short prompt, and every machine and model has its own speed.
"""

from __future__ import annotations

MAX_SLOWDOWN = 2.0
"""A step that also reads prompts may always take this many times as long as one that only decodes.
The seconds below allow more where steps are short."""

UNNOTICED_SECONDS = 0.05
"""Seconds that any step may take: readers still get 20 tokens a second. With short steps
MAX_SLOWDOWN alone would read prompts in small pieces, and let those who wait for their first token
pay for a speed that nobody reads at."""

SHORT_PROMPT_TOKENS = 512
"""Tokens to be read of a prompt that is short."""

SHORT_PROMPT_SECONDS = 0.12
"""Seconds that a step may take where all prompts that wait are short. Each such step costs some
milliseconds however few tokens it reads: two of them are over sooner than a dozen small ones, and
readers have more text by then. For a long prompt it would be a stutter that lasts."""

CROWD_SECONDS = 0.25
"""Seconds that a step may take at most where several prompts wait: four tokens a second are still
read as they come, and all who wait start sooner, for each step costs much the same however few
rows decode in it."""

READERS_PER_PROMPT = 8
"""Readers for whom one prompt more goes unnoticed; with more prompts than that a step may take
longer in proportion."""

LEAST_TOKENS = 16
"""Prompt tokens that a step reads at least, however slow the machine is."""

_FIRST = 128  # prompt tokens of a step before anything is known
_WEIGHT = 0.2  # of the newest step in the moving averages


class PrefillBudget:
    """Chooses how many prompt tokens a step reads, `most` of them at most: so many where nobody
    decodes."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError("most must be at least 1")
        self.most = most
        self._decode_seconds: float | None = None  # a step that only decodes
        self._token_seconds: float | None = None  # what one prompt token adds to a step

    def budget(
        self, decoding: int, reading: int = 1, longest: int = SHORT_PROMPT_TOKENS + 1
    ) -> int:
        """Return the most prompt tokens for the next step, in which `decoding` rows decode while
        `reading` prompts are not read yet, the longest of which has `longest` tokens."""
        if not decoding:
            return self.most
        if self._decode_seconds is None or self._token_seconds is None:
            return min(self.most, _FIRST)
        crowd = READERS_PER_PROMPT * (reading - 1) / decoding
        patience = min(CROWD_SECONDS, UNNOTICED_SECONDS * max(1.0, crowd))
        if longest <= SHORT_PROMPT_TOKENS:
            patience = max(SHORT_PROMPT_SECONDS, patience)
        spare = max(MAX_SLOWDOWN * self._decode_seconds, patience) - self._decode_seconds
        return min(self.most, max(LEAST_TOKENS, int(spare / self._token_seconds)))

    def learn(self, decoded: int, read: int, seconds: float) -> None:
        """Note that a step took `seconds` in which `decoded` rows got a token and `read` prompt
        tokens were read."""
        if not read:
            self._decode_seconds = _average(self._decode_seconds, seconds)
            return
        alone = (self._decode_seconds or 0.0) if decoded else 0.0
        # A step never costs less than nothing; the bound keeps a fluke from opening the door.
        added = max(seconds - alone, seconds / 4)
        self._token_seconds = _average(self._token_seconds, added / read)


def _average(known: float | None, newest: float) -> float:
    return newest if known is None else known + _WEIGHT * (newest - known)
