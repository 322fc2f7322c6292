"""What was published of an open response: its output so far, as its readers have it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from streaming.engine.passed import kept, whole_of
from streaming.record.output import Output
from streaming.waiting_list.interface import WaitingList


async def published(waiting_list: WaitingList, response_id: str) -> Output:
    """Return the output so far."""
    return output_of(await waiting_list.read(response_id))


def output_of(events: Iterable[str]) -> Output:
    """Return what an answer's events say, as the waiting list stores them. `response.in_progress`
    voids what stands before it; what is not kept (`engine.passed.kept`) is left out."""
    texts: list[str] = []
    thoughts: list[str] = []
    passed: list[dict[str, Any]] = []
    reasoning_ms: int | None = None
    for event in map(json.loads, events):
        match event.get("type"):
            case "response.in_progress":
                texts, thoughts, passed, reasoning_ms = [], [], [], None
            case "response.output_text.delta":
                texts.append(event["delta"])
            case "response.reasoning_text.delta":
                thoughts.append(event["delta"])
                reasoning_ms = event["reasoning_ms"]
            case "response.passed.delta":
                passed.append(event["fields"])
    return Output("".join(texts), "".join(thoughts), reasoning_ms, kept(whole_of(passed)))
