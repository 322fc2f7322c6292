"""Makes an answer's items of its events, as any client would, and checks that they fit together."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tests.support.endings import is_end, text_of, thought_of

_TEXT = {"output_text": "text", "reasoning_text": "text", "refusal": "refusal"}
_DELTAS = {
    "response.output_text.delta": "output_text",
    "response.reasoning_text.delta": "reasoning_text",
    "response.refusal.delta": "refusal",
}
_DONE = {
    "response.output_text.done": "output_text",
    "response.reasoning_text.done": "reasoning_text",
    "response.refusal.done": "refusal",
}


class ToldItems:
    """The items of one answer, from the events of each number once, in order."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """The answer begins, or begins anew."""
        self.items: list[dict[str, Any]] = []
        self._done: set[int] = set()
        self._lengths = {"output_text": 0, "reasoning_text": 0}

    @property
    def text(self) -> str:
        return text_of(self.items)

    @property
    def thought(self) -> str:
        return thought_of(self.items)

    def take(self, event: Mapping[str, Any]) -> None:
        """Take the next numbered event; fails if it does not fit what came before."""
        kind = event["type"]
        if kind == "response.in_progress":
            assert event["response"]["status"] == "in_progress", event
            assert event["response"]["output"] == [], event
            self.begin()
        elif kind == "response.output_item.added":
            assert event["output_index"] == len(self.items), event
            assert event["item"]["status"] == "in_progress", event
            self.items.append(copy.deepcopy(event["item"]))
        elif kind == "response.output_item.done":
            self._end_item(event)
        elif kind == "response.content_part.added":
            content = self._open_item(event)["content"]
            assert event["content_index"] == len(content), event
            assert event["part"][_TEXT[event["part"]["type"]]] == "", event
            content.append(copy.deepcopy(event["part"]))
        elif kind == "response.content_part.done":
            part = self._open_item(event)["content"][event["content_index"]]
            assert part == event["part"], event
        elif kind in _DELTAS:
            self._add(event, _DELTAS[kind])
        elif kind in _DONE:
            name = _TEXT[_DONE[kind]]
            part = self._open_item(event)["content"][event["content_index"]]
            assert (part["type"], part[name]) == (_DONE[kind], event[name]), event
        elif kind == "response.function_call_arguments.delta":
            self._open_item(event)["arguments"] += event["delta"]
        elif kind == "response.function_call_arguments.done":
            item = self._open_item(event)
            assert (item["name"], item["arguments"]) == (event["name"], event["arguments"])
        elif is_end(event):
            self._end(event)

    def lacks(self, end: Mapping[str, Any]) -> bool:
        """Whether the end has more than was told, and begins with what was: as where the list has
        forgotten what came after it."""
        whole = end["response"]["output"]
        if [*map(_said, whole)] == [*map(_said, self.items)]:
            return False
        text, thought = text_of(whole), thought_of(whole)
        assert text.startswith(self.text), (whole, self.items)
        assert thought.startswith(self.thought), (whole, self.items)
        assert len(whole) >= len(self.items), (whole, self.items)
        return True

    def _open_item(self, event: Mapping[str, Any]) -> dict[str, Any]:
        index = event["output_index"]
        item = self.items[index]
        assert item["id"] == event["item_id"], event
        assert index not in self._done, event
        return item

    def _add(self, event: Mapping[str, Any], kind: str) -> None:
        part = self._open_item(event)["content"][event["content_index"]]
        assert part["type"] == kind, event
        if kind in self._lengths:
            assert event["chatstream"]["offset"] == self._lengths[kind], event
            self._lengths[kind] += len(event["delta"])
        part[_TEXT[kind]] += event["delta"]

    def _end_item(self, event: Mapping[str, Any]) -> None:
        index, item = event["output_index"], event["item"]
        assert index not in self._done, event
        assert _said(self.items[index]) == _said(item), (self.items[index], event)
        assert item["status"] in ("completed", "incomplete"), event
        self.items[index] = copy.deepcopy(item)
        self._done.add(index)

    def _end(self, event: Mapping[str, Any]) -> None:
        """The whole is what was told: to the letter where all items were ended."""
        whole = event["response"]["output"]
        if self._done == set(range(len(self.items))) and len(whole) == len(self.items):
            assert whole == self.items, (whole, self.items)
        else:
            # Somebody else than its worker has ended it, and told the whole alone.
            assert [*map(_said, whole)] == [*map(_said, self.items)], (whole, self.items)


def _said(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item without its status, which is another one when it has ended."""
    return {name: value for name, value in item.items() if name != "status"}
