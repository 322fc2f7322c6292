"""The frames that watchers of the queue are sent: those parts of a snapshot that have changed.

Pure values: knows no socket, no layer and no clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import itemgetter
from typing import Any

from streaming.waiting_list.interface import EntryRow, WorkerRow

ETA_TOLERANCE = 1.0, 0.1
"""Seconds, and share of the ETA. A new ETA that differs by less than one of them from the one sent,
counted down, is no change: with hundreds that wait, there would be one in every frame."""

_GROWING = {"age", "since", "asked"}
"""Fields in seconds that grow by themselves; watchers count them on."""

_INTERNAL = {"slot"}
"""Fields of an entry that watchers are not sent."""

Stable = Callable[[dict[str, Any]], tuple[Any, ...]]


def _stable(row: type, *more: str) -> Stable:
    names = [name.name for name in fields(row) if name.name not in _GROWING | _INTERNAL]
    return itemgetter(*names, *more)


_STABLE: dict[str, Stable] = {
    "workers": _stable(WorkerRow),
    "running": _stable(EntryRow, "prompt_tokens"),
    "waiting": _stable(EntryRow),
}


@dataclass(frozen=True)
class VersionedSnapshot:
    """The queue at one time. `versions` numbers each part: a greater number than in an earlier
    snapshot says that the part has changed, apart from the fields that watchers count on."""

    parts: Mapping[str, Any]
    versions: Mapping[str, int]
    _texts: dict[str, str] = field(default_factory=dict)

    def frame(self, sent: Mapping[str, int]) -> str | None:
        """Return a `queue.snapshot` with the parts that have changed since the versions `sent`,
        which is {} for a new watcher; None if nothing has.

        Each part is written as JSON once, however many ask.
        """
        changed = [name for name, version in self.versions.items() if sent.get(name) != version]
        if not changed:
            return None
        return f'{{"type":"queue.snapshot",{",".join(map(self._text, changed))}}}'

    def _text(self, name: str) -> str:
        text = self._texts.get(name)
        if text is None:
            value = json.dumps(self.parts[name], separators=(",", ":"))
            text = self._texts[name] = f'"{name}":{value}'
        return text


class SnapshotVersions:
    """Numbers the parts of one snapshot after the other: a part gets a new number if it differs
    from the one that was sent."""

    def __init__(self) -> None:
        self._sent: dict[str, tuple[Any, float]] = {}  # with the time of each
        self._versions: dict[str, int] = {}

    def next(
        self, parts: Mapping[str, Any], now: float, *, whole: bool = False
    ) -> VersionedSnapshot:
        """Return the next snapshot: `parts` as from `LiveQueue.look`, at `now` seconds of any clock
        that only grows. `whole`: every part gets a new number."""
        for name, value in parts.items():
            sent, at = self._sent.get(name, (None, 0.0))
            if whole or name not in self._sent or not is_same(name, sent, value, now - at):
                self._sent[name] = value, now
                self._versions[name] = self._versions.get(name, 0) + 1
        return VersionedSnapshot(dict(parts), dict(self._versions))


def is_same(name: str, sent: Any, value: Any, elapsed: float) -> bool:
    """Return whether a part that was sent `elapsed` seconds ago, counted on since, is `value`."""
    stable = _STABLE.get(name)
    if stable is None:
        return bool(sent == value)
    if len(sent) != len(value):
        return False
    return all(
        stable(old) == stable(new) and _is_as_counted(old.get("eta"), new.get("eta"), elapsed)
        for old, new in zip(sent, value, strict=True)
    )


def _is_as_counted(sent: float | None, eta: float | None, elapsed: float) -> bool:
    if sent is None or eta is None:
        return sent is eta
    counted, (seconds, share) = max(0.0, sent - elapsed), ETA_TOLERANCE
    return abs(eta - counted) < max(seconds, share * counted)


def samples_frame(samples: list[dict[str, Any]], *, whole: bool) -> str:
    """Return a `queue.samples`; `whole`: they replace all that was sent before."""
    return json.dumps(
        {"type": "queue.samples", "samples": samples, "whole": whole}, separators=(",", ":")
    )
