"""What the last event of an answer says, flat, and checked for being one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from streaming.protocol.response_events import TERMINAL_TYPES

_TYPES = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    "cancelled": "response.incomplete",
    "failed": "response.failed",
}


def is_end(event: Mapping[str, Any]) -> bool:
    """Whether an event is the last one of its response."""
    return event["type"] in TERMINAL_TYPES


def text_of(items: Iterable[Mapping[str, Any]]) -> str:
    """The text of all messages among output items."""
    return "".join(
        part["text"]
        for item in items
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    )


def thought_of(items: Iterable[Mapping[str, Any]]) -> str:
    """What all reasoning items say."""
    return "".join(
        part["text"] for item in items if item["type"] == "reasoning" for part in item["content"]
    )


def usage(read: int, written: int, thought: int = 0) -> dict[str, Any]:
    """The `usage` of so many tokens, none of which was in the cache."""
    return {
        "input_tokens": read,
        "output_tokens": written,
        "total_tokens": read + written,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": thought},
    }


def ending(event: Mapping[str, Any]) -> dict[str, Any]:
    """The last event with what its response says beside its own fields: `status`, `usage`, `error`,
    `items`, `text`, `reasoning`, `finish_reason`, `timings`."""
    response = event["response"]
    assert event["type"] == _TYPES[response["status"]], event
    assert response["id"] == f"resp_{UUID(event['response_id']).hex}", event
    extension = response["chatstream"]
    items = response["output"]
    for number, item in enumerate(items):
        assert item["id"].endswith(f"_{UUID(event['response_id']).hex}_{number}"), item
    assert (response["incomplete_details"] is not None) == (
        event["type"] == "response.incomplete"
    ), event
    return {
        **event,
        "status": response["status"],
        "usage": response["usage"],
        "error": response["error"],
        "items": items,
        "text": text_of(items),
        "reasoning": thought_of(items),
        "finish_reason": extension["finish_reason"],
        "timings": extension["timings"],
    }
