"""What a stream has sent of an answer, and what of that which comes is new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streaming.api.beside import DELTAS, Beside
from streaming.api.endings import End
from streaming.api.output_reader import Text, fields_of
from streaming.api.sent_text import SentText, SentThought
from streaming.engine.passed import Passed, add

Words = tuple[dict[str, Any], Mapping[str, Any] | None]
"""Fields of a delta, and the log probabilities of their tokens."""


class SentAnswer:
    """What a stream has sent, which cannot be taken back: of what comes, only what is new follows.

    `passed`: what came besides the text. Each method raises ApiError if an answer that began anew
    says something else.
    """

    def __init__(self) -> None:
        self._answer, self._thought, self._beside = SentText(), SentThought(), Beside()
        self.passed: Passed = {}

    def begin(self) -> None:
        """Note that the answer begins, perhaps not for the first time."""
        self._beside.begin()
        self.passed = {}

    def take(self, part: Text | Passed) -> Iterator[Words]:
        """Take what an event says, and yield what of it is new."""
        fields = fields_of(part)
        add(self.passed, fields)
        new = self._beside.add(fields) if fields else {}
        if isinstance(part, Text):
            known = self._thought if part.is_thought else self._answer
            name = "reasoning_content" if part.is_thought else "content"
            text = known.add(part.text, part.offset)
            new = {**new, name: text} if text else new
        yield from _words(new)

    def complete(self, end: End) -> Iterator[Words]:
        """Take the whole answer, which may be all that is left of the events."""
        new = dict(self._beside.complete(end.passed))
        yield from _words(new)
        if end.thought and (text := self._thought.add(end.thought, 0)):
            yield {"reasoning_content": text}, None
        if end.text and (text := self._answer.add(end.text, 0)):
            yield {"content": text}, None


def _words(new: Mapping[str, Any]) -> Iterator[Words]:
    names = ("content", "reasoning_content", *DELTAS)
    said = {name: new[name] for name in names if name in new}
    logprobs = new.get("logprobs")
    if said or logprobs:
        yield said, logprobs
