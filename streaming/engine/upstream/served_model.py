"""The models that a server lists, and what it says of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from streaming.engine.upstream import bounds, faults
from streaming.engine.upstream.passed_fields import as_object

_MOST_CONTEXT = 1_000_000_000
_SEES = {"vision", "multimodal", "image", "image_input", "images"}
_CALLS = {"tools", "tool_use", "function_calling", "tool_calling"}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that the server lists. `server` is its `owned_by`, which tells the kind of server;
    `context_tokens` 0, `takes_images` and `takes_tools` None: it does not say."""

    name: str
    server: str = ""
    context_tokens: int = 0
    takes_images: bool | None = None
    takes_tools: bool | None = None


def models_of(body: bytes) -> list[ServedModel]:
    """Return the first 1,000 models of the answer to `GET /models`, without those that have no
    printable name. Raises UpstreamFault if it is no list of models."""
    if len(body) > bounds.LIST_BYTES:
        raise faults.misconfigured("GET /models answers with more than can be a list of models")
    try:
        rows = (json.loads(body)["data"] or [])[: bounds.LISTED_MODELS]
        models = [_model(row) for row in rows]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise faults.misconfigured("GET /models answers with no list of models") from None
    return [model for model in models if _is_name(model.name)]


def _model(row: dict[str, Any]) -> ServedModel:
    meta = row.get("meta")
    # vLLM and SGLang; llama.cpp
    contexts = (row.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None)
    context = next((n for n in contexts if isinstance(n, int) and 0 < n <= _MOST_CONTEXT), 0)
    server = row.get("owned_by")
    known = isinstance(server, str) and _is_name(server)
    takes = _takes_images(row), _takes_tools(row)
    return ServedModel(str(row["id"]), str(server) if known else "", context, *takes)


def _takes_images(row: dict[str, Any]) -> bool | None:
    """By the modalities of llama.cpp, OpenRouter and others, or by capabilities."""
    for holder in (as_object(row.get("architecture")), row):
        if isinstance(modalities := holder.get("input_modalities"), list) and modalities:
            return "image" in modalities
    return _can(row, _SEES, is_listed_whole=True)


def _takes_tools(row: dict[str, Any]) -> bool | None:
    """By OpenRouter's list of parameters, or by capabilities."""
    if isinstance(names := row.get("supported_parameters"), list) and names:
        return "tools" in names
    return _can(row, _CALLS, is_listed_whole=False)


def _can(row: dict[str, Any], names: set[str], *, is_listed_whole: bool) -> bool | None:
    """What `capabilities` say, an object of booleans or a list; None where they do not.
    `is_listed_whole`: what a list of them does not name is not there."""
    said = row.get("capabilities")
    if isinstance(said, dict):
        told = [value for name, value in said.items() if name in names and isinstance(value, bool)]
        return any(told) if told else None
    if isinstance(said, list) and said:
        found = any(isinstance(name, str) and name in names for name in said)
        return found or (False if is_listed_whole else None)
    return None


def _is_name(text: str) -> bool:
    return 0 < len(text) <= bounds.NAME_CHARS and text.isprintable()
