"""What the pages of all operators share: rates, moments, origins, and a board for each language."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from itertools import islice
from typing import Any

from streaming.live_queue.board import Board, Boards
from streaming.live_queue.cells import Look
from streaming.live_queue.moments import Moments
from streaming.live_queue.rates import Rates
from streaming.record import origins
from streaming.record.origins import Origin
from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

ORIGINS_SECONDS = 10.0
"""All origins are read again this often: a prompt that waits may be edited."""

MOST_ORIGINS = 1_000
"""Waiting rows whose origin is read at once; the first ones."""


class Pages:
    """Boards of one look after the other."""

    def __init__(self) -> None:
        self._rates, self._moments = Rates(), Moments()
        self._origins: dict[str, Origin] = {}
        self._reading: asyncio.Task[None] | None = None
        self._read_at = float("-inf")
        self._boards: dict[str, Boards] = {}
        self._current: dict[str, Board] = {}

    def follow(self, look: Look, clock: float) -> None:
        """Count what the next look (as of `LiveQueue.look`) shows, at `clock` seconds of a clock
        that only grows, and have origins read that are not known."""
        self._rates.count(look["running"], clock)
        self._follow_origins(look, clock)

    def make(self, look: Look, now: float, languages: Iterable[str]) -> None:
        """Make the boards of a look that was followed, at `now` in Unix time, and the frames from
        those before; in any thread: with thousands that wait it takes most of a second."""
        dated = self._moments.date(completed(look, self._rates, self._origins), now)
        made = {}
        for language in languages:
            boards = self._boards.setdefault(language, Boards(language))
            made[language] = boards.make(dated, now)
            if before := self._current.get(language):
                made[language].frame(before)
        self._current = made

    def forget(self) -> None:
        """Show nothing until the next look."""
        self._current = {}

    def board(self, language: str) -> Board | None:
        """Return the page of the last look in a language, None before it is made."""
        return self._current.get(language)

    # --- origins ---

    def _follow_origins(self, look: Look, clock: float) -> None:
        """Have new ones read, beside the polls: a slow database delays no frame."""
        ids = [row["response_id"] for row in islice(look["waiting"], MOST_ORIGINS)]
        is_due = clock - self._read_at >= ORIGINS_SECONDS
        wanted = ids if is_due else [name for name in ids if name not in self._origins]
        if not wanted or (self._reading and not self._reading.done()):
            return
        if is_due:
            self._read_at = clock
            self._origins = {name: self._origins[name] for name in ids if name in self._origins}
        self._reading = asyncio.create_task(self._read_origins(wanted))

    async def _read_origins(self, ids: list[str]) -> None:
        try:
            self._origins |= await origins.of(ids)
        except Exception as error:
            log_fault(logger, error, "The origins of waiting prompts could not be read.")


def completed(look: Look, rates: Rates, known: dict[str, Origin]) -> Look:
    """Return a look whose running rows have a `rate`, and its waiting ones `source` and
    `characters` where their origin is known."""

    def originated(row: dict[str, Any]) -> dict[str, Any]:
        origin = known.get(row["response_id"])
        if origin is None:
            return row
        return row | {"source": origin.source, "characters": origin.characters}

    return look | {
        "running": [row | {"rate": rates.of(row)} for row in look["running"]],
        "waiting": [originated(row) for row in look["waiting"]],
    }


def first_board(look: Look, known: dict[str, Origin], language: str, now: float) -> Board:
    """Return the page of a look that no other precedes."""
    dated = Moments().date(completed(look, Rates(), known), now)
    return Boards(language).make(dated, now)
