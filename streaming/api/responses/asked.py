"""From a request to what its response takes and keeps: parameters for the engine, and what of the
request is shown again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from streaming.api import passing
from streaming.api.errors import ApiError
from streaming.api.responses.options import AllowedTools, ChosenFunction, TextFormat
from streaming.api.responses.requests import ResponseRequest
from streaming.lifecycle import params
from streaming.protocol.sampling_params import Params

MOST_KEPT_CHARS = 262_144
"""Of tools, format and metadata together, as JSON."""

_KEPT = (
    "previous_response_id",
    "conversation",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_tool_calls",
    "text",
    "include",
    "metadata",
    "max_output_tokens",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "reasoning",
    "safety_identifier",
    "prompt_cache_key",
    "user",
    "truncation",
)
"""The fields that `Response.request` keeps, where they are given."""

_SHOWN_REASONING = ("effort", "summary")

_PARAMS = {
    "response_format": "text.format",
    "logprobs": "include",
}
"""Parameters of Chat Completions, and what asks for them here."""

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def params_of(request: ResponseRequest, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters as the record keeps them, for a model that its worker describes so.
    Raises ApiError for what contradicts itself."""
    limits = {
        name: limit
        for name in ("max_output_tokens", "max_tokens")
        if (limit := getattr(request, name)) is not None
    }
    if len(set(limits.values())) > 1:
        text = "`max_tokens` and `max_output_tokens` are the same; send one of them."
        raise ApiError(400, "invalid_value", text, "max_tokens")
    given = {name: getattr(request, name) for name in Params.model_fields}
    given["max_tokens"] = next(iter(limits.values()), None)
    given["truncation"] = request.truncation or "disabled"
    return params.resolve(Params(**given), model, thinking=request)


def passed_on(request: ResponseRequest, *, to_server: bool) -> dict[str, Any] | None:
    """Return the parameters for the model's server in the words of Chat Completions, None where
    there is none. Raises ApiError for one that would change the answer and cannot."""
    verbosity = request.text.verbosity if request.text else None
    if verbosity not in (None, "medium") and not to_server:
        text = "This model cannot be told how much to say."
        raise ApiError(400, "unsupported_parameter", text, "text.verbosity")
    tools, choice = _tools(request)
    wanted = passing.PassedOn(
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=request.parallel_tool_calls if tools else None,
        response_format=_format(request.text.format if request.text else None),
        logprobs=True if _wants_logprobs(request) else None,
        top_logprobs=request.top_logprobs or None,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        service_tier=request.service_tier,
        prompt_cache_key=request.prompt_cache_key,
        safety_identifier=request.safety_identifier,
    )
    try:
        passed = passing.passed_on(wanted, to_server=to_server)
    except ApiError as error:
        shown = _PARAMS.get(error.param or "", error.param)
        message = error.message.replace(f"`{error.param}`", f"`{shown}`")
        raise ApiError(error.status, error.code, message, shown) from None
    if passed is not None and verbosity:
        passed["verbosity"] = verbosity
    return passed


def kept_of(request: ResponseRequest) -> dict[str, Any]:
    """Return what the response keeps of the request. Raises ApiError if that is too much."""
    dumped = request.model_dump(mode="json", include=set(_KEPT), by_alias=True, exclude_none=True)
    kept = {name: dumped[name] for name in _KEPT if name in dumped}
    for name in ("tools", "metadata", "include"):
        if not kept.get(name):
            kept.pop(name, None)
    if "conversation" in kept:
        kept["conversation"] = True
    if "reasoning" in kept:
        shown = {name: kept["reasoning"].get(name) for name in _SHOWN_REASONING}
        kept["reasoning"] = shown
    if "text" in kept:
        kept["text"]["format"] = _shown_format(kept["text"].get("format"))
    text = json.dumps(kept)
    if len(text) > MOST_KEPT_CHARS:
        said = f"`tools`, `text` and `metadata` have {len(text):,} characters together; at most "
        said += f"{MOST_KEPT_CHARS:,} are allowed."
        raise ApiError(400, "input_too_long", said, "tools" if "tools" in kept else "text")
    if _NUL.search(text):
        param = next((name for name in kept if _NUL.search(json.dumps(kept[name]))), None)
        raise ApiError(400, "invalid_value", "The character U+0000 is not allowed.", param)
    return kept


def _wants_logprobs(request: ResponseRequest) -> bool:
    return bool(request.top_logprobs) or request.includes("message.output_text.logprobs")


def _tools(request: ResponseRequest) -> tuple[list[dict[str, Any]] | None, Any]:
    """Return tools and choice in the words of Chat Completions. Of tools that are allowed only,
    the others are not passed on: so none of them is called."""
    dumped = request.model_dump(include={"tools"}, exclude_none=True).get("tools")
    if not dumped:
        return None, None
    choice: Any = request.tool_choice
    match choice:
        case ChosenFunction():
            choice = {"type": "function", "function": {"name": choice.name}}
        case AllowedTools():
            dumped = [tool for tool in dumped if tool["name"] in request.chosen]
            choice = choice.mode
    tools = []
    for tool in dumped:
        function = {name: value for name, value in tool.items() if name != "type"}
        tools.append({"type": "function", "function": function})
    return tools, choice


def _shown_format(given: dict[str, Any] | None) -> dict[str, Any]:
    if given is None or given["type"] != "json_schema":
        return {"type": given["type"] if given else "text"}
    return {"description": None, "strict": False, **given}


def _format(given: TextFormat | None) -> dict[str, Any] | None:
    if given is None:
        return None
    if given.type != "json_schema":
        return {"type": given.type}
    schema = given.model_dump(by_alias=True, exclude_none=True, exclude={"type"})
    return {"type": "json_schema", "json_schema": schema}
