"""Writes requests for Responses, out of parameters and messages in the words of Chat Completions.

The server keeps nothing (`store` false): the whole conversation is sent each time, since a worker
that dies takes no id of the server's along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streaming.engine.base import ChatMessage, Thinking
from streaming.engine.upstream import parts
from streaming.engine.upstream.chat_request import ADVICE, sampling_of, thinking_fields
from streaming.engine.upstream.query import Wanted
from streaming.engine.upstream.surrogates import sound, whole

OPTIONAL = (
    *ADVICE,
    "store",
    "top_k",
    "repetition_penalty",
    "repeat_penalty",
    "ignore_eos",
    "seed",
    "stop",
    "reasoning",
    "chat_template_kwargs",
)
"""Fields that may be left out. `stop` strings are looked for here, too. So may `thoughts`, the
items of the type `reasoning`, where the server names them."""

LOGPROBS = "message.output_text.logprobs"


def body_of(wanted: Wanted, without: set[str]) -> dict[str, Any]:
    """Return the request's JSON, without these fields. Raises UpstreamFault for parts of a content
    that it cannot have."""
    params = wanted.params
    body: dict[str, Any] = {
        **_passed(sound(dict(params.passed or {}))),
        "model": wanted.model,
        "input": _items(wanted, with_thoughts="thoughts" not in without),
        "stream": True,
        "store": False,
        "max_output_tokens": wanted.max_tokens,
        "seed": params.seed & 0x7FFFFFFF,
        **sampling_of(params, wanted.server),
        **_thinking(wanted.thinking),
    }
    if params.stop:
        body["stop"] = [whole(text) for text in params.stop]
    if params.ignore_eos:
        body["ignore_eos"] = True
    return {name: value for name, value in body.items() if name not in without}


def asked_of(thinking: Thinking) -> dict[str, Any]:
    """Return the fields of thinking that the request set itself: they are never left out."""
    asked: dict[str, Any] = {}
    if thinking.asked:
        asked["reasoning"] = {"effort": thinking.asked}
    if thinking.template:
        asked["chat_template_kwargs"] = sound(dict(thinking.template))
    return asked


def _thinking(thinking: Thinking) -> dict[str, Any]:
    fields = thinking_fields(thinking)
    effort = fields.pop("reasoning_effort", None)
    return {"reasoning": {"effort": effort}, **fields} if effort else fields


def _passed(given: dict[str, Any]) -> dict[str, Any]:
    """What is passed on, by its names here; what has the same name stays as it is."""
    body = dict(given)
    if "tools" in body:
        body["tools"] = [_flat(tool) for tool in body["tools"]]
    if isinstance(choice := body.get("tool_choice"), dict):
        body["tool_choice"] = _choice(choice)
    text: dict[str, Any] = {}
    if form := body.pop("response_format", None):
        text["format"] = _form(form)
    if verbosity := body.pop("verbosity", None):
        text["verbosity"] = verbosity
    if text:
        body["text"] = text
    if body.pop("logprobs", None):
        body["include"] = [LOGPROBS]
    return body


def _flat(tool: Mapping[str, Any]) -> dict[str, Any]:
    """`{type, function: {...}}` as `{type, ...}`; likewise for other types."""
    kind = str(tool.get("type"))
    inner = tool.get(kind)
    if not isinstance(inner, dict):
        return dict(tool)
    rest = {name: value for name, value in tool.items() if name != kind}
    return {**rest, **inner, "type": kind}


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    flat = _flat(choice)
    if isinstance(tools := flat.get("tools"), list):  # those that are allowed
        flat["tools"] = [_flat(tool) if isinstance(tool, dict) else tool for tool in tools]
    return flat


def _form(form: Mapping[str, Any]) -> dict[str, Any]:
    return _flat(form) if form.get("type") == "json_schema" else dict(form)


def _items(wanted: Wanted, *, with_thoughts: bool) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    last = len(wanted.messages) - 1
    for number, message in enumerate(wanted.messages):
        thought = wanted.thought_of(number) if with_thoughts else ""
        if thought:
            said = [{"type": "reasoning_text", "text": whole(thought)}]
            items.append(
                {"type": "reasoning", "id": f"rs_{number}", "summary": [], "content": said}
            )
        items += _message_items(message, number, is_begun=number == last)
    return items


def _message_items(message: ChatMessage, number: int, *, is_begun: bool) -> list[dict[str, Any]]:
    """A message of the assistant's and its calls, or another's message, or a tool's result."""
    content: Any = whole(message.content)
    if not parts.is_plain(message):
        content = parts.for_responses(message)
    if message.role == "tool":
        call_id = whole(str(message.fields.get("tool_call_id", "")))
        return [{"type": "function_call_output", "call_id": call_id, "output": content}]
    if message.role != "assistant":
        return [{"type": "message", "role": message.role, "content": content}]
    items: list[dict[str, Any]] = []
    if content:
        if isinstance(content, str):
            content = [parts.text_part(content, is_assistant=True)]
        # An incomplete one that ends the input is gone on with.
        items.append(
            {
                "type": "message",
                "id": f"msg_{number}",
                "role": "assistant",
                "status": "incomplete" if is_begun else "completed",
                "content": content,
            }
        )
    for call in message.fields.get("tool_calls") or ():
        function = call.get("function", {})
        items.append(
            {
                "type": "function_call",
                "call_id": whole(str(call.get("id", ""))),
                "name": whole(str(function.get("name", ""))),
                "arguments": whole(str(function.get("arguments", ""))),
            }
        )
    return items
