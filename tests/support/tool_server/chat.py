"""Chat Completions: what is asked in its words, and what is said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from tests.support.tool_server.asked import Asked, BadRequest, Call, Turn
from tests.support.tool_server.spoken import Spoken


def asked_of(body: dict[str, Any]) -> Asked:
    """Read a request. Raises BadRequest."""
    if not isinstance(body.get("messages"), list):
        raise BadRequest("Field required", "messages")
    form = body.get("response_format") or {}
    choice = body.get("tool_choice") or "auto"
    return Asked(
        turns=tuple(map(_turn, body["messages"])),
        tools=dict(map(_tool, body.get("tools") or ())),
        choice=choice if isinstance(choice, str) else choice["function"]["name"],
        parallel=body.get("parallel_tool_calls") is not False,
        schema={"json_schema": form.get("json_schema", {}).get("schema", {}),
                "json_object": {}}.get(form.get("type", "")),
        thinks=_thinks(body),
        goes_on=bool(body.get("continue_final_message")),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens") or 1024,
        stop=_listed(body.get("stop")),
        top_logprobs=(body.get("top_logprobs") or 0) if body.get("logprobs") else None,
    )  # fmt: skip


def _thinks(body: dict[str, Any]) -> bool:
    variables = body.get("chat_template_kwargs") or {}
    effort = body.get("reasoning_effort")
    return bool(variables.get("enable_thinking", effort not in (None, "none")))


def _listed(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _tool(tool: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if tool.get("type") != "function":
        raise BadRequest(f"Tools of the type {tool.get('type')!r} are not known.", "tools")
    return tool["function"]["name"], tool["function"].get("parameters") or {}


def _turn(message: dict[str, Any]) -> Turn:
    content = message.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts, images = [], []
    for part in parts:
        match part["type"]:
            case "text":
                texts.append(part["text"])
            case "image_url":
                images.append(part["image_url"]["url"])
            case "refusal":
                texts.append(part["refusal"])
            case kind:
                raise BadRequest(f"Parts of the type {kind!r} are not known.", "messages")
    calls = [
        Call(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    call_id = message.get("tool_call_id", "")
    return Turn(message["role"], "\n".join(texts), tuple(images), tuple(calls), call_id)


def usage_of(spoken: Spoken) -> dict[str, Any]:
    """Return the counts, with their details."""
    return {
        "prompt_tokens": spoken.prompt_tokens,
        "completion_tokens": spoken.tokens,
        "total_tokens": spoken.prompt_tokens + spoken.tokens,
        "prompt_tokens_details": {"cached_tokens": spoken.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": spoken.thought_tokens},
    }


def events(body: dict[str, Any], spoken: Spoken, name: str) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a streamed answer."""
    head = {"id": name, "object": "chat.completion.chunk", "created": int(time.time()),
            "model": body.get("model"), "system_fingerprint": "fp_rules"}  # fmt: skip

    def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason, **more}]}

    yield chunk({"role": "assistant", "content": ""})
    calls = -1
    for kind, text, call in spoken.pieces():
        probability = spoken.logprob(text) if kind in ("text", "refusal") else None
        key = "refusal" if kind == "refusal" else "content"
        more = {"logprobs": {key: [probability]}} if probability else {}
        match kind:
            case "reasoning":
                yield chunk({"reasoning_content": text})
            case "text":
                yield chunk({"content": text}, **more)
            case "refusal":
                yield chunk({"refusal": text}, **more)
            case "call":
                part: dict[str, Any] = {"arguments": text}
                first: dict[str, Any] = {}
                if call:
                    calls += 1
                    part["name"] = call.name
                    first = {"id": call.id, "type": "function"}
                yield chunk({"tool_calls": [{"index": calls, **first, "function": part}]})
    yield chunk({}, spoken.finish_reason)
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": usage_of(spoken), "service_tier": "default"}


def whole(body: dict[str, Any], spoken: Spoken, name: str) -> dict[str, Any]:
    """Return the answer at once."""
    texts = {"reasoning": "", "text": "", "refusal": ""}
    calls: list[dict[str, Any]] = []
    for kind, text, call in spoken.pieces():
        if kind != "call":
            texts[kind] += text
            continue
        if call:
            function = {"name": call.name, "arguments": ""}
            calls.append({"id": call.id, "type": "function", "function": function})
        calls[-1]["function"]["arguments"] += text
    message: dict[str, Any] = {
        "role": "assistant",
        "content": texts["text"] or None,
        "refusal": texts["refusal"] or None,
    }
    if texts["reasoning"]:
        message["reasoning_content"] = texts["reasoning"]
    if calls:
        message["tool_calls"] = calls
    return {
        "id": name,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": spoken.finish_reason,
                     "logprobs": None}],
        "usage": usage_of(spoken),
    }  # fmt: skip
