"""How many sockets one client may have open at once."""

from __future__ import annotations

from collections import Counter


class SocketCount:
    """How many sockets each owner and each address have open in this process."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def enter(self, keys: tuple[str, ...], bound: int) -> bool:
        """Count a socket under all its keys, or under none if one of them is at the bound."""
        if any(self._open[key] >= bound for key in keys):
            return False
        self._open.update(keys)
        return True

    def leave(self, keys: tuple[str, ...]) -> None:
        self._open.subtract(keys)
        for key in keys:
            if self._open[key] <= 0:
                del self._open[key]

    def __len__(self) -> int:
        return len(self._open)
