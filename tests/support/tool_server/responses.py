"""Responses: what is asked in its words, and what is said, item by item."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from tests.support.tool_server.asked import Asked, BadRequest, Call, Turn
from tests.support.tool_server.spoken import Spoken

_PARTIAL = ("in_progress", "incomplete")


def asked_of(body: dict[str, Any]) -> Asked:
    """Read a request. Raises BadRequest."""
    given = body.get("input")
    if given is None:
        raise BadRequest("Field required", "input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if body.get("previous_response_id"):
        raise BadRequest("Nothing is kept here.", "previous_response_id")
    turns = [Turn("system", body["instructions"])] if body.get("instructions") else []
    for item in items:
        turns += _turns(item)
    form = (body.get("text") or {}).get("format") or {}
    choice = body.get("tool_choice") or "auto"
    last = items[-1] if items else {}
    wanted = "message.output_text.logprobs" in (body.get("include") or ())
    return Asked(
        turns=tuple(turns),
        tools=dict(map(_tool, body.get("tools") or ())),
        choice=choice if isinstance(choice, str) else choice["name"],
        parallel=body.get("parallel_tool_calls") is not False,
        schema={"json_schema": form.get("schema", {}), "json_object": {}}.get(form.get("type", "")),
        thinks=(body.get("reasoning") or {}).get("effort") not in (None, "none"),
        goes_on=last.get("role") == "assistant" and last.get("status") in _PARTIAL,
        max_tokens=body.get("max_output_tokens") or 1024,
        stop=tuple(body.get("stop") or ()),
        top_logprobs=(body.get("top_logprobs") or 0) if wanted else None,
    )


def _tool(tool: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if tool.get("type") != "function":
        raise BadRequest(f"Tools of the type {tool.get('type')!r} are not known.", "tools")
    return tool["name"], tool.get("parameters") or {}


def _turns(item: dict[str, Any]) -> list[Turn]:
    match item.get("type", "message"):
        case "message":
            return [Turn(item["role"], *_content(item["content"]))]
        case "function_call":
            call = Call(item["call_id"], item["name"], item["arguments"])
            return [Turn("assistant", calls=(call,))]
        case "function_call_output":
            return [Turn("tool", *_content(item["output"]), call_id=item["call_id"])]
        case "reasoning":
            return []
        case kind:
            raise BadRequest(f"Items of the type {kind!r} are not known.", "input")


def _content(content: Any) -> tuple[str, tuple[str, ...]]:
    if isinstance(content, str):
        return content, ()
    texts, images = [], []
    for part in content:
        match part["type"]:
            case "input_text" | "output_text":
                texts.append(part["text"])
            case "refusal":
                texts.append(part["refusal"])
            case "input_image":
                images.append(part["image_url"])
            case kind:
                raise BadRequest(f"Parts of the type {kind!r} are not known.", "input")
    return "\n".join(texts), tuple(images)


class Answer:
    """One answer, said event by event; `resource` is the response as it is by then."""

    def __init__(self, body: dict[str, Any], spoken: Spoken, name: str) -> None:
        self._spoken = spoken
        self._number = -1
        self._item: dict[str, Any] = {}
        self._kind = ""
        self._output: list[dict[str, Any]] = []
        self.resource: dict[str, Any] = {
            "id": name, "object": "response", "created_at": int(time.time()), "completed_at": None,
            "status": "in_progress", "error": None, "incomplete_details": None,
            "model": body.get("model"), "output": [], "usage": None, "previous_response_id": None,
            "instructions": body.get("instructions"), "tools": body.get("tools") or [],
            "tool_choice": body.get("tool_choice") or "auto", "truncation": "disabled",
            "parallel_tool_calls": True, "text": body.get("text") or {"format": {"type": "text"}},
            "top_p": 1.0, "temperature": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
            "top_logprobs": 0, "reasoning": body.get("reasoning"), "max_tool_calls": None,
            "max_output_tokens": body.get("max_output_tokens"), "store": False,
            "background": False, "service_tier": "default", "metadata": {},
            "safety_identifier": body.get("safety_identifier"),
            "prompt_cache_key": body.get("prompt_cache_key"),
        }  # fmt: skip

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of a streamed answer."""
        yield self._event("response.created", response=dict(self.resource))
        yield self._event("response.in_progress", response=dict(self.resource))
        for kind, text, call in self._spoken.pieces():
            if call or kind != self._kind:
                yield from self._end_item()
                yield from self._begin_item(kind, call)
            yield self._delta(kind, text)
        yield from self._end_item()
        self._end()
        yield self._event(f"response.{self.resource['status']}", response=self.resource)

    def _event(self, kind: str, **fields: Any) -> dict[str, Any]:
        self._number += 1
        return {"type": kind, "sequence_number": self._number, **fields}

    @property
    def _place(self) -> dict[str, Any]:
        place = {"item_id": self._item["id"], "output_index": len(self._output)}
        return place if self._kind == "call" else {**place, "content_index": 0}

    def _begin_item(self, kind: str, call: Call | None) -> Iterator[dict[str, Any]]:
        self._kind, number = kind, len(self._output)
        if call:
            self._item = {"type": "function_call", "id": f"fc_{number}", "call_id": call.id,
                          "name": call.name, "arguments": "", "status": "in_progress"}  # fmt: skip
        elif kind == "reasoning":
            self._item = {"type": "reasoning", "id": f"rs_{number}", "summary": [], "content": [],
                          "status": "in_progress"}  # fmt: skip
        else:
            self._item = {"type": "message", "id": f"msg_{number}", "role": "assistant",
                          "content": [], "status": "in_progress"}  # fmt: skip
        yield self._event("response.output_item.added", output_index=number, item=dict(self._item))
        if call:
            return
        part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [],
                                "logprobs": []}  # fmt: skip
        if kind == "reasoning":
            part = {"type": "reasoning_text", "text": ""}
        elif kind == "refusal":
            part = {"type": "refusal", "refusal": ""}
        yield self._event("response.content_part.added", **self._place, part=dict(part))
        self._item["content"] = [part]

    def _delta(self, kind: str, text: str) -> dict[str, Any]:
        if kind == "call":
            self._item["arguments"] += text
            name = "response.function_call_arguments.delta"
            return self._event(name, **self._place, delta=text)
        part = self._item["content"][0]
        part["refusal" if kind == "refusal" else "text"] += text
        if kind != "text":
            name = "refusal" if kind == "refusal" else "reasoning_text"
            return self._event(f"response.{name}.delta", **self._place, delta=text)
        probability = self._spoken.logprob(text)
        found = [probability] if probability else []
        part["logprobs"] += found
        return self._event("response.output_text.delta", **self._place, delta=text, logprobs=found)

    def _end_item(self) -> Iterator[dict[str, Any]]:
        if not self._item:
            return
        place, item = self._place, self._item
        item["status"] = "completed"
        if self._kind == "call":
            name = "response.function_call_arguments.done"
            yield self._event(name, **place, name=item["name"], arguments=item["arguments"])
        else:
            part = item["content"][0]
            name = {"text": "output_text", "reasoning": "reasoning_text"}.get(self._kind, "refusal")
            said = {key: part[key] for key in ("text", "refusal", "logprobs") if key in part}
            yield self._event(f"response.{name}.done", **place, **said)
            yield self._event("response.content_part.done", **place, part=part)
        index = place["output_index"]
        yield self._event("response.output_item.done", output_index=index, item=item)
        self._output.append(item)
        self._item, self._kind = {}, ""

    def _end(self) -> None:
        spoken, is_cut = self._spoken, self._spoken.finish_reason == "length"
        if is_cut:
            self._output[-1]["status"] = "incomplete"
        self.resource |= {
            "status": "incomplete" if is_cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "completed_at": int(time.time()),
            "output": self._output,
            "usage": {
                "input_tokens": spoken.prompt_tokens,
                "input_tokens_details": {"cached_tokens": spoken.cached_tokens},
                "output_tokens": spoken.tokens,
                "output_tokens_details": {"reasoning_tokens": spoken.thought_tokens},
                "total_tokens": spoken.prompt_tokens + spoken.tokens,
            },
        }
