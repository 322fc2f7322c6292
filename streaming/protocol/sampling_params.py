"""The sampling parameters of one response, as clients send them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from streaming.engine.base import SamplingParams
from streaming.protocol.base import Text, WireModel
from streaming.protocol.thinking_params import ThinkingParams

MOST_STOPS = 64
MOST_TOP_K = 1000

StopText = Annotated[Text, Field(min_length=1, max_length=100)]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _some_tokens(count: int) -> int:
    if count == 0:
        raise ValueError("an answer has at least 1 token; -1 for as many as the server allows")
    return count


def _default(name: str, words: str) -> str:
    """A parameter's description: what a model in this process takes if nothing is asked for."""
    value = SamplingParams.__dataclass_fields__[name].default
    return (
        f"By default what the model's makers say, or {value:g}; {words}. In front of another "
        "server its own."
    )


Tokens = Annotated[int, Field(strict=True, ge=-1), AfterValidator(_some_tokens)] | None


class Params(ThinkingParams, WireModel):
    """Sampling parameters of one response; what is absent is as the model's makers say, or else
    takes the default, or in front of another server that one's.

    What OpenAI, vLLM and llama.cpp take means the same here. `max_tokens` above the server's bound
    is that bound, as -1 is; `top_p` 0 takes the likeliest token each time; `top_k` 0 or -1 is no
    bound, and more than 1000 is 1000; `seed` -1 is none. `truncation` `disabled`: a conversation
    that does not fit fails, and loses no turn.
    """

    max_tokens: Tokens = None
    temperature: float | None = Field(
        None, ge=0, description=_default("temperature", "0 is the likeliest token each time")
    )
    top_p: float | None = Field(None, ge=0, le=1, description=_default("top_p", "1 is no bound"))
    top_k: int | None = Field(
        None, ge=-1, strict=True, description=_default("top_k", "0 is no bound")
    )
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, strict=True)
    repetition_penalty: float | None = Field(
        None, ge=0.5, le=2, description=_default("repetition_penalty", "which is none")
    )
    stop: Annotated[
        list[StopText], BeforeValidator(_as_list, json_schema_input_type=StopText | list[StopText])
    ] = Field(default_factory=list, max_length=MOST_STOPS)
    ignore_eos: bool | None = Field(None, strict=True)
    truncation: Literal["auto", "disabled"] | None = None
