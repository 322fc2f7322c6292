"""Our own JSON, `chatstream.conversation/1`: a conversation as it was, in every field."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from streaming.pages.importing import bounds, values
from streaming.pages.importing.bounds import Unfit
from streaming.pages.importing.parts import items_of, parts_of
from streaming.pages.importing.passed import fields_of, passed_of
from streaming.record.drafts import Draft, MessageDraft, ResponseDraft

PREFIX = "chatstream.conversation/"
VERSION = "1"

_MOST_OBJECT_CHARS = 100_000
_OPEN = ("queued", "in_progress")


def _storable(value: Any) -> Any:
    return values.text(value) if isinstance(value, str) else value


def _moment(value: Any) -> str:
    if value is None:
        return ""
    if found := values.moment(value):
        return found
    raise ValueError("no moment")


def _small(value: Any) -> Any:
    if isinstance(value, dict):
        text = json.dumps(value, ensure_ascii=False)
        if len(text) <= _MOST_OBJECT_CHARS and "\\u0000" not in text and values.text(text) == text:
            return value
    elif value is None:
        return value
    raise ValueError("no object that can be kept")


Text = Annotated[str, BeforeValidator(_storable), Field(max_length=bounds.MOST_MESSAGE_CHARS)]
Id = Annotated[str, Field(min_length=1, max_length=100)]
Moment = Annotated[str, BeforeValidator(_moment)]
Object = Annotated[dict[str, Any], BeforeValidator(_small)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Head(_Part):
    """What is said of the whole conversation."""

    id: Id
    title: Text = ""
    instructions: Text | None = None
    pinned: bool = False
    archived: bool = False
    folder: Annotated[str, BeforeValidator(_storable), Field(max_length=bounds.FOLDER_CHARS)] = ""
    created_at: Moment = ""
    updated_at: Moment = ""


class OwnMessage(_Part):
    """A message, by its own id."""

    id: Id
    parent: Id | None = None
    role: Literal["system", "user", "assistant", "tool"]
    content: Text
    reasoning: Text = ""
    fields: Object | None = None
    parts: Any = None
    created_at: Moment = ""


class OwnResponse(_Part):
    """A response; `text` is its message's."""

    id: Id
    prompt: Id
    message: Id | None = None
    previous: Id | None = None
    continues: Id | None = None
    status: Literal["queued", "in_progress", "completed", "incomplete", "cancelled", "failed"]
    finish_reason: Annotated[str, Field(max_length=16)] = ""
    error_code: Annotated[str, Field(max_length=40)] = ""
    error_message: Text = ""
    params: Object = Field(default_factory=dict)
    passed: Object | None = None
    items: Any = None
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    reasoning_tokens: Count = 0
    reasoning_ms: Count | None = None
    trimmed_messages: Count = 0
    rating: Literal[-1, 1] | None = None
    created_at: Moment = ""
    started_at: Moment = ""
    first_token_at: Moment = ""
    finished_at: Moment = ""


class OwnConversation(_Part):
    """A file of ours."""

    conversation: Head
    messages: Annotated[list[OwnMessage], Field(max_length=bounds.MOST_MESSAGES)]
    responses: Annotated[list[OwnResponse], Field(max_length=bounds.MOST_MESSAGES)]


_PLACES = {"id", "prompt", "message", "previous", "continues", "status", "created_at"}


def draft_of(value: dict[str, Any]) -> Draft:
    """Return the conversation of a file. Raises Unfit."""
    if value.get("format") != PREFIX + VERSION:
        raise Unfit("version")
    try:
        whole = OwnConversation.model_validate(value)
    except ValidationError as error:
        long = any(each["type"] in ("string_too_long", "too_long") for each in error.errors())
        raise Unfit("long_message" if long else "malformed") from None
    messages = {row.id: number for number, row in enumerate(whole.messages)}
    responses = {row.id: number for number, row in enumerate(whole.responses)}
    if len(messages) < len(whole.messages) or len(responses) < len(whole.responses):
        raise Unfit("malformed")
    if not responses:
        raise Unfit("empty")
    try:
        draft = _draft(whole, messages, responses)
    except KeyError:  # it refers to what is not there
        raise Unfit("malformed") from None
    _refuse_loops([row.parent for row in draft.messages])
    _refuse_loops([row.previous for row in draft.responses])
    _refuse_loops([row.continues for row in draft.responses])
    _refuse_shared_answers(draft)
    return draft


def _draft(whole: OwnConversation, messages: dict[str, int], responses: dict[str, int]) -> Draft:
    head = whole.conversation
    return Draft(
        "chatstream",
        head.id,
        values.line(head.title, bounds.TITLE_CHARS),
        head.created_at,
        head.updated_at,
        head.instructions,
        {
            "pinned": head.pinned,
            "archived": head.archived,
            "folder": values.line(head.folder, bounds.FOLDER_CHARS),
        },
        [
            MessageDraft(
                None if row.parent is None else messages[row.parent],
                row.role,
                row.content,
                row.reasoning,
                fields_of(row.fields) or None,
                row.created_at,
                parts_of(row.parts, row.content),
            )
            for row in whole.messages
        ],
        [
            ResponseDraft(
                messages[row.prompt],
                None if row.message is None else messages[row.message],
                None if row.previous is None else responses[row.previous],
                None if row.continues is None else responses[row.continues],
                "cancelled" if row.status in _OPEN else row.status,
                row.created_at,
                row.model_dump(exclude=_PLACES) | _output(row, whole, messages),
            )
            for row in whole.responses
        ],
    )


def _output(row: OwnResponse, whole: OwnConversation, messages: dict[str, int]) -> dict[str, Any]:
    """Return what an answer has besides its text. Of one that goes on with another nobody says
    here where it begins: it has no items."""
    passed = passed_of(row.passed)
    said = whole.messages[messages[row.message]] if row.message else None
    text, reasoning = (said.content, said.reasoning) if said else ("", "")
    items = None if row.continues else items_of(row.items, text, reasoning, passed)
    return {"passed": passed or None, "items": items}


def _refuse_loops(parents: list[int | None]) -> None:
    sound: set[int] = set()
    for number in range(len(parents)):
        walked: set[int] = set()
        each: int | None = number
        while each is not None and each not in sound:
            if each in walked:
                raise Unfit("loop")
            walked.add(each)
            each = parents[each]
        sound |= walked


def _refuse_shared_answers(draft: Draft) -> None:
    answers = [row.message for row in draft.responses if row.message is not None]
    if len(set(answers)) < len(answers):
        raise Unfit("malformed")
