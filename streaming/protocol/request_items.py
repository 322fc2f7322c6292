"""The items that clients send to `/v1/responses`, as Open Responses and OpenAI have them.

They are looser than those that the server says (`items`): a message may be a text, lack its `type`,
or have parts in the words of other APIs; unknown fields are ignored. The names of union tags stand
in angle brackets, so that errors can leave them out of a field's place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from streaming.protocol.base import Text

MOST_ITEMS = 2000
MOST_PARTS = 100
MOST_SEALED_CHARS = 10_485_760
_MOST_ID_CHARS = 200

Id = Annotated[Text, Field(min_length=1, max_length=_MOST_ID_CHARS)]


class Sent(BaseModel):
    """A JSON object of a client's. Fields that nobody knows are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


# --- parts of a content ---


class SentText(Sent):
    """A text, of whatever kind."""

    type: Literal["input_text", "output_text", "text", "reasoning_text", "summary_text"]
    text: Text


class SentRefusal(Sent):
    """Why an earlier answer was none."""

    type: Literal["refusal"]
    refusal: Text


class SentImage(Sent):
    """An image by its address, as a data URL, or by the id of a file that is kept here."""

    type: Literal["input_image"]
    image_url: Text | None = None
    file_id: Id | None = None
    detail: Literal["low", "high", "auto"] | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> SentImage:
        if not (self.image_url or self.file_id):
            raise ValueError("an image needs `image_url` or `file_id`")
        return self


class SentFile(Sent):
    """A file: its bytes in Base64 (or as a data URL), its address, or its id here."""

    type: Literal["input_file"]
    filename: Annotated[Text, Field(max_length=500)] | None = None
    file_data: Text | None = None
    file_url: Text | None = None
    file_id: Id | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> SentFile:
        if not (self.file_data or self.file_url or self.file_id):
            raise ValueError("a file needs `file_data`, `file_id` or `file_url`")
        return self


class OtherKind(Sent):
    """What has a `type` that is not supported, or none."""

    type: Any = Field(None, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("an object with a `type` is expected")
        return value

    @field_validator("type", mode="before")
    @classmethod
    def _refuse(cls, value: Any) -> Any:
        if value is None:
            raise PydanticCustomError("missing", "Field required")
        raise PydanticCustomError(
            "unsupported_value", "{kind} is not supported here.", {"kind": _shown(value)}
        )


def _shown(value: Any) -> str:
    return f"`{value[:50]}`" if isinstance(value, str) else "what is no text"


_PARTS = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "reasoning_text": "text",
    "summary_text": "text",
    "refusal": "refusal",
    "input_image": "image",
    "input_file": "file",
}


def _part_tag(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{_PARTS.get(kind, 'other')}>" if isinstance(kind, str) else "<other>"


SentPart = Annotated[
    Annotated[SentText, Tag("<text>")]
    | Annotated[SentRefusal, Tag("<refusal>")]
    | Annotated[SentImage, Tag("<image>")]
    | Annotated[SentFile, Tag("<file>")]
    | Annotated[OtherKind, Tag("<other>")],
    Discriminator(_part_tag),
]

SentParts = Annotated[list[SentPart], Field(min_length=1, max_length=MOST_PARTS, fail_fast=True)]


def _text_or_list(value: Any) -> str:
    return "<list>" if isinstance(value, list | tuple) else "<text>"


Content = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[SentParts, Tag("<list>")],
    Discriminator(_text_or_list),
]
"""A text, or a list of parts."""


# --- items ---


class SentMessage(Sent):
    """One turn. `id` and `status` of an item that the server has said may come back with it."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    id: Id | None = None
    status: str | None = Field(None, max_length=_MOST_ID_CHARS)
    phase: Literal["commentary", "final_answer"] | None = None


class SentFunctionCall(Sent):
    """A call that the model made."""

    type: Literal["function_call"]
    call_id: Id
    name: Id
    arguments: Text
    id: Id | None = None


class SentFunctionCallOutput(Sent):
    """What a function returned."""

    type: Literal["function_call_output"]
    call_id: Id
    output: Content
    id: Id | None = None


class SentReasoning(Sent):
    """What the model thought before the item that follows."""

    type: Literal["reasoning"]
    summary: list[SentText] = Field(default_factory=list, max_length=MOST_PARTS)
    content: list[SentText] | None = Field(None, max_length=MOST_PARTS)
    encrypted_content: str | None = Field(None, max_length=MOST_SEALED_CHARS)
    id: Id | None = None


class SentCompaction(Sent):
    """What stands for the items before it, as `/v1/responses/compact` returned it."""

    type: Literal["compaction"]
    encrypted_content: str = Field(min_length=1, max_length=MOST_SEALED_CHARS)
    id: Id | None = None


class ItemReference(Sent):
    """An item that the server keeps, by its id."""

    type: Literal["item_reference"] | None = None
    id: Id


_ITEMS = ("message", "function_call", "function_call_output", "reasoning", "compaction")


def _item_tag(value: Any) -> str:
    if not isinstance(value, dict):
        return f"<{getattr(value, 'type', None) or 'other'}>"
    kind = value.get("type")
    if kind is None and "role" in value:
        kind = "message"
    elif kind is None and "id" in value:
        kind = "item_reference"
    return f"<{kind}>" if kind in (*_ITEMS, "item_reference") else "<other>"


SentItem = Annotated[
    Annotated[SentMessage, Tag("<message>")]
    | Annotated[SentFunctionCall, Tag("<function_call>")]
    | Annotated[SentFunctionCallOutput, Tag("<function_call_output>")]
    | Annotated[SentReasoning, Tag("<reasoning>")]
    | Annotated[SentCompaction, Tag("<compaction>")]
    | Annotated[ItemReference, Tag("<item_reference>")]
    | Annotated[OtherKind, Tag("<other>")],
    Discriminator(_item_tag),
]

SentItems = Annotated[list[SentItem], Field(max_length=MOST_ITEMS, fail_fast=True)]

Input = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[SentItems, Tag("<list>")],
    Discriminator(_text_or_list),
]
"""A text, which is the message of a user, or a list of items."""


def place_of(location: Iterable[Any]) -> list[str]:
    """Return where a fault is, as names and numbers, without the tags of unions."""
    parts = [str(part) for part in location]
    return [part for part in parts if not (part.startswith("<") and part.endswith(">"))]
