"""What clients send, after OpenAI's chat completions, and what it means here.

Unknown fields are ignored, as ordinary clients expect. Known ones that would change the answer
and cannot be honoured are refused by name, so that nobody takes for granted what is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import FailFast, Field, model_validator

from streaming.api import passing
from streaming.api.errors import ApiError
from streaming.api.request_fields import CompletionFields, refuse
from streaming.api.request_messages import RequestMessage
from streaming.lifecycle import params
from streaming.protocol.sampling_params import Params, Tokens
from streaming.protocol.thinking_params import LooseThinkingParams

MAX_MESSAGES = 1000

_ONLY: dict[str, tuple[object, ...]] = {
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "web_search_options": (None,),
}
"""Fields that this server knows in no other way than off."""


class ChatCompletionRequest(passing.PassedOn, LooseThinkingParams, CompletionFields):
    """`top_k`, `repetition_penalty`, `ignore_eos` and `truncation` are extensions. `n` may be 1
    only. Where the model runs in this service, penalties other than 0, logprobs, tools and
    structured output are refused; in front of another server they are passed on to it. What is
    unknown is ignored."""

    messages: Annotated[list[RequestMessage], FailFast()] = Field(
        min_length=1,
        max_length=MAX_MESSAGES,
        description="The conversation, oldest first. If the last one is the assistant's, it is the "
        "beginning of the answer, which is continued and not repeated.",
    )
    max_tokens: Tokens = Field(
        None,
        description="Most tokens of the answer; the server's own bound if absent, -1 or larger. An "
        "answer that ends there has the `finish_reason` `length`.",
    )
    max_completion_tokens: Tokens = Field(
        None,
        description="Another name of `max_tokens`. Neither counts a thought, which has a bound of "
        "its own; OpenAI's does.",
    )
    truncation: Literal["auto", "disabled"] | None = Field(
        None,
        description="`auto`: the oldest turns of a conversation that does not fit are left out, "
        "and `chatstream.trimmed_messages` says how many messages. Else it is refused, with "
        "`context_length_exceeded`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _only_supported(cls, data: Any) -> Any:
        return refuse(data, _ONLY)


def params_of(request: ChatCompletionRequest, model: Mapping[str, Any]) -> dict[str, Any]:
    """As the record keeps them, for a model that its worker describes so. Raises ApiError for what
    contradicts itself."""
    names = ("max_completion_tokens", "max_tokens")
    limits = {name: limit for name in names if (limit := getattr(request, name)) is not None}
    if len(set(limits.values())) > 1:
        text = "`max_tokens` and `max_completion_tokens` are the same; send one of them."
        raise ApiError(400, "invalid_value", text, "max_tokens")
    given = {name: getattr(request, name) for name in Params.model_fields}
    given["max_tokens"] = next(iter(limits.values()), None)
    given["truncation"] = request.truncation or "disabled"
    return params.resolve(Params(**given), model, thinking=request)
