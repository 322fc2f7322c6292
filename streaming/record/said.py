"""What was published of one answer: its text, what was thought before it, and what came besides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streaming.engine.passed import kept, whole_of


@dataclass(frozen=True, slots=True)
class Said:
    """`reasoning_ms`: milliseconds of thinking, None without any. `passed`: as `engine.passed`
    describes it."""

    text: str = ""
    reasoning: str = ""
    reasoning_ms: int | None = None
    passed: Mapping[str, Any] = field(default_factory=dict)


def said_of(events: Iterable[str]) -> Said:
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
    return Said("".join(texts), "".join(thoughts), reasoning_ms, kept(whole_of(passed)))
