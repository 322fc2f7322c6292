"""A crowd's handshakes, or its requests, a few at a time and in their order, so that whoever is
inside is served."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

AT_ONCE = 16
"""So many are being greeted or answered at once. More would be no sooner: sockets have one thread,
and requests, each with its own, share the interpreter with the event loop, which would turn more
slowly for everybody else."""

PATIENCE_SECONDS = 30.0
"""Whoever has stood so long is told to come back."""

_INSIDE_SECONDS = 2.0
"""One who is not greeted by then (the database is away, say) holds up nobody behind it."""


class Comer(Protocol):
    """Who stands in line. Both are called once at most, and not when it has left."""

    def let_in(self) -> None: ...

    def send_away(self) -> None: ...


class Turnstile:
    """Call `leave` with everybody who `enter`ed, when it is greeted or gone; again does no harm."""

    def __init__(self, at_once: int = AT_ONCE, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once = at_once
        self._clock = clock
        self._line: deque[tuple[float, Comer]] = deque()
        self._standing: set[Comer] = set()
        self._inside: dict[Comer, float] = {}
        self._going_on = False

    def enter(self, comer: Comer) -> None:
        """Let in now, or when it is its turn."""
        self._line.append((self._clock(), comer))
        self._standing.add(comer)
        self._go_on()

    def leave(self, comer: Comer) -> None:
        self._standing.discard(comer)
        if self._inside.pop(comer, None) is not None:
            self._go_on()

    def look(self) -> None:
        """Send away who has stood too long, and count nobody who is inside too long; call it about
        once a second."""
        now = self._clock()
        for comer, since in list(self._inside.items()):
            if now - since > _INSIDE_SECONDS:
                del self._inside[comer]
        while self._line and now - self._line[0][0] > PATIENCE_SECONDS:
            _, comer = self._line.popleft()
            if comer in self._standing:
                self._standing.remove(comer)
                comer.send_away()
        self._go_on()

    def _go_on(self) -> None:
        if self._going_on:  # one that left as soon as it was let in: the loop below sees it
            return
        self._going_on = True
        try:
            while self._line and len(self._inside) < self._at_once:
                _, comer = self._line.popleft()
                if comer in self._standing:
                    self._standing.remove(comer)
                    self._inside[comer] = self._clock()
                    comer.let_in()
        finally:
            self._going_on = False
