"""Reads what the events of a response say, in the words of Chat Completions.

Knows no request and no connection: events go in as the waiting list stores them, text and fields
come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streaming.engine.passed import Passed


@dataclass(frozen=True, slots=True)
class Text:
    """More of an answer's text, or of its thought, of which `offset` code points stand before.
    `logprobs`: of its tokens, where somebody says them."""

    text: str
    offset: int
    is_thought: bool = False
    logprobs: tuple[Mapping[str, Any], ...] = ()


class OutputReader:
    """Reads one response's events, in the order of their numbers.

    Calls of functions are counted as they come: the first one is 0. An answer that begins anew
    begins with 0 again.
    """

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}  # the number of the call that an item is

    def read(self, event: Mapping[str, Any]) -> Iterator[Text | Passed]:
        """Yield what one event adds to the answer: text, or fields as `engine.passed` describes
        them. Events that add nothing, those of a later version among them, yield nothing."""
        match event["type"]:
            case "response.in_progress":
                self._calls = {}
            case "response.output_text.delta":
                logprobs = tuple(event.get("logprobs") or ())
                yield Text(event["delta"], event["chatstream"]["offset"], logprobs=logprobs)
            case "response.reasoning_text.delta":
                yield Text(event["delta"], event["chatstream"]["offset"], is_thought=True)
            case "response.refusal.delta":
                yield {"refusal": event["delta"]}
            case "response.output_item.added" if event["item"]["type"] == "function_call":
                index = self._calls.setdefault(event["output_index"], len(self._calls))
                yield {"tool_calls": [_call(index, event["item"])]}
            case "response.function_call_arguments.delta":
                index = self._calls.setdefault(event["output_index"], len(self._calls))
                part = {"index": index, "function": {"arguments": event["delta"]}}
                yield {"tool_calls": [part]}
            case "chatstream:passed":
                yield dict(event["fields"])


def fields_of(part: Text | Passed) -> Passed:
    """Return what a part says besides text, as `engine.passed` describes it."""
    if isinstance(part, Text):
        return {"logprobs": {"content": list(part.logprobs)}} if part.logprobs else {}
    return part


def text_of(items: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of all messages of an output, as its deltas count it."""
    return "".join(_parts(items, "message", "output_text", "text"))


def thought_of(items: Iterable[Mapping[str, Any]]) -> str:
    """Return all that was thought in an output, as its deltas count it."""
    return "".join(_parts(items, "reasoning", "reasoning_text", "text"))


def passed_of(items: Iterable[Mapping[str, Any]]) -> Passed:
    """Return what a whole output says besides text and thought, as `engine.passed` describes it."""
    items = list(items)
    passed: Passed = {}
    if refusal := "".join(_parts(items, "message", "refusal", "refusal")):
        passed["refusal"] = refusal
    calls = [item for item in items if item["type"] == "function_call"]
    if calls:
        passed["tool_calls"] = [_call(index, item) for index, item in enumerate(calls)]
    return passed


def _parts(items: Iterable[Mapping[str, Any]], kind: str, part: str, field: str) -> Iterator[str]:
    for item in items:
        if item["type"] == kind:
            for each in item.get("content") or ():
                if each["type"] == part:
                    yield each[field]


def _call(index: int, item: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"index": index, "id": item["call_id"], "type": "function", "function": function}
