"""What clients send to `/v1/responses`, after Open Responses and OpenAI.

Unknown fields are ignored, as ordinary clients expect. Known ones that would change the answer
and cannot be honoured are refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from streaming.api.request_fields import refuse
from streaming.api.responses.options import (
    MOST_TOOLS,
    AllowedTools,
    ChosenFunction,
    FunctionTool,
    ReasoningOptions,
    StreamOptions,
    TextOptions,
    Tool,
    ToolChoice,
)
from streaming.protocol.base import Text
from streaming.protocol.request_items import Id, Input, Sent
from streaming.protocol.sampling_params import MOST_STOPS, Params, Tokens
from streaming.protocol.thinking_params import LooseThinkingParams

MOST_METADATA = 16
_HOSTED = "Only tools of type `function` are offered here; the client calls them."

_ONLY: dict[str, tuple[object, ...]] = {
    "prompt": (None,),
    "context_management": (None, []),
    "moderation": (None,),
}
"""Fields that this server knows in no other way than off."""

INCLUDED = ("reasoning.encrypted_content", "message.output_text.logprobs")
_EMPTY = (
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "web_search_call.action.sources",
    "web_search_call.results",
)
"""Of items that never come here, or that have it anyway: they include nothing more."""


class ConversationRef(Sent):
    """A conversation by its id."""

    id: Id


def _as_reference(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


def _sane_metadata(value: dict[str, str] | None) -> dict[str, str] | None:
    for name in value or {}:
        if not 0 < len(name) <= 64 or "\0" in name:
            raise ValueError("a key has 1 to 64 characters, none of which is U+0000")
    return value


Metadata = Annotated[
    dict[str, Annotated[Text, Field(max_length=512)]] | None,
    AfterValidator(_sane_metadata),
]
"""Up to 16 pairs of texts; keys of 64 and values of 512 characters at most."""


def _known_includes(value: list[str] | None) -> list[str] | None:
    for name in value or []:
        if name not in (*INCLUDED, *_EMPTY):
            raise PydanticCustomError(
                "unsupported_value",
                "{name} cannot be included; these can: {known}.",
                {
                    "name": f"`{name[:80]}`",
                    "known": ", ".join(f"`{each}`" for each in INCLUDED),
                },
            )
    return value


Include = Annotated[list[str] | None, AfterValidator(_known_includes)]


def _as_stops(value: object) -> object:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


class _Asked(Sent):
    """What `/v1/responses` and `/v1/responses/compact` have in common."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    input: Input | None = Field(
        None, description="A text, which is a user's message, or items, oldest first."
    )
    instructions: Text | None = Field(
        None, description="The system message of this response alone."
    )
    previous_response_id: Id | None = Field(
        None, description="The ended response that this one follows, with all before it."
    )
    prompt_cache_key: Text | None = Field(None, max_length=64, description="Accepted.")


class CompactRequest(_Asked):
    """A conversation that is to become shorter."""

    model: str = Field(
        min_length=1, max_length=200, description="An id from `/v1/models`, or `default`."
    )


class ResponseRequest(_Asked, LooseThinkingParams, Params):
    """`top_k`, `repetition_penalty`, `seed`, `stop`, `ignore_eos` and the names of
    `reasoning.effort` that other APIs have are extensions. Where the model runs in this service,
    penalties other than 0, logprobs, tools and structured output are refused; in front of another
    server they are passed on to it. What is unknown is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="An id from `/v1/models`, or `default`, which is what is meant without one.",
    )
    conversation: Annotated[ConversationRef | None, BeforeValidator(_as_reference)] = Field(
        None, description="The conversation that input and answer are added to."
    )
    tools: list[Tool] | None = Field(None, max_length=MOST_TOOLS, description=_HOSTED)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = Field(
        None, ge=1, strict=True, description="Of hosted tools, of which there are none: accepted."
    )
    text: TextOptions | None = None
    include: Include = Field(None, max_length=20)
    metadata: Metadata = Field(None, max_length=MOST_METADATA)
    max_output_tokens: Tokens = Field(
        None,
        description="Most tokens of the answer; the server's own bound if absent, -1 or larger. A "
        "thought is not counted, which has a bound of its own; OpenAI's counts it.",
    )
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    top_logprobs: int | None = Field(None, ge=0, le=20, strict=True)
    reasoning: ReasoningOptions | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = Field(
        None, description="Accepted; all are served alike."
    )
    safety_identifier: Text | None = Field(None, max_length=64, description="Accepted.")
    user: Text | None = Field(None, max_length=200, description="Accepted.")
    store: bool | None = Field(
        None, description="Whether the response may be read later; true if absent."
    )
    background: bool | None = Field(
        None, description="Answer at once; the response goes on without a reader."
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    truncation: Literal["auto", "disabled"] | None = Field(
        None,
        description="`auto`: the oldest turns of what does not fit are left out, and "
        "`chatstream.trimmed_messages` says how many messages. Else it is refused, with "
        "`context_length_exceeded`.",
    )
    stop: Annotated[
        list[Annotated[Text, Field(min_length=1, max_length=100)]],
        BeforeValidator(_as_stops),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}, "maxItems": MOST_STOPS},
                    {"type": "null"},
                ]
            }
        ),
    ] = Field(default_factory=list, max_length=MOST_STOPS)

    @model_validator(mode="before")
    @classmethod
    def _only_supported(cls, data: Any) -> Any:
        return refuse(data, _ONLY)

    @model_validator(mode="after")
    def _fits_together(self) -> ResponseRequest:
        if self.conversation and self.previous_response_id:
            _refuse("previous_response_id", "it does not go with `conversation`")
        if self.store is False and self.background:
            _refuse("background", "it needs `store`: what is not stored cannot be asked for")
        if self.store is False and self.conversation:
            _refuse("store", "what is added to a conversation is stored")
        if self.input is None and not self.conversation:
            what = "`input` is required."
            raise PydanticCustomError("missing_required_parameter", what, {"param": "input"})
        names = {tool.name for tool in self.tools or [] if isinstance(tool, FunctionTool)}
        if len(names) < len(self.tools or []):
            _refuse("tools", "two of them have the same name")
        for name in self.chosen:
            if name not in names:
                _refuse("tool_choice", f"there is no tool of the name {name!r} in `tools`")
        if self.tool_choice not in (None, "none", "auto") and not names:
            _refuse("tool_choice", "it goes with `tools`")
        return self

    @property
    def chosen(self) -> list[str]:
        """Return the names of the functions that `tool_choice` names."""
        match self.tool_choice:
            case ChosenFunction():
                return [self.tool_choice.name]
            case AllowedTools():
                return [tool.name for tool in self.tool_choice.tools if hasattr(tool, "name")]
        return []

    @property
    def is_stored(self) -> bool:
        """Return whether the response may be read later."""
        return self.store is not False

    def includes(self, what: str) -> bool:
        """Return whether `include` names it."""
        return what in (self.include or [])


def _refuse(param: str, text: str) -> None:
    raise PydanticCustomError("contradiction", text, {"param": param})
