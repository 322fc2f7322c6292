"""Lets a crowd's handshakes, or its requests, in a few at a time and in their order, so that those
inside are served."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

AT_ONCE = 16
"""Most that are greeted or answered at once. More would be no sooner: sockets have one thread, and
requests, each with its own, share the interpreter with the event loop, which would turn more
slowly for everybody else."""

PATIENCE_SECONDS = 30.0
"""Seconds in line after which one is told to come back."""

_INSIDE_SECONDS = 2.0
"""Seconds after which one who is not greeted (the database is away, say) holds up nobody behind it.
"""


class Entrant(Protocol):
    """One who stands in line. Each method is called once at most, and not when it has left."""

    def let_in(self) -> None:
        """Be greeted or answered: it is its turn."""
        ...

    def send_away(self) -> None:
        """Be refused: it has stood in line too long."""
        ...


class Turnstile:
    """A line, of whom `at_once` are inside. Everybody who has entered leaves when it is greeted or
    gone."""

    def __init__(self, at_once: int = AT_ONCE, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once = at_once
        self._clock = clock
        self._line: deque[tuple[float, Entrant]] = deque()
        self._standing: set[Entrant] = set()
        self._inside: dict[Entrant, float] = {}
        self._is_admitting = False

    def enter(self, entrant: Entrant) -> None:
        """Let one in now, or when it is its turn."""
        self._line.append((self._clock(), entrant))
        self._standing.add(entrant)
        self._admit()

    def leave(self, entrant: Entrant) -> None:
        """Let the next one in, in the place of one that is greeted or gone. Again does no harm."""
        self._standing.discard(entrant)
        if self._inside.pop(entrant, None) is not None:
            self._admit()

    def look(self) -> None:
        """Send away who has stood too long, and count nobody who is inside too long; call it about
        once a second."""
        now = self._clock()
        for entrant, since in list(self._inside.items()):
            if now - since > _INSIDE_SECONDS:
                del self._inside[entrant]
        while self._line and now - self._line[0][0] > PATIENCE_SECONDS:
            _, entrant = self._line.popleft()
            if entrant in self._standing:
                self._standing.remove(entrant)
                entrant.send_away()
        self._admit()

    def _admit(self) -> None:
        if self._is_admitting:  # one that left as soon as it was let in: the loop below sees it
            return
        self._is_admitting = True
        try:
            while self._line and len(self._inside) < self._at_once:
                _, entrant = self._line.popleft()
                if entrant in self._standing:
                    self._standing.remove(entrant)
                    self._inside[entrant] = self._clock()
                    entrant.let_in()
        finally:
            self._is_admitting = False
