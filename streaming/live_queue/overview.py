"""The queue as operators see it, for the page's first rendering and for the socket."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any
from weakref import WeakKeyDictionary

from streaming.waiting_list.forecast import forecast
from streaming.waiting_list.interface import EntryRow, WaitingList, WorkerRow

_ENTRY_FIELDS = [field.name for field in fields(EntryRow) if field.name != "slot"]


class LiveQueue:
    """The queue of one waiting list, as values that JSON can write."""

    # For each list, since pages and sockets make instances of their own.
    _known_prompts: WeakKeyDictionary[WaitingList, dict[str, int]] = WeakKeyDictionary()

    def __init__(self, waiting_list: WaitingList) -> None:
        self._list = waiting_list

    async def look(self) -> dict[str, Any]:
        """Return the queue at this moment.

        `workers` are WorkerRows. `running` are EntryRows with `prompt_tokens`, None until the
        worker has read the prompt. `waiting` are EntryRows in order with `eta`, the seconds until
        they start, as their readers see it, None where it cannot be computed. `paused` and `closed`
        as in Snapshot. Raises whatever the list raises when it cannot be read.
        """
        snapshot = await self._list.snapshot()
        prompts = await self._prompt_tokens(row.response_id for row in snapshot.running)
        etas = forecast(await self._list.load()) if snapshot.waiting else {}
        return {
            "workers": [_worker(row) for row in snapshot.workers],
            "running": [
                _entry(row) | {"prompt_tokens": prompts.get(row.response_id)}
                for row in snapshot.running
            ],
            "waiting": [_entry(row) | {"eta": _eta(etas, row)} for row in snapshot.waiting],
            "paused": snapshot.paused,
            "closed": snapshot.closed,
        }

    async def _prompt_tokens(self, response_ids: Iterable[str]) -> dict[str, int]:
        """Return the known lengths of running prompts, in tokens. The log of each answer is read
        until it has the length; what runs no more is forgotten."""
        known = self._known_prompts.get(self._list, {})
        prompts: dict[str, int] = {}
        for response_id in response_ids:
            tokens = known.get(response_id)
            if tokens is None:
                tokens = _prompt_tokens_in(await self._list.read(response_id, most=1))
            if tokens is not None:
                prompts[response_id] = tokens
        self._known_prompts[self._list] = prompts
        return prompts


def _entry(row: EntryRow) -> dict[str, Any]:
    # `asdict` copies each value deeply, which takes ten times as long for what has no depth.
    values = {name: getattr(row, name) for name in _ENTRY_FIELDS}
    return values | {"since": round(row.since, 1), "asked": round(row.asked, 1)}


def _worker(row: WorkerRow) -> dict[str, Any]:
    return asdict(row) | {"age": round(row.age, 1)}


def _eta(etas: dict[str, float], row: EntryRow) -> float | None:
    seconds = etas.get(row.response_id)
    return None if seconds is None else round(seconds, 1)


def _prompt_tokens_in(events: list[str]) -> int | None:
    """Return the length of the prompt from a log's first event, which is `response.in_progress`
    unless the response was never claimed."""
    if not events:
        return None
    tokens = json.loads(events[0]).get("prompt_tokens")
    return tokens if isinstance(tokens, int) else None
