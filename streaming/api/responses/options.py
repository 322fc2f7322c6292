"""The options of a request to `/v1/responses` that are objects of their own: tools, which of them
may be called, the form of the text, thinking, the stream."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from streaming.protocol.base import Text
from streaming.protocol.request_items import OtherKind, Sent
from streaming.protocol.thinking_params import LooseReasoning

MOST_TOOLS = 128
_NAME = r"^[a-zA-Z0-9_-]+$"


# --- tools ---


class FunctionTool(Sent):
    """A function that the model may ask its client to call; `parameters` is a JSON schema."""

    type: Literal["function"]
    name: str = Field(min_length=1, max_length=64, pattern=_NAME)
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


def _tool_tag(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "<function>" if kind == "function" else "<other>"


Tool = Annotated[
    Annotated[FunctionTool, Tag("<function>")] | Annotated[OtherKind, Tag("<other>")],
    Discriminator(_tool_tag),
]


class ChosenFunction(Sent):
    """One of the tools, by its name."""

    type: Literal["function"]
    name: str = Field(min_length=1, max_length=64)


class AllowedTools(Sent):
    """The tools that may be called of those that the model is shown."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required", "none"] = "auto"
    tools: list[
        Annotated[
            Annotated[ChosenFunction, Tag("<function>")] | Annotated[OtherKind, Tag("<other>")],
            Discriminator(_tool_tag),
        ]
    ] = Field(min_length=1, max_length=MOST_TOOLS)


def _choice_tag(value: Any) -> str:
    if isinstance(value, dict):
        kind = value.get("type")
        return f"<{kind}>" if kind in ("function", "allowed_tools") else "<other>"
    return "<word>" if not hasattr(value, "type") else f"<{value.type}>"


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<word>")]
    | Annotated[ChosenFunction, Tag("<function>")]
    | Annotated[AllowedTools, Tag("<allowed_tools>")]
    | Annotated[OtherKind, Tag("<other>")],
    Discriminator(_choice_tag),
]


# --- the form of the text ---


class TextFormat(Sent):
    """`text`, `json_object`, or `json_schema` with a name and a schema."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = Field(None, min_length=1, max_length=64, pattern=_NAME)
    description: Text | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> TextFormat:
        if self.type == "json_schema" and (self.name is None or self.schema_ is None):
            raise ValueError("`json_schema` needs `name` and `schema`")
        return self


class TextOptions(Sent):
    """How the text of an answer is to be."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(LooseReasoning):
    """How much to think. Nobody makes a summary: a thought is shown as it is."""

    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None

    @field_validator("summary", "generate_summary")
    @classmethod
    def _none_is_made(cls, value: str | None) -> str | None:
        if value in ("concise", "detailed"):
            raise PydanticCustomError(
                "unsupported_value",
                "No summaries of thoughts are made here; `auto` passes. A thought is the `content` "
                "of its item.",
            )
        return value


class StreamOptions(Sent):
    """Options of a stream. `include_obfuscation`: pad the deltas, so that their length on the wire
    tells less of what they say; only if asked for."""

    include_obfuscation: bool | None = None
