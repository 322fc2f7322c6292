"""The requests that an engine was given and has not finished."""

from __future__ import annotations

import logging
import threading

from streaming.engine.base import (
    EngineError,
    EngineEvent,
    EventSink,
    Finished,
    FinishReason,
    PassedDelta,
    TextDelta,
)
from streaming.engine.speed import Speed

logger = logging.getLogger("streaming.engine.upstream")


class OpenRequests:
    """Hands on the events of open requests: exactly one Finished for each. For any thread.

    `generated_tokens` counts their tokens since the start.
    """

    def __init__(self) -> None:
        self.sink: EventSink = lambda events: None
        self.generated_tokens = 0
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._speed = Speed()

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, response_id: str) -> bool:
        return response_id in self._open

    @property
    def tokens_per_second(self) -> float:
        """Return the tokens generated per second over the last 10 s."""
        with self._lock:
            return self._speed.per_second()

    def add(self, response_id: str) -> None:
        """Open a request. Raises EngineError (`duplicate`) if it is open already."""
        with self._lock:
            if response_id in self._open:
                raise EngineError(f"Response {response_id} is already open.", "duplicate")
            self._open.add(response_id)

    def publish(self, event: EngineEvent) -> None:
        """Hand an event to the sink, unless its request has finished. The sink's errors are
        logged."""
        with self._lock:
            if event.response_id not in self._open:
                return
            if isinstance(event, Finished):
                self._open.discard(event.response_id)
            if isinstance(event, TextDelta | PassedDelta):
                self.generated_tokens += len(event.tokens)
                self._speed.add(len(event.tokens))
        try:
            self.sink([event])
        except Exception:
            logger.exception("The engine's event sink failed")

    def finish_all(self, reason: FinishReason, code: str = "", message: str = "") -> None:
        """Finish all open requests for one reason."""
        with self._lock:
            left = sorted(self._open)
        for response_id in left:
            self.publish(Finished(response_id, reason, 0, 0, code, message))
