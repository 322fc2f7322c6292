"""What `/v1/responses` adds to a response and its events as the waiting list stores them: what the
request said, and what it wants included.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from streaming.api.responses import sealing
from streaming.engine.passed import Passed, add
from streaming.lifecycle.resource import resource
from streaming.models import Response
from streaming.protocol import ids

_SHOWN = ("usage", "tool_calls", "refusal")
"""What a server has passed on that stands elsewhere in a response."""

_PADDED_CHARS = 32
"""The length of a delta is told only to so many characters, where that is asked for."""


class Shown:
    """Shows one response to its owner.

    `include`: what of it is added that is left out otherwise. `obfuscates`: whether deltas are
    padded. Probabilities of tokens come with the deltas and are kept nowhere: `complete` adds those
    that came by. What the model's server said besides is no event here: it stands in the response,
    under `chatstream` as `passed`.
    """

    def __init__(
        self, row: Response, include: tuple[str, ...] = (), *, obfuscates: bool = False
    ) -> None:
        self._row = row
        asked = row.request or {}
        wanted = {*include, *asked.get("include", ())}
        self._seals = "reasoning.encrypted_content" in wanted
        self._obfuscates = obfuscates
        self._logprobs: dict[str, list[Any]] = {}
        self._passed: Passed = dict(row.passed or {})
        self._knows_all = row.finished_at is not None  # the events say nothing new then
        self._added = {
            "instructions": row.instructions or None,
            "tools": [_tool(tool) for tool in asked.get("tools", ())],
            "metadata": asked.get("metadata") or {},
            "conversation": _conversation(row) if asked.get("conversation") else None,
            "user": asked.get("user"),
        }

    def resource(self) -> dict[str, Any]:
        """Return the response as its row has it."""
        shown = resource(self._row, model=(self._row.request or {}).get("model", ""))
        return self.complete(shown.model_dump(mode="json"))

    def complete(self, response: dict[str, Any]) -> dict[str, Any]:
        """Return a response's JSON with what is added to it."""
        for item in response["output"]:
            self._complete_item(item)
        passed = {name: said for name, said in self._passed.items() if name not in _SHOWN}
        if tier := passed.pop("service_tier", None):
            response["service_tier"] = tier
        if passed:
            response["chatstream"] = {**response["chatstream"], "passed": passed}
        return {**response, **self._added}

    def event(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Return an event with what is added to it; None for one that says nothing here."""
        kind = event["type"]
        if kind == "response.in_progress":
            self._logprobs = {}
            self._passed = self._passed if self._knows_all else {}
        if kind == "chatstream:passed":
            if not self._knows_all:
                add(self._passed, event["fields"])
            return None
        if kind.endswith(".delta"):
            return self._delta(event)
        if kind == "response.output_text.done":
            return {**event, "logprobs": self._logprobs.get(event["item_id"], [])}
        if kind == "response.content_part.done" and event["part"]["type"] == "output_text":
            event["part"]["logprobs"] = self._logprobs.get(event["item_id"], [])
        elif "response" in event:
            return {**event, "response": self.complete(event["response"])}
        elif kind == "response.output_item.done":
            self._complete_item(event["item"])
        return event

    def _delta(self, event: dict[str, Any]) -> dict[str, Any]:
        if logprobs := event.get("logprobs"):
            self._logprobs.setdefault(event["item_id"], []).extend(logprobs)
        if self._obfuscates:
            missing = -len(event["delta"]) % _PADDED_CHARS
            return {**event, "obfuscation": secrets.token_urlsafe(_PADDED_CHARS)[:missing]}
        return event

    def _complete_item(self, item: dict[str, Any]) -> None:
        if item["type"] == "reasoning" and self._seals:
            text = "".join(part["text"] for part in item.get("content", ()))
            item["encrypted_content"] = sealing.seal("reasoning", self._row.owner, text)
        elif item["type"] == "message" and (logprobs := self._logprobs.get(item["id"])):
            for part in item["content"]:
                if part["type"] == "output_text":
                    part["logprobs"] = logprobs


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": None, "parameters": None, "strict": None, **tool}


def _conversation(row: Response) -> dict[str, str]:
    return {"id": ids.wire_id(ids.CONVERSATION, row.conversation_id)}
