"""What was published of one answer: its text, what was thought before it, and what came besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from uuid import UUID

from streaming.models import Response

Kind = Literal["reasoning", "message", "refusal", "function_call"]


class Segment(NamedTuple):
    """One item of an output. `size` is how many characters of the answer's thought, text or refusal
    are in it; of a `function_call` it is the index of the call in `passed`."""

    kind: Kind
    size: int


@dataclass(frozen=True, slots=True)
class Output:
    """`reasoning_ms`: milliseconds of thinking, None without any. `passed`: as `engine.passed`
    describes it. `segments`: the items that text, thought and `passed` belong to, in order."""

    text: str = ""
    reasoning: str = ""
    reasoning_ms: int | None = None
    passed: Mapping[str, Any] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()

    @classmethod
    def of_row(cls, row: Response) -> Output:
        """Return what a response says, as its row has it."""
        segments = tuple(Segment(kind, size) for kind, size in row.items or ())
        return cls(row.text, row.reasoning, row.reasoning_ms, row.passed or {}, segments)

    def all_segments(self) -> tuple[Segment, ...]:
        """Return `segments`, or those of an answer of which none were written down: one thought,
        one text, a refusal and the calls, each if there is any."""
        if self.segments:
            return self.segments
        found = [
            Segment("reasoning", len(self.reasoning)),
            Segment("message", len(self.text)),
            Segment("refusal", len(self.passed.get("refusal", ""))),
        ]
        calls = [
            Segment("function_call", call["index"]) for call in self.passed.get("tool_calls", ())
        ]
        return (*(each for each in found if each.size), *calls)

    def tool_calls(self, response_id: UUID) -> list[dict[str, Any]]:
        """Return the calls of a response as a turn of its conversation keeps them: each has an id,
        which is made of its item's where the model's server gave none."""
        calls = {call["index"]: call for call in self.passed.get("tool_calls", ())}
        numbers = enumerate(self.all_segments())
        return [
            {
                "id": f"call_{response_id.hex}_{number}",
                "type": "function",
                **{name: value for name, value in calls[size].items() if name != "index" and value},
            }
            for number, (kind, size) in numbers
            if kind == "function_call"
        ]

    def kept_segments(self) -> list[list[str | int]] | None:
        """Return what `Response.items` keeps: None where `all_segments` finds the same without."""
        plain = Output(self.text, self.reasoning, passed=self.passed)
        if self.segments == plain.all_segments():
            return None
        return [[kind, size] for kind, size in self.segments] or None
