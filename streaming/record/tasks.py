"""What a response is asked to do, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User

from streaming.engine.base import ChatMessage


@dataclass(frozen=True, slots=True)
class Requester:
    """Whom a response is for: `owner` as in the waiting list, the account or None, and the network
    address, which may be empty. `in_session`: it is asked for in the account's signed-in session,
    not with a key."""

    owner: str
    user: User | None
    address: str
    in_session: bool = False


@dataclass(frozen=True, slots=True)
class OwnInstructions:
    """What a conversation is to have as instructions of its own: a text, which may be empty, or
    None, so that the account's hold."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Prompt:
    """Answer a new prompt. It follows the response `previous_id`, or the newest one of the
    conversation if `follows_newest`; without a conversation it begins one. `instructions` are
    the conversation's from now on; None leaves it those that it has. `parts`: those of a prompt
    that is not all text, as `Message.parts` keeps them."""

    text: str
    conversation_id: UUID | None = None
    previous_id: UUID | None = None
    follows_newest: bool = True
    instructions: OwnInstructions | None = None
    parts: tuple[Mapping[str, Any], ...] = ()

    @property
    def begins_conversation(self) -> bool:
        """Whether the prompt is the first one of a new conversation."""
        return not (self.conversation_id or self.previous_id)


@dataclass(frozen=True, slots=True)
class Regeneration:
    """Answer the prompt of an ended response once more. `instructions` as in `Prompt`."""

    earlier_id: UUID
    conversation_id: UUID | None = None
    instructions: OwnInstructions | None = None

    begins_conversation = False


@dataclass(frozen=True, slots=True)
class Continuation:
    """Go on with an answer that was cut."""

    earlier_id: UUID
    conversation_id: UUID | None = None

    begins_conversation = False


@dataclass(frozen=True, slots=True)
class History:
    """Answer the last of a program's messages, oldest first, at least one; an assistant's last
    message is continued. They become a conversation of their own, and `response_id` is new."""

    messages: tuple[ChatMessage, ...]

    begins_conversation = True


@dataclass(frozen=True, slots=True)
class Items:
    """Answer the last of a program's messages, oldest first. They follow the ended response
    `previous_id` or what `conversation_id` has so far, or begin a conversation; an assistant's last
    message is continued. Of a conversation they may be none: its last turn is answered. A
    `response_id` is new.

    - `instructions`: of this response alone.
    - `request`: what the response keeps of the request (`Response.request`). One with
      `conversation` adds its answer to the conversation.
    - `stored`: whether it may be read later, and followed by others than `follows_unstored`.
    - `background`: it goes on without a reader.
    - `follows_unstored`: `previous_id` may be one that is not stored.
    """

    messages: tuple[ChatMessage, ...]
    previous_id: UUID | None = None
    conversation_id: UUID | None = None
    instructions: str = ""
    request: Mapping[str, Any] = field(default_factory=dict, hash=False)
    stored: bool = True
    background: bool = False
    follows_unstored: bool = False

    @property
    def begins_conversation(self) -> bool:
        """Whether the messages are the first ones of a new conversation."""
        return not (self.conversation_id or self.previous_id)


Task = Prompt | Regeneration | Continuation | History | Items


def gives_instructions(task: Task) -> bool:
    """Return whether a task gives its conversation instructions of its own."""
    return isinstance(task, Prompt | Regeneration) and task.instructions is not None
