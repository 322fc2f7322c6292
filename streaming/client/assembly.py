"""Assembles one answer's text and reasoning from numbered events. Knows no connection."""

from __future__ import annotations

from streaming.protocol.server_events import (
    LaterEvent,
    OutputTextDelta,
    ReasoningTextDelta,
    ResponseDone,
    ResponseInProgress,
    ResponsePassedDelta,
)

Numbered = ResponseInProgress | OutputTextDelta | ReasoningTextDelta | ResponseDone
Unread = ResponsePassedDelta | LaterEvent
"""Events of which only the numbers matter."""


class Gap(Exception):
    """Events are missing: those with numbers greater than `starting_after` must be requested."""

    def __init__(self, starting_after: int) -> None:
        super().__init__(starting_after)
        self.starting_after = starting_after


class _Growing:
    """A text that grows by deltas."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0  # in code points

    @property
    def text(self) -> str:
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def set(self, text: str) -> None:
        self._parts, self._length = [text], len(text)

    def append(self, delta: str, offset: int) -> None:
        """Append a delta. Raises Gap if `offset` is not the text's length, in code points."""
        if offset != self._length:
            raise Gap(0)
        self._parts.append(delta)
        self._length += len(delta)


class Assembly:
    """The text and reasoning of all events up to number `sequence`, the last one taken."""

    def __init__(self) -> None:
        self.sequence = 0
        self._text, self._reasoning = _Growing(), _Growing()

    @property
    def text(self) -> str:
        """The text up to event `sequence`."""
        return self._text.text

    @property
    def reasoning(self) -> str:
        """The reasoning up to event `sequence`."""
        return self._reasoning.text

    def take(self, event: Numbered | Unread) -> list[Numbered]:
        """Take an event and return the events for the reader: none if it was taken before.

        `ResponseInProgress` discards what came before it. Before a `ResponseDone` comes whatever
        was missing, since it has the whole answer. Raises Gap.
        """
        if event.sequence_number <= self.sequence:
            return []
        news: list[Numbered] = []
        if isinstance(event, ResponseInProgress):
            self._void()
            news = [event]
        elif isinstance(event, ResponseDone):
            news = [*self._complete(event), event]
        else:
            if event.sequence_number > self.sequence + 1:
                raise Gap(self.sequence)
            if isinstance(event, OutputTextDelta | ReasoningTextDelta):
                is_text = isinstance(event, OutputTextDelta)
                (self._text if is_text else self._reasoning).append(event.delta, event.offset)
                news = [event]
        self.sequence = event.sequence_number
        return news

    def forget(self) -> None:
        """Discard everything: the events are about to be replayed from the first."""
        self.sequence = 0
        self._void()

    def _void(self) -> None:
        self._text, self._reasoning = _Growing(), _Growing()

    def _complete(self, done: ResponseDone) -> list[Numbered]:
        """Return the events that are missing before the end.

        Of an answer that nobody read for long, the server has nothing but the end.
        """
        text, reasoning = self.text, self.reasoning
        identity = {"response_id": done.response_id, "sequence_number": done.sequence_number}
        news: list[Numbered] = []
        if not (done.text.startswith(text) and done.reasoning.startswith(reasoning)):
            prompt_tokens = done.usage.prompt_tokens
            news.append(ResponseInProgress(prompt_tokens=prompt_tokens, **identity))
            text = reasoning = ""
        if rest := done.reasoning[len(reasoning) :]:
            ms = done.timings.reasoning_ms or 0
            offset = len(reasoning)
            news.append(ReasoningTextDelta(delta=rest, offset=offset, reasoning_ms=ms, **identity))
        if rest := done.text[len(text) :]:
            news.append(OutputTextDelta(delta=rest, offset=len(text), **identity))
        self._text.set(done.text)
        self._reasoning.set(done.reasoning)
        return news
