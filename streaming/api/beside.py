"""What an answer has besides its text and its thought, as OpenAI's clients expect it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streaming.api.answers import AnswerMessage, AnswerToolCall
from streaming.api.errors import ApiError
from streaming.engine.passed import Passed, add, beyond, whole_of

DELTAS = ("refusal", "tool_calls", "annotations")
"""The fields of a chunk's delta that are neither."""


def message_of(text: str, reasoning: str, passed: Mapping[str, Any]) -> AnswerMessage:
    """The message of an answer that is whole."""
    calls = [
        AnswerToolCall.model_validate(
            {name: value for name, value in call.items() if name != "index"}
        )
        for call in sorted(passed.get("tool_calls", ()), key=lambda call: call["index"])
    ]
    return AnswerMessage(
        content=text or (None if calls or passed.get("refusal") else ""),
        refusal=passed.get("refusal"),
        annotations=passed.get("annotations"),
        tool_calls=calls or None,
        reasoning_content=reasoning or None,
    )


class Beside:
    """What a client was sent besides these, which cannot be taken back; as `Answer` the text.

    Each method returns what is to be sent. Raises ApiError if an answer that began anew says
    something else.
    """

    def __init__(self) -> None:
        self._sent: list[Mapping[str, Any]] = []
        self._again: Passed | None = None  # what an answer that began anew has said so far

    def begin(self) -> None:
        """The answer begins, perhaps not for the first time."""
        if self._sent:
            self._again = {}

    def add(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take a part of what comes beside the text, and return what of it is new."""
        if self._again is None:
            self._sent.append(part)
            return part
        add(self._again, part)
        return self._beyond(self._again)

    def complete(self, whole: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Take the whole of it, which may be all that is left of the events."""
        return self._beyond(whole) if whole else {}

    def _beyond(self, whole: Mapping[str, Any]) -> Mapping[str, Any]:
        sent = whole_of(self._sent)
        new = beyond(sent, whole)
        if new is None:
            message = "The answer was lost and began anew, with other words. Ask again."
            raise ApiError(500, "answer_restarted", message)
        if new:
            self._sent = [sent, new]
        return new
