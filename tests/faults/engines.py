"""Engines for clients that misbehave."""

from __future__ import annotations

from collections.abc import Iterator

from streaming.engine.base import EngineEvent, TextDelta
from streaming.markup import code
from tests.support.fake_engine import FakeEngine, ProcessEngine, _Row, words

WORD_BYTES = 8000


def loud_text(count: int) -> str:
    return "".join(word.ljust(WORD_BYTES, ".") for word in words(count))


class LoudEngine(FakeEngine):
    """Says words of WORD_BYTES each where the prompt begins with `loud`."""

    def __init__(self, model: str | None, *, max_running: int, **arguments: object) -> None:
        super().__init__(max_running=max_running, step_seconds=0.005)

    def _step(self, row: _Row) -> Iterator[EngineEvent]:
        loud = row.request.messages[-1].content.startswith("loud")
        for event in super()._step(row):
            if loud and isinstance(event, TextDelta):
                padded = event.text.ljust(WORD_BYTES, ".")
                event = TextDelta(event.response_id, padded, event.tokens)
            yield event


class CarelessEngine(ProcessEngine):
    """The fake in a process that highlights code whose lexers take years for it."""

    def __init__(self, model: str | None, *, max_running: int, **arguments: object) -> None:
        super().__init__(model, max_running=max_running, **arguments)
        code.LANGUAGES |= {"maple", "systemd", "ldif", "autoit"}
