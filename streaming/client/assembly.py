"""The text of one answer, put together from numbered events. Knows no connection."""

from __future__ import annotations

from streaming.protocol import (
    OutputTextDelta,
    ResponseDone,
    ResponseInProgress,
    ResponsePassedDelta,
)

Numbered = ResponseInProgress | OutputTextDelta | ResponseDone


class Gap(Exception):
    """Events are missing; ask for those after number `starting_after`."""

    def __init__(self, starting_after: int) -> None:
        super().__init__(starting_after)
        self.starting_after = starting_after


class Assembly:
    """`sequence` is the number of the last event taken; `text` all that it and those before say."""

    def __init__(self) -> None:
        self.sequence = 0
        self._parts: list[str] = []
        self._length = 0  # in code points

    @property
    def text(self) -> str:
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def take(self, event: Numbered | ResponsePassedDelta) -> list[Numbered]:
        """What a reader must be told because of an event: nothing if it is known already.

        `ResponseInProgress` voids the text before it. Before a `ResponseDone` stands whatever
        was missing, since that one knows the whole text. Raises Gap.
        """
        if event.sequence_number <= self.sequence:
            return []
        if isinstance(event, ResponseInProgress):
            self._void()
        elif isinstance(event, OutputTextDelta):
            self._append(event)
        elif isinstance(event, ResponsePassedDelta):  # the end has it whole
            if event.sequence_number > self.sequence + 1:
                raise Gap(self.sequence)
            self.sequence = event.sequence_number
            return []
        else:
            news = self._complete(event)
            self.sequence = event.sequence_number
            return [*news, event]
        self.sequence = event.sequence_number
        return [event]

    def forget(self) -> None:
        """Begin from nothing: the events are about to be replayed."""
        self.sequence = 0
        self._void()

    def _void(self) -> None:
        self._parts, self._length = [], 0

    def _append(self, event: OutputTextDelta) -> None:
        if event.sequence_number > self.sequence + 1:
            raise Gap(self.sequence)
        if event.offset != self._length:
            raise Gap(0)
        self._parts.append(event.delta)
        self._length += len(event.delta)

    def _complete(self, done: ResponseDone) -> list[Numbered]:
        """The end may be all that is left of an answer that nobody read for long."""
        text = self.text
        if done.text == text:
            return []
        identity = {"response_id": done.response_id, "sequence_number": done.sequence_number}
        news: list[Numbered] = []
        if not done.text.startswith(text):
            prompt_tokens = done.usage.prompt_tokens
            news.append(ResponseInProgress(prompt_tokens=prompt_tokens, **identity))
            text = ""
        if rest := done.text[len(text) :]:
            news.append(OutputTextDelta(delta=rest, offset=len(text), **identity))
        self._parts, self._length = [done.text], len(done.text)
        return news
