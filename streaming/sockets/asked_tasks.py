"""Turns a client's `response.create` into the task that the record keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streaming import conf
from streaming.protocol.client_events import ResponseCreate
from streaming.protocol.errors import ProtocolError
from streaming.protocol.user_content import (
    PromptFile,
    PromptImage,
    PromptPart,
    PromptText,
    plain_text,
)
from streaming.record.tasks import Continuation, OwnInstructions, Prompt, Regeneration, Task


def task_of(event: ResponseCreate, details: Mapping[str, Any]) -> Task:
    """Return what an event asks for of the model that `details` describes (`model_details`).

    Raises ProtocolError as `check_prompt`, for instructions that are too long (`input_too_long`),
    and for parts of the input that the model does not take.
    """
    instructions = _instructions_of(event)
    if event.input is not None:
        parts = () if isinstance(event.input, str) else event.input
        _check_parts(parts, details)
        text = plain_text(event.input)
        check_prompt(text, may_be_empty=any(isinstance(part, PromptImage) for part in parts))
        return Prompt(
            text,
            event.conversation_id,
            event.previous_response_id,
            event.follows_newest,
            instructions,
            parts=kept_parts(parts),
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


def _check_parts(parts: Sequence[PromptPart], details: Mapping[str, Any]) -> None:
    """Raise ProtocolError (`invalid_event`) for a part that the model does not take."""
    for number, part in enumerate(parts):
        if isinstance(part, PromptImage) and not details.get("takes_images"):
            message = "This model takes text only; it cannot see images."
        elif isinstance(part, PromptFile):
            message = "Files are not taken here; send their text as `input_text`."
        else:
            continue
        raise ProtocolError("invalid_event", message, f"input.{number}.type")


def kept_parts(parts: Sequence[PromptPart]) -> tuple[Mapping[str, Any], ...]:
    """Return the parts of a message as the record keeps them: none of one that is all text."""
    if all(isinstance(part, PromptText) for part in parts):
        return ()
    return tuple(part.model_dump(exclude_none=True) for part in parts)


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
