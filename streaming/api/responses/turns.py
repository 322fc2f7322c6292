"""From the items that a client sends to the turns that a model reads.

An assistant's turn is a thought, a text and the calls that follow it, each if there is any, so that
several items may be one turn. What the turns have for whoever reads them again, and no model is
told, stands in their `fields`: `phase`, `author` (`developer`), `compaction`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streaming import conf
from streaming.api.errors import ApiError
from streaming.api.responses import sealing
from streaming.api.responses.contents import Asking, content_of, text_of
from streaming.engine.base import ChatMessage
from streaming.protocol.request_items import (
    SentCompaction,
    SentFunctionCall,
    SentFunctionCallOutput,
    SentItem,
    SentMessage,
    SentPart,
    SentReasoning,
)

MOST_TURNS = 10_000
"""Turns of one request. Some items stand for many."""

COMPACTION = "compaction"
"""The field of turns that an item stands for: the first one has the item's sealed text."""


async def turns_of(
    given: str | Sequence[SentItem] | None, asking: Asking
) -> tuple[ChatMessage, ...]:
    """Return the turns that an `input` without references stands for; files in it are stored.

    Raises ApiError, which names the item, for what is too long, or what the model does not take.
    """
    if isinstance(given, str):
        return (await _prompt(given, "input", asking),)
    reading = _Reading(asking)
    for number, item in enumerate(given or ()):
        await reading.take(item, f"input.{number}")
    turns = reading.finished()
    check_total(turns)
    return turns


class _Reading:
    """Reads items in order. `_begun` is the assistant's turn that calls may still be added to, and
    `_thought` what was thought before the next one, with the place of its item."""

    def __init__(self, asking: Asking) -> None:
        self._owner = asking.requester.owner
        self._asking = asking
        self._turns: list[ChatMessage] = []
        self._begun: ChatMessage | None = None
        self._thought: tuple[str, str] | None = None
        self._opened_chars = 0

    async def take(self, item: SentItem, param: str) -> None:
        """Take the next item, whose place in the request is `param`."""
        match item:
            case SentReasoning():
                self._close()
                self._take_thought(item, param)
            case SentMessage(role="assistant"):
                self._close()
                self._take_answer(item, param)
            case SentFunctionCall():
                self._take_call(item, param)
            case SentMessage():
                self._close(param)
                self._turns.append(await self._message(item, param))
            case SentFunctionCallOutput():
                self._close(param)
                self._turns.append(await self._result(item, param))
            case SentCompaction():
                self._close(param)
                self._turns += self._compacted(item, param)

    def finished(self) -> tuple[ChatMessage, ...]:
        """Return the turns. Raises ApiError if a thought is the last item."""
        self._close("")
        return tuple(self._turns)

    def _close(self, before: str | None = None) -> None:
        """End the assistant's turn. A thought without one that follows is refused, if this is
        `before` another's turn, or the end."""
        if self._begun:
            self._turns.append(self._begun)
            self._begun = None
        if before is not None and self._thought:
            text = "A `reasoning` item belongs before a message or a call of the assistant's."
            raise ApiError(400, "invalid_value", text, self._thought[1])

    def _take_thought(self, item: SentReasoning, param: str) -> None:
        text = "".join(part.text for part in item.content or ())
        if not text and item.encrypted_content:
            name = f"{param}.encrypted_content"
            text = str(_opened("reasoning", self._owner, item.encrypted_content, name))
        before = f"{self._thought[0]}\n\n" if self._thought else ""
        _check_thought(len(before) + len(text))
        self._thought = (before + text, param)

    def _take_answer(self, item: SentMessage, param: str) -> None:
        text = text_of(item.content, f"{param}.content")
        fields = {"phase": item.phase} if item.phase else {}
        self._begun = ChatMessage("assistant", text, fields, self._thought_before())

    def _take_call(self, item: SentFunctionCall, param: str) -> None:
        if not self._asking.takes_tools:
            text = "This model takes no calls of tools."
            raise ApiError(400, "unsupported_value", text, f"{param}.type")
        if len(item.arguments) > conf.get().max_input_chars:
            text = "The arguments are too long."
            raise ApiError(400, "input_too_long", text, f"{param}.arguments")
        if self._thought:
            self._close()
        turn = self._begun or ChatMessage("assistant", "", {}, self._thought_before())
        call = {
            "id": item.call_id,
            "type": "function",
            "function": {"name": item.name, "arguments": item.arguments},
        }
        calls = [*turn.fields.get("tool_calls", ()), call]
        fields = {**turn.fields, "tool_calls": calls}
        self._begun = ChatMessage("assistant", turn.content, fields, turn.reasoning)

    async def _message(self, item: SentMessage, param: str) -> ChatMessage:
        if item.role == "user":
            return await _prompt(item.content, f"{param}.content", self._asking)
        text = text_of(item.content, f"{param}.content")
        fields = {"author": "developer"} if item.role == "developer" else {}
        return ChatMessage("system", text, fields)

    async def _result(self, item: SentFunctionCallOutput, param: str) -> ChatMessage:
        if not self._asking.takes_tools:
            text = "This model takes no results of tools."
            raise ApiError(400, "unsupported_value", text, f"{param}.type")
        content = await content_of(item.output, f"{param}.output", self._asking)
        fields = {"tool_call_id": item.call_id}
        return ChatMessage("tool", content.text, fields, "", content.parts)

    def _compacted(self, item: SentCompaction, param: str) -> list[ChatMessage]:
        name = f"{param}.encrypted_content"
        opened = _opened("compaction", self._owner, item.encrypted_content, name)
        turns = unpacked(opened, item.encrypted_content)
        # A short item may stand for a long text: not all of them are opened first.
        self._opened_chars += sum(map(_chars_of, turns))
        _check_chars(self._opened_chars)
        _check_count(len(self._turns) + len(turns))
        return turns

    def _thought_before(self) -> str:
        text = self._thought[0] if self._thought else ""
        self._thought = None
        return text


