"""Faults of one thing, found by checks that raise an EngineError each: all, or the first one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streaming.engine.base import EngineError


class Faults:
    """In the order in which they were found, each once. `strict`: the first one is raised where it
    is found, for who only wants to know whether there is one."""

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self.found: list[EngineError] = []

    def add(self, error: EngineError) -> None:
        """Record a fault once by its text; raise it at once if strict."""
        if self._strict:
            raise error
        if str(error) not in map(str, self.found):
            self.found.append(error)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """A block whose EngineError is a fault; with others than strict ones, what comes after it
        goes on."""
        try:
            yield
        except EngineError as error:
            if self._strict:
                raise
            self.add(error)


def told_by(error: BaseException) -> str:
    """What an exception says, for a sentence: its first line, and the next one too where the first
    only says what comes; the name of its kind where it says nothing but a value."""
    kind, lines = type(error).__name__, str(error).strip().splitlines()
    if isinstance(error, KeyError) or not lines:
        return ": ".join([kind, *lines[:1]])
    said = lines[0].strip()
    return f"{said} {lines[1].strip()}" if said.endswith(":") and len(lines) > 1 else said
