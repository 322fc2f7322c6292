"""Tokens per second of each running response, counted from one look to the next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

WINDOW = 5.0
"""Seconds that a rate looks back."""

SHORTEST = 1.5
"""Seconds: of less, a rate would only show how the looks fell."""


class Rates:
    """What has been seen of the running responses."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[float, int, int]]] = {}  # (at, tokens, attempt) by id

    def count(self, running: Iterable[dict[str, Any]], now: float) -> None:
        """Note how far each is at `now`, in seconds of any clock that only grows."""
        seen: dict[str, list[tuple[float, int, int]]] = {}
        for row in running:
            known = self._seen.get(row["response_id"], [])
            if known and known[-1][2] != row["attempt"]:
                known = []  # what another attempt goes on with was not said now
            # Of those that are older than the window, the newest one is kept.
            later = [*(at for at, _tokens, _attempt in known), now][1:]
            recent = [one for one, after in zip(known, later, strict=True) if now - after < WINDOW]
            seen[row["response_id"]] = [*recent, (now, row["tokens"], row["attempt"])]
        self._seen = seen

    def of(self, row: dict[str, Any]) -> float | None:
        """Return tokens per second, None while nobody can tell."""
        seen = self._seen.get(row["response_id"])
        if seen and seen[-1][0] - seen[0][0] >= SHORTEST:
            return max(0.0, (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0]))
        # What earlier attempts said counts as tokens, but not the time that they took.
        tokens, since = row["tokens"], row["since"]
        return tokens / since if row["attempt"] == 1 and tokens and since else None
