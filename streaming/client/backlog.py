"""The events that a reader has not taken yet: bounded, without losing text."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice

from streaming.protocol.response_events import (
    FunctionCallArgumentsDelta,
    Numbered,
    OutputTextDelta,
    ReasoningTextDelta,
    RefusalDelta,
    ResponseCreated,
    ResponseInProgress,
    ResponseQueued,
    ResponseQueuePosition,
    ResponseUpdated,
)

AnswerEvent = ResponseCreated | ResponseQueued | ResponseQueuePosition | ResponseUpdated | Numbered

_POSITIONS = (ResponseQueued, ResponseQueuePosition)
_DELTAS = (OutputTextDelta, ReasoningTextDelta, RefusalDelta, FunctionCallArgumentsDelta)
_Delta = OutputTextDelta | ReasoningTextDelta | RefusalDelta | FunctionCallArgumentsDelta
_Text = tuple[type, str, int]


class Backlog:
    """At most `bound` events, and the beginnings and ends of items and parts beyond it: further
    text is joined to the last delta of the same text.

    A place replaces the place before it, and an answer that begins anew removes what is void.
    """

    def __init__(self, bound: int = 256) -> None:
        self._bound = bound
        self._events: deque[AnswerEvent] = deque()
        self._joined: dict[_Text, list[str]] = {}  # to add to a text's last delta
        self._ended = False
        self._error: Exception | None = None
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: AnswerEvent) -> None:
        """Add an event for the reader. Deltas beyond the bound are joined, and a queue position
        replaces the one before it."""
        last = self._events[-1] if self._events else None
        if isinstance(event, _DELTAS):
            if len(self._events) >= self._bound and self._has(_text_of(event)):
                self._joined.setdefault(_text_of(event), []).append(event.delta)
                return
        elif isinstance(event, _POSITIONS) and isinstance(last, _POSITIONS):
            self._events.pop()
        elif isinstance(event, ResponseInProgress):
            self._joined.clear()
            kept = (ResponseCreated, ResponseUpdated, *_POSITIONS)
            self._events = deque(e for e in self._events if isinstance(e, kept))
        self._join()
        if isinstance(event, ResponseUpdated):
            # Only the newest prompt counts.
            self._events = deque(e for e in self._events if not isinstance(e, ResponseUpdated))
        self._events.append(event)
        self._news.set()

    def end(self, error: Exception | None = None) -> None:
        """Accept no more events; `get` raises `error` once all were read."""
        self._ended = True
        self._error = error
        self._news.set()

    async def get(self) -> AnswerEvent | None:
        """Wait for the next event and return it, None after the last. Raises `end`'s error."""
        while not self._events:
            if self._error:
                raise self._error
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        first = self._events[0]
        text = _text_of(first) if isinstance(first, _DELTAS) else None
        if text in self._joined and not self._has(text, beyond=1):
            self._join()
        return self._events.popleft()

    def _has(self, text: _Text, beyond: int = 0) -> bool:
        return any(
            isinstance(event, _DELTAS) and _text_of(event) == text
            for event in islice(self._events, beyond, None)
        )

    def _join(self) -> None:
        for at in range(len(self._events) - 1, -1, -1):
            last = self._events[at]
            if isinstance(last, _DELTAS) and (more := self._joined.pop(_text_of(last), None)):
                delta = last.delta + "".join(more)
                self._events[at] = last.model_copy(update={"delta": delta})
            if not self._joined:
                break


def _text_of(event: _Delta) -> _Text:
    """Return which text a delta belongs to."""
    return type(event), event.item_id, getattr(event, "content_index", 0)
