"""What a person sends as a prompt: a text, or the parts of one message of Open Responses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from streaming.protocol.base import Text, WireModel

MOST_PARTS = 64
"""Maximum parts of one message."""


class PromptText(WireModel):
    """A piece of text."""

    type: Literal["input_text"]
    text: Text


class PromptImage(WireModel):
    """An image: one that is kept here (`file_id`), by its address, or as a data URL."""

    type: Literal["input_image"]
    file_id: Text | None = Field(None, min_length=1, max_length=200)
    image_url: Text | None = Field(None, pattern=r"^(data:image/|https?://)")
    detail: Literal["low", "high", "auto"] = "auto"


class PromptFile(WireModel):
    """A file: one that is kept here (`file_id`), or its bytes as a data URL (`file_data`)."""

    type: Literal["input_file"]
    file_id: Text | None = Field(None, min_length=1, max_length=200)
    filename: Text | None = Field(None, min_length=1, max_length=255)
    file_data: Text | None = Field(None, min_length=1)


PromptPart = Annotated[PromptText | PromptImage | PromptFile, Field(discriminator="type")]


def _kind_of(value: Any) -> str:
    return "parts" if isinstance(value, list | tuple) else "text"


UserContent = Annotated[
    Annotated[Text, Field(min_length=1), Tag("text")]
    | Annotated[list[PromptPart], Field(min_length=1, max_length=MOST_PARTS), Tag("parts")],
    Discriminator(_kind_of),
]
"""One message of a user. Text alone is the same as one part with that text."""
