"""Turns a client's `response.create` into the task that the record keeps."""

from __future__ import annotations

from streaming import conf
from streaming.protocol.client_events import ResponseCreate
from streaming.protocol.errors import ProtocolError
from streaming.record.tasks import Continuation, OwnInstructions, Prompt, Regeneration, Task


def task_of(event: ResponseCreate) -> Task:
    """Return what an event asks for. Raises ProtocolError as `check_prompt`, and
    (`input_too_long`) for instructions that are too long."""
    instructions = _instructions_of(event)
    if event.input is not None:
        check_prompt(event.input)
        return Prompt(
            event.input,
            event.conversation_id,
            event.previous_response_id,
            event.follows_newest,
            instructions,
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


def check_prompt(text: str) -> None:
    """Raise ProtocolError for a prompt that is empty or too long."""
    limit = conf.get().max_input_chars
    if not text.strip():
        raise ProtocolError("invalid_event", "`input` is empty.", "input")
    if len(text) > limit:
        raise ProtocolError(
            "input_too_long",
            f"The prompt has {len(text):,} characters; at most {limit:,} are allowed.",
            "input",
        )
