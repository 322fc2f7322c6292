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


_OPEN_SOCKETS = SocketCount()


class CountedSocket:
    """One socket of this process, as it is counted."""

    def __init__(self) -> None:
        self._keys: tuple[str, ...] = ()

    def enter(self, keys: tuple[str, ...], bound: int) -> bool:
        """Count the socket under these keys instead of its former ones. If one of them has `bound`
        sockets already, return False and leave it as it was."""
        _OPEN_SOCKETS.leave(self._keys)
        if not _OPEN_SOCKETS.enter(keys, bound):
            _OPEN_SOCKETS.enter(self._keys, bound)
            return False
        self._keys = keys
        return True

    def leave(self) -> None:
        """Count the socket no more."""
        _OPEN_SOCKETS.leave(self._keys)
        self._keys = ()
