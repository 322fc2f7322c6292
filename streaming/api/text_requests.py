"""What clients send, after OpenAI's completions of a bare text, and what it means here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from streaming import conf
from streaming.api import passing
from streaming.api.errors import ApiError
from streaming.api.request_fields import CompletionFields, refuse
from streaming.lifecycle import params
from streaming.protocol.base import Text
from streaming.protocol.sampling_params import Params, Tokens

DEFAULT_TOKENS = 16
"""OpenAI's, and vLLM's."""

_ONLY: dict[str, tuple[object, ...]] = {
    "suffix": (None, ""),
    "best_of": (None, 1),
    "use_beam_search": (None, False),
    "prompt_embeds": (None,),
    "prompt_logprobs": (None,),
    "response_format": (None, {"type": "text"}),
}
"""Fields that this server knows in no other way than off."""

_PASSED = ("presence_penalty", "frequency_penalty", "logit_bias", "logprobs")


def _one_text(value: object) -> object:
    """The one text of a prompt that may be a list."""
    if not isinstance(value, list):
        return value
    if value and all(isinstance(each, int | list) for each in value):
        raise PydanticCustomError(
            "unsupported_value",
            "`prompt` must be text: tokens that nobody can check are not taken.",
            {"param": "prompt"},
        )
    if len(value) != 1:
        raise PydanticCustomError(
            "unsupported_value",
            "`prompt` may be one text only: each answer has a place in the queue of its own. Send "
            "a request for each text.",
            {"param": "prompt"},
        )
    return value[0]


_PROMPT = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1},
    ],
    "description": "The text that is gone on with, as it is: without a chat template, and names of "
    "special tokens in it are text.",
}


class TextCompletionRequest(passing.OneAnswer, CompletionFields):
    """`top_k`, `repetition_penalty` and `ignore_eos` are extensions. `n` and `best_of` may be 1
    only. Where the model runs in this service, penalties other than 0, `logit_bias` and `logprobs`
    are refused; in front of another server they are passed on to it. What is unknown is ignored."""

    prompt: Annotated[
        Text, BeforeValidator(_one_text), WithJsonSchema(_PROMPT), Field(min_length=1)
    ]
    max_tokens: Tokens = Field(
        DEFAULT_TOKENS,
        description="Most tokens of the answer; -1 or larger than the server's own bound: that.",
    )
    echo: bool | None = Field(None, description="Begin the answer with the prompt.")
    logprobs: int | None = Field(None, ge=0, le=20, strict=True)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: passing.LogitBias = None
    truncation: Literal["disabled"] | None = Field(
        None, description="A text that does not fit is refused, with `context_length_exceeded`."
    )

    @model_validator(mode="before")
    @classmethod
    def _only_supported(cls, data: Any) -> Any:
        return refuse(data, _ONLY)


def prompt_of(request: TextCompletionRequest) -> str:
    """Return the text to go on with. Raises ApiError for one that is too long."""
    limit = conf.get().conversation_chars
    if len(request.prompt) > limit:
        text = f"The prompt has {len(request.prompt):,} characters; at most {limit:,} are allowed."
        raise ApiError(400, "context_length_exceeded", text, "prompt")
    return request.prompt


def params_of(request: TextCompletionRequest, *, to_server: bool) -> dict[str, Any]:
    """Return the parameters as the record keeps them. Raises ApiError for what cannot be had."""
    if request.echo and request.logprobs is not None:
        text = "`logprobs` are those of the answer; with `echo` those of the prompt would be, too."
        raise ApiError(400, "unsupported_parameter", text, "logprobs")
    given = {name: getattr(request, name) for name in Params.model_fields}
    given |= {"max_tokens": request.max_tokens or DEFAULT_TOKENS, "truncation": "disabled"}
    found = params.resolve_sampling(Params(**given), conf.get().max_tokens)
    passed = passing.some_passed_on(request, _PASSED, to_server=to_server)
    return {**found, "raw": True, **({} if passed is None else {"passed": passed})}
