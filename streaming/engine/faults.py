"""Collects the faults that checks find by raising EngineError: all of them, or the first one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streaming.engine.base import EngineError


class Faults:
    """Faults in the order in which they were found, each once. `strict`: the first one is raised
    instead, for those who only want to know whether there is one."""

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
        """Record the EngineError that the block raises, and go on after the block; raise it if
        strict."""
        try:
            yield
        except EngineError as error:
            if self._strict:
                raise
            self.add(error)


def told_by(error: BaseException) -> str:
    """Return what an exception says, for a sentence: its first line, and the second one if the
    first ends with a colon. The class is named where the text is no more than a value."""
    kind, lines = type(error).__name__, str(error).strip().splitlines()
    if isinstance(error, KeyError) or not lines:
        return ": ".join([kind, *lines[:1]])
    said = lines[0].strip()
    return f"{said} {lines[1].strip()}" if said.endswith(":") and len(lines) > 1 else said
