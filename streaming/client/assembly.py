"""One answer's text and thought, put together from numbered events. Knows no connection."""

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
"""Events whose numbers count, and nothing else."""


class Gap(Exception):
    """Events are missing; ask for those after number `starting_after`."""

    def __init__(self, starting_after: int) -> None:
        super().__init__(starting_after)
        self.starting_after = starting_after


class _Growing:
    """A text in pieces."""

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
        """Raises Gap for what does not follow."""
        if offset != self._length:
            raise Gap(0)
        self._parts.append(delta)
        self._length += len(delta)


class Assembly:
    """`sequence` is the number of the last event taken; `text` and `reasoning` all that it and
    those before say."""

    def __init__(self) -> None:
        self.sequence = 0
        self._text, self._reasoning = _Growing(), _Growing()

    @property
    def text(self) -> str:
        """The answer's text up to event `sequence`."""
        return self._text.text

    @property
    def reasoning(self) -> str:
        """The reasoning up to event `sequence`."""
        return self._reasoning.text

    def take(self, event: Numbered | Unread) -> list[Numbered]:
        """What a reader must be told because of an event: nothing if it is known already.

        `ResponseInProgress` voids what stands before it. Before a `ResponseDone` stands whatever
        was missing, since that one knows the whole answer. Raises Gap.
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
        """Begin from nothing: the events are about to be replayed."""
        self.sequence = 0
        self._void()

    def _void(self) -> None:
        self._text, self._reasoning = _Growing(), _Growing()

    def _complete(self, done: ResponseDone) -> list[Numbered]:
        """The end may be all that is left of an answer that nobody read for long."""
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
