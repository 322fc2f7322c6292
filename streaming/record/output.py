"""What was published of one answer: its text, what was thought before it, and what came besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Output:
    """`reasoning_ms`: milliseconds of thinking, None without any. `passed`: as `engine.passed`
    describes it."""

    text: str = ""
    reasoning: str = ""
    reasoning_ms: int | None = None
    passed: Mapping[str, Any] = field(default_factory=dict)
