"""Writes requests for Completions, which go on with a bare text."""

from __future__ import annotations

from typing import Any

from streaming.engine.base import SamplingParams, Thinking
from streaming.engine.upstream import chat_request
from streaming.engine.upstream.query import Api, Query
from streaming.engine.upstream.surrogates import sound, whole

OPTIONAL = chat_request.SAMPLING_OPTIONAL
"""Fields that may be left out: the answer is one without them, too."""

TEMPLATED = {"library"}
"""Servers, by the `owned_by` of their models, that put the text into the chat template: Ollama."""


def asked_of(thinking: Thinking) -> dict[str, Any]:
    """Return nothing: nobody thinks before a text goes on."""
    return {}


def query(
    model: str,
    text: str,
    params: SamplingParams,
    max_tokens: int,
    *,
    server: str,
    without: set[str],
) -> Query:
    """Return the request that goes on with `text`, without these fields."""
    body: dict[str, Any] = {
        **sound(dict(params.passed or {})),
        "model": model,
        "prompt": whole(text),
        "stream": True,
        "max_tokens": max_tokens,
        "seed": params.seed & 0x7FFFFFFF,  # some servers keep 32 bits
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        **chat_request.sampling_of(params, server),
    }
    if params.stop:
        body["stop"] = [whole(each) for each in params.stop]
    if params.ignore_eos:
        body["ignore_eos"] = True
    return Query(Api.TEXT, chat_request.without_fields(body, without), max_tokens)
