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
    """Return a parameter's description, with its default in this process."""
    value = SamplingParams.__dataclass_fields__[name].default
    return (
        f"By default the model's own value, else {value:g}; {words}. In front of another server, "
        "that server's default."
    )


Tokens = Annotated[int, Field(strict=True, ge=-1), AfterValidator(_some_tokens)] | None


class Params(ThinkingParams, WireModel):
    """Sampling parameters of one response. An absent one takes the model's own value, else the
    default; in front of another server, that server's default.

    Values mean the same as for OpenAI, vLLM and llama.cpp. `max_tokens` -1, or above the server's
    limit, is that limit; `top_p` 0 takes the most likely token each time; `top_k` 0 or -1 is no
    limit, and above 1000 is 1000; `seed` -1 is none. `truncation` `disabled`: a conversation that
    does not fit into the context fails, instead of losing its oldest messages.
    """

    max_tokens: Tokens = None
    temperature: float | None = Field(
        None, ge=0, description=_default("temperature", "0 takes the most likely token each time")
    )
    top_p: float | None = Field(None, ge=0, le=1, description=_default("top_p", "1 is no limit"))
    top_k: int | None = Field(
        None, ge=-1, strict=True, description=_default("top_k", "0 is no limit")
    )
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, strict=True)
    repetition_penalty: float | None = Field(
        None, ge=0.5, le=2, description=_default("repetition_penalty", "1 is no penalty")
    )
    stop: Annotated[
        list[StopText], BeforeValidator(_as_list, json_schema_input_type=StopText | list[StopText])
    ] = Field(default_factory=list, max_length=MOST_STOPS)
    ignore_eos: bool | None = Field(None, strict=True)
    truncation: Literal["auto", "disabled"] | None = None
