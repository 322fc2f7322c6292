"""The events that clients send on `/ws/chat/`."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from streaming.protocol import ids
from streaming.protocol.base import MOST_SEQUENCE, Text, WireModel
from streaming.protocol.sampling_params import Params
from streaming.protocol.user_content import UserContent


def _without_prefix(kind: str, value: Any) -> Any:
    """Return an id without the prefix that it has elsewhere (`resp_`, `conv_`)."""
    return value.removeprefix(f"{kind}_") if isinstance(value, str) else value


ResponseId = Annotated[
    UUID,
    BeforeValidator(partial(_without_prefix, ids.RESPONSE), json_schema_input_type=str),
]
"""The id of a response: a UUID, or `resp_` and its digits."""

ConversationId = Annotated[
    UUID,
    BeforeValidator(partial(_without_prefix, ids.CONVERSATION), json_schema_input_type=str),
]
"""The id of a conversation: a UUID, or `conv_` and its digits."""


class _ClientEvent(WireModel):
    """What all client events have: an id of the client's own, which an error carries back."""

    event_id: str | None = Field(None, max_length=200)


class SessionResume(_ClientEvent):
    """Be the visitor of an earlier socket, by its `session_token`."""

    type: Literal["chatstream:session"]
    session_token: str = Field(max_length=500)


class SessionPing(_ClientEvent):
    """Test the connection. Answered at once, before events that were sent earlier."""

    type: Literal["chatstream:ping"]


class ResponseCreate(_ClientEvent):
    """Ask for a response. Exactly one of `input` (a new prompt), `regenerates` (an ended response:
    answer its prompt again) and `continues` (an incomplete response: generate more of it) is given.

    `input` is a text, or a list of the parts of one message. It follows `previous_response_id`,
    which may still be open. Absent: the newest response of the conversation. Null: none, which
    begins a new branch of the conversation.

    `instructions` become the conversation's own, from this response on; an empty text: it has none.
    Absent: those that it has. Null: none of its own, so that the account's hold.
    """

    type: Literal["response.create"]
    response_id: ResponseId | None = None
    conversation_id: ConversationId | None = None
    input: UserContent | None = None
    previous_response_id: ResponseId | None = None
    regenerates: ResponseId | None = None
    continues: ResponseId | None = None
    instructions: Text | None = None
    params: Params = Params()

    @model_validator(mode="after")
    def _one_task(self) -> ResponseCreate:
        tasks = [self.input, self.regenerates, self.continues]
        if sum(task is not None for task in tasks) != 1:
            raise PydanticCustomError(
                "one_task", "Give exactly one of `input`, `regenerates` and `continues`"
            )
        if self.input is None and "previous_response_id" in self.model_fields_set:
            raise PydanticCustomError("one_task", "`previous_response_id` goes with `input` only")
        if self.continues is not None and self.gives_instructions:
            raise PydanticCustomError(
                "not_with_continues",
                "an answer that goes on keeps the instructions that it has",
                {"param": "instructions"},
            )
        return self

    @property
    def follows_newest(self) -> bool:
        """Return whether `previous_response_id` is absent, which is not the same as null."""
        return "previous_response_id" not in self.model_fields_set

    @property
    def gives_instructions(self) -> bool:
        """Return whether `instructions` is there; null is not the same as absent."""
        return "instructions" in self.model_fields_set


class ResponseUpdate(_ClientEvent):
    """Change the prompt of a waiting response, which keeps its place."""

    type: Literal["chatstream:update"]
    response_id: ResponseId
    input: Text = Field(min_length=1)


class ResponseCancel(_ClientEvent):
    """End a response, waiting or running; what was generated is kept."""

    type: Literal["response.cancel"]
    response_id: ResponseId


class ResponseResume(_ClientEvent):
    """Replay the events after number `starting_after`, then send new ones as they come."""

    type: Literal["chatstream:resume"]
    response_id: ResponseId
    starting_after: int = Field(0, ge=0, le=MOST_SEQUENCE, strict=True)
