"""How many large request bodies are received at once."""

from __future__ import annotations


class LargeBodies:
    """Admits requests whose bodies are kept in files, `most` at once."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._requests: set[object] = set()

    def enter(self, request: object) -> bool:
        """Admit a request. Return False if there are too many."""
        if len(self._requests) >= self._most:
            return False
        self._requests.add(request)
        return True

    def leave(self, request: object) -> bool:
        """Count a request no more. Return whether it was one of them."""
        if request in self._requests:
            self._requests.remove(request)
            return True
        return False
