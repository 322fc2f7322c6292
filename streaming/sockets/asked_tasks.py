"""Turns a client's `response.create` into the task that the record keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streaming import conf
from streaming.files.errors import FileRefused
from streaming.files.parts import Taken, take_parts
from streaming.protocol.client_events import ResponseCreate
from streaming.protocol.errors import ErrorCode, ProtocolError
from streaming.protocol.user_content import PromptPart
from streaming.record.tasks import (
    Continuation,
    OwnInstructions,
    Prompt,
    Regeneration,
    Requester,
    Task,
)


async def task_of(event: ResponseCreate, details: Mapping[str, Any], requester: Requester) -> Task:
    """Return what an event asks for of the model that `details` describes (`model_details`).

    Raises ProtocolError as `check_prompt`, for instructions that are too long (`input_too_long`),
    and for files that are not taken (`invalid_file`).
    """
    instructions = _instructions_of(event)
    if event.input is not None:
        taken = await _taken(event.input, details, requester)
        check_prompt(taken.typed, may_be_empty=taken.parts is not None)
        return Prompt(
            taken.content,
            event.conversation_id,
            event.previous_response_id,
            event.follows_newest,
            instructions,
            parts=tuple(taken.parts or ()),
        )
    if event.regenerates is not None:
        return Regeneration(event.regenerates, event.conversation_id, instructions)
    assert event.continues is not None  # an event has one of the three
    return Continuation(event.continues, event.conversation_id)


def _instructions_of(event: ResponseCreate) -> OwnInstructions | None:
    text, limit = event.instructions, conf.get().max_instructions_chars
    if text is not None and len(text) > limit:
        raise ProtocolError(
            "input_too_long",
            f"The instructions have {len(text):,} characters; at most {limit:,} are allowed.",
            "instructions",
        )
    return OwnInstructions(text) if event.gives_instructions else None


async def _taken(
    sent: str | Sequence[PromptPart], details: Mapping[str, Any], requester: Requester
) -> Taken:
    """Return what is sent, with its files stored. Raises ProtocolError (`invalid_file`)."""
    if isinstance(sent, str):
        return Taken(sent, sent)
    parts = [part.model_dump(exclude_none=True) for part in sent]
    try:
        return await take_parts(requester, parts, details)
    except FileRefused as error:
        code: ErrorCode = "unavailable" if error.is_temporary else "invalid_file"
        raise ProtocolError(code, error.message, error.param) from None


def check_prompt(text: str, *, may_be_empty: bool = False) -> None:
    """Raise ProtocolError for a prompt that is empty or too long."""
    limit = conf.get().max_input_chars
    if not (may_be_empty or text.strip()):
        raise ProtocolError("invalid_event", "`input` is empty.", "input")
    if len(text) > limit:
        raise ProtocolError(
            "input_too_long",
            f"The prompt has {len(text):,} characters; at most {limit:,} are allowed.",
            "input",
        )
