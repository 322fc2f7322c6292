"""What was published of an open response: its output so far, as its readers have it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from streaming.engine.passed import Passed, add, kept
from streaming.record.output import Kind, Output, Segment
from streaming.waiting_list.interface import WaitingList


async def published(waiting_list: WaitingList, response_id: str) -> Output:
    """Return the output so far."""
    return Published.of(await waiting_list.read(response_id)).output


@dataclass(frozen=True, slots=True)
class Published:
    """An output, and the numbers of its items that are not done."""

    output: Output
    open_items: tuple[int, ...] = ()

    @classmethod
    def of(cls, events: Iterable[str]) -> Published:
        """Return what an answer's events say, as the waiting list stores them."""
        reading = _Reading()
        for event in map(json.loads, events):
            reading.take(event)
        return reading.published()


class _Reading:
    """Reads the events of an answer in order. What is not kept (`engine.passed.kept`) is left
    out."""

    def __init__(self) -> None:
        self._void()

    def _void(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._passed: Passed = {}
        self._reasoning_ms: int | None = None
        self._segments: list[Segment] = []
        self._open: list[int] = []

    def take(self, event: dict[str, Any]) -> None:
        """Take an event; `response.in_progress` voids what stands before it."""
        match event.get("type"):
            case "response.in_progress":
                self._void()
            case "response.output_item.added":
                self._open_item(event["output_index"], event["item"])
            case "response.content_part.added":
                if event["part"]["type"] == "refusal":
                    self._segments[event["output_index"]] = Segment("refusal", 0)
            case "response.output_text.delta":
                self._texts.append(event["delta"])
                self._grow(event)
            case "response.reasoning_text.delta":
                self._thoughts.append(event["delta"])
                self._reasoning_ms = event["chatstream"]["reasoning_ms"]
                self._grow(event)
            case "response.refusal.delta":
                add(self._passed, {"refusal": event["delta"]})
                self._grow(event)
            case "response.function_call_arguments.delta":
                call = {
                    "index": self._segments[event["output_index"]].size,
                    "function": {"arguments": event["delta"]},
                }
                add(self._passed, {"tool_calls": [call]})
            case "response.output_item.done":
                self._open.remove(event["output_index"])
            case "chatstream:passed":
                add(self._passed, kept(event["fields"]))

    def _open_item(self, number: int, item: dict[str, Any]) -> None:
        self._open.append(number)
        if item["type"] != "function_call":
            kind: Kind = "reasoning" if item["type"] == "reasoning" else "message"
            self._segments.append(Segment(kind, 0))
            return
        index = len(self._passed.get("tool_calls", ()))
        self._segments.append(Segment("function_call", index))
        function = {"name": item["name"], "arguments": item["arguments"]}
        call = {"index": index, "id": item["call_id"], "type": "function", "function": function}
        add(self._passed, {"tool_calls": [call]})

    def _grow(self, event: dict[str, Any]) -> None:
        number = event["output_index"]
        kind, size = self._segments[number]
        self._segments[number] = Segment(kind, size + len(event["delta"]))

    def published(self) -> Published:
        """Return what was read."""
        output = Output(
            "".join(self._texts),
            "".join(self._thoughts),
            self._reasoning_ms,
            self._passed,
            tuple(self._segments),
        )
        return Published(output, tuple(self._open))
