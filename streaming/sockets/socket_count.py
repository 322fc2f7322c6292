"""Counts the sockets that each client has open."""

from __future__ import annotations

from collections import Counter


class SocketCount:
    """The open sockets of this process, by owner and by address."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def enter(self, keys: tuple[str, ...], bound: int) -> bool:
        """Count a socket under all its keys. If one of them has `bound` sockets already, return
        False and count nothing."""
        if any(self._open[key] >= bound for key in keys):
            return False
        self._open.update(keys)
        return True

    def leave(self, keys: tuple[str, ...]) -> None:
        """Count a socket no more under its keys."""
        self._open.subtract(keys)
        for key in keys:
            if self._open[key] <= 0:
                del self._open[key]

    def __len__(self) -> int:
        return len(self._open)
