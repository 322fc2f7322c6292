"""Events of version 2 as a scripted server says them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Item = dict[str, Any]

GREETING_TYPE = "chatstream:session"
TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def message(text: str) -> Item:
    return {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }


def refusal(text: str) -> Item:
    return message("") | {"content": [{"type": "refusal", "refusal": text}]}


def reasoning(text: str) -> Item:
    parts = [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "id": "rs_1", "summary": [], "content": parts}


def call(name: str, arguments: str, status: str = "completed") -> Item:
    ids = {"id": "fc_1", "call_id": "call_1"}
    return {"type": "function_call", **ids, "name": name, "arguments": arguments, "status": status}


def begun(trimmed_messages: int = 0) -> dict[str, Any]:
    """Return the fields of a `response.in_progress`."""
    extension = {"trimmed_messages": trimmed_messages, "attempt": 1}
    return {"response": {"status": "in_progress", "output": [], "chatstream": extension}}


def ended(
    status: str = "completed",
    text: str = "",
    thought: str = "",
    *,
    items: Sequence[Item] | None = None,
    tokens: int = 2,
    total_ms: int = 3,
    reasoning_ms: int | None = None,
    error: dict[str, str] | None = None,
) -> tuple[str, dict[str, Any]]:
    """Return the type and the fields of a last event, whose items are thought and text unless
    `items` are given."""
    if items is None:
        items = [*([reasoning(thought)] if thought else []), *([message(text)] if text else [])]
    type_ = "incomplete" if status == "cancelled" else status
    usage = {"input_tokens": 1, "output_tokens": tokens, "total_tokens": 1 + tokens}
    usage_details = {"output_tokens_details": {"reasoning_tokens": 0}}
    timings = {"queue_ms": 0, "ttft_ms": 0, "total_ms": total_ms, "reasoning_ms": reasoning_ms}
    response = {
        "status": status,
        "output": list(items),
        "usage": {**usage, **usage_details},
        "error": error,
        "chatstream": {"finish_reason": "stop", "trimmed_messages": 0, "timings": timings},
    }
    return f"response.{type_}", {"response": response}
