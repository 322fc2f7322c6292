"""Gathers what an engine says, and asks it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from streaming.engine.base import (
    Channel,
    ChatMessage,
    Engine,
    EngineEvent,
    Finished,
    GenerationRequest,
    SamplingParams,
    StepRecord,
    TextDelta,
)

PATIENCE = 120.0  # seconds; only so that a broken engine cannot hang the run


class Gathered:
    """All events of an engine; waits by condition, never by time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.events: list[EngineEvent] = []
        self.calls: list[list[EngineEvent]] = []
        self._changed = threading.Condition()

    def sink(self, events: Sequence[EngineEvent]) -> None:
        with self._changed:
            self.events.extend(events)
            self.calls.append(list(events))
            self._changed.notify_all()

    def of(self, response_id: str) -> list[EngineEvent]:
        with self._changed:
            return [event for event in self.events if event.response_id == response_id]

    def wait(self, response_id: str, kind: type = Finished) -> EngineEvent:
        def found() -> EngineEvent | None:
            return next(
                (
                    event
                    for event in self.events
                    if event.response_id == response_id and isinstance(event, kind)
                ),
                None,
            )

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, PATIENCE)
            event = found()
        assert event is not None
        return event

    def text(self, response_id: str, channel: Channel = Channel.TEXT) -> str:
        events = self.of(response_id)
        return "".join(e.text for e in events if isinstance(e, TextDelta) and e.channel is channel)

    def tokens(self, response_id: str) -> list[int]:
        events = self.of(response_id)
        return [token for e in events if isinstance(e, TextDelta) for token in e.tokens]

    def steps(self, response_id: str) -> list[StepRecord]:
        return [
            record
            for record in self.engine.recent_steps()
            if response_id in record.decoded or response_id in record.prefilled
        ]

    def ask(self, response_id: str, text: str, **params: object) -> Finished:
        self.engine.submit(ask(response_id, text, **params))
        event = self.wait(response_id)
        assert isinstance(event, Finished)
        return event


def ask(
    response_id: str, text: str, *, prior: Sequence[int] = (), **params: object
) -> GenerationRequest:
    """A greedy request with one user message."""
    values = {"max_tokens": 24, "seed": 7, "temperature": 0.0, **params}
    return GenerationRequest(
        response_id,
        (ChatMessage("user", text),),
        SamplingParams(**values),  # type: ignore[arg-type]
        tuple(prior),
    )