async def _prompt(content: str | Sequence[SentPart], param: str, asking: Asking) -> ChatMessage:
    read = await content_of(content, param, asking)
    if not read.text.strip() and not any(part["type"] != "input_text" for part in read.parts):
        raise ApiError(400, "invalid_value", "The message is empty.", param)
    return ChatMessage("user", read.text, {}, "", read.parts)


def packed(turns: Sequence[ChatMessage]) -> list[list[Any]]:
    """Return the text of turns as JSON, for a compaction: without images and thoughts."""
    return [[turn.role, turn.content or _said(turn), _told(turn.fields)] for turn in turns]


def _said(turn: ChatMessage) -> str:
    return "[an image]" if turn.parts else ""


def unpacked(turns: Sequence[Sequence[Any]], sealed: str) -> list[ChatMessage]:
    """Return the turns of `packed`, marked as those that the item with this sealed text stands
    for."""
    return [
        ChatMessage(role, content, {**fields, COMPACTION: "" if number else sealed})
        for number, (role, content, fields) in enumerate(turns)
    ]


def _told(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != COMPACTION}


def _opened(kind: sealing.Kind, owner: str, sealed: str, param: str) -> Any:
    try:
        return sealing.opened(kind, owner, sealed)
    except sealing.Unreadable as error:
        raise ApiError(400, "invalid_encrypted_content", str(error), param) from None


def check_total(turns: Sequence[ChatMessage]) -> None:
    """Raise ApiError for turns that are too many, or too long together."""
    _check_count(len(turns))
    _check_chars(sum(map(_chars_of, turns)))
    _check_thought(sum(len(turn.reasoning) for turn in turns))


def _check_thought(chars: int) -> None:
    most = conf.get().conversation_chars
    if chars > most:
        text = f"What was thought has {chars:,} characters; at most {most:,} are allowed."
        raise ApiError(400, "input_too_long", text, "input")


def _check_count(count: int) -> None:
    if count > MOST_TURNS:
        text = f"The input stands for {count:,} turns; at most {MOST_TURNS:,} are allowed."
        raise ApiError(400, "input_too_long", text, "input")


def _check_chars(total: int) -> None:
    most = conf.get().conversation_chars
    if total > most:
        text = f"The input has {total:,} characters; at most {most:,} are allowed."
        raise ApiError(400, "context_length_exceeded", text, "input")


def _chars_of(turn: ChatMessage) -> int:
    return len(turn.content) + _chars_of_calls(turn)


def _chars_of_calls(turn: ChatMessage) -> int:
    calls = turn.fields.get("tool_calls", ())
    return sum(len(call["function"]["arguments"]) for call in calls)
