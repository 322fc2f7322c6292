"""What a watcher of the queue is sent: the parts of a look that are news, each written once.

Pure values; knows no socket, no layer and no clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import itemgetter
from typing import Any

from streaming.waiting_list.base import EntryRow, WorkerRow

ETA_TOLERANCE = 1.0, 0.1
"""An ETA that is off from one that counts down by less than so many seconds, or by less than this
share of it, is no news: with hundreds that wait, it would be in every frame."""

_COUNTED_ON = {"age", "since", "asked"}
"""Seconds that grow by themselves, on the watcher's side too."""

_UNTOLD = {"slot"}
"""Of an entry, what watchers are not told."""

Stable = Callable[[dict[str, Any]], tuple[Any, ...]]


def _stable(row: type, *more: str) -> Stable:
    names = [name.name for name in fields(row) if name.name not in _COUNTED_ON | _UNTOLD]
    return itemgetter(*names, *more)


_STABLE: dict[str, Stable] = {
    "workers": _stable(WorkerRow),
    "running": _stable(EntryRow, "prompt_tokens"),
    "waiting": _stable(EntryRow),
}


@dataclass(frozen=True)
class Moment:
    """A look at the queue. The number in `versions` of each part tells whether it is another one
    than before, but for what the watcher counts on."""

    parts: Mapping[str, Any]
    versions: Mapping[str, int]
    _texts: dict[str, str] = field(default_factory=dict)

    def frame(self, told: Mapping[str, int]) -> str | None:
        """A `queue.snapshot` for whom `told` was the last, {} at first; None without news.

        However many ask, each part is written as JSON once.
        """
        news = [name for name, version in self.versions.items() if told.get(name) != version]
        if not news:
            return None
        return f'{{"type":"queue.snapshot",{",".join(map(self._text, news))}}}'

    def _text(self, name: str) -> str:
        text = self._texts.get(name)
        if text is None:
            value = json.dumps(self.parts[name], separators=(",", ":"))
            text = self._texts[name] = f'"{name}":{value}'
        return text


class Moments:
    """One look after the other, compared with what was told before."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[Any, float]] = {}  # with the time of each
        self._versions: dict[str, int] = {}

    def next(self, look: Mapping[str, Any], now: float, *, whole: bool = False) -> Moment:
        """`look` as from LiveQueue, at `now` seconds of any clock that only grows. `whole`: all
        of it is told again."""
        for name, value in look.items():
            told, at = self._told.get(name, (None, 0.0))
            if whole or name not in self._told or not is_same(name, told, value, now - at):
                self._told[name] = value, now
                self._versions[name] = self._versions.get(name, 0) + 1
        return Moment(dict(look), dict(self._versions))


def is_same(name: str, told: Any, value: Any, elapsed: float) -> bool:
    """Whether who was told a part so many seconds ago still knows it."""
    stable = _STABLE.get(name)
    if stable is None:
        return bool(told == value)
    if len(told) != len(value):
        return False
    return all(
        stable(old) == stable(new) and _is_as_counted(old.get("eta"), new.get("eta"), elapsed)
        for old, new in zip(told, value, strict=True)
    )


def _is_as_counted(told: float | None, eta: float | None, elapsed: float) -> bool:
    if told is None or eta is None:
        return told is eta
    counted, (seconds, share) = max(0.0, told - elapsed), ETA_TOLERANCE
    return abs(eta - counted) < max(seconds, share * counted)


def samples_frame(samples: list[dict[str, Any]], *, whole: bool) -> str:
    """A `queue.samples`; `whole`: they replace all before."""
    return json.dumps(
        {"type": "queue.samples", "samples": samples, "whole": whole}, separators=(",", ":")
    )
