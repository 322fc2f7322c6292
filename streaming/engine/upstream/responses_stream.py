"""Reads the events of Responses."""

from __future__ import annotations

from typing import Any

from streaming.engine.passed import Passed, whole_of
from streaming.engine.upstream import error_responses, faults, passed_fields
from streaming.engine.upstream.passed_fields import as_object, count_of
from streaming.engine.upstream.stream import Piece
from streaming.engine.upstream.surrogates import SurrogateJoiner
from streaming.engine.upstream.unknown_names import UnknownNames

_LENGTH = ("max_output_tokens", "max_tokens", "length")
_SILENT = {
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.content_part.added",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
    "chatstream:queue_position",
}
"""Events that tell nothing which the others do not."""


class ResponsesReader:
    """Reads the events of one answer.

    What a server sends whole and not in deltas (a part, an item, or the last event's output) is
    said as far as it was not. Unknown events are named to `unknown`.
    """

    def __init__(self, unknown: UnknownNames | None = None) -> None:
        self.is_over = False
        self._unknown = unknown or UnknownNames()
        self._joiner = SurrogateJoiner()
        self._said: dict[tuple[int, str, int], int] = {}  # characters of each part
        self._calls: dict[int, int] = {}  # the number of the call, by its item's
        self._summarised: set[int] = set()  # thoughts that are told in short
        self._last_message: int | None = None

    def piece_of(self, chunk: dict[str, Any]) -> Piece:
        """Read one event. Raises UpstreamFault for an error, and for an item that cannot be passed
        on."""
        kind = _string(chunk, "type")
        index = _number(chunk.get("output_index"))
        place = _number(chunk.get("content_index"))
        match kind:
            case "response.output_text.delta":
                return self._text(index, place, _string(chunk, "delta"), chunk)
            case "response.reasoning_text.delta" | "response.reasoning.delta":
                return self._thought(index, place, _string(chunk, "delta"))
            case "response.reasoning_summary_text.delta":
                place = _number(chunk.get("summary_index"))
                return self._summary(index, place, _string(chunk, "delta"))
            case "response.refusal.delta":
                return self._refusal(index, place, _string(chunk, "delta"))
            case "response.function_call_arguments.delta":
                return self._arguments(index, _string(chunk, "delta"))
            case "response.output_item.added" | "response.output_item.done":
                return self._item(index, as_object(chunk.get("item")))
            case "response.output_text.done":
                rest = self._rest(index, "text", place, chunk)
                return self._text(index, place, rest, chunk if rest == chunk.get("text") else {})
            case "response.reasoning_text.done" | "response.reasoning.done":
                return self._thought(index, place, self._rest(index, "thought", place, chunk))
            case "response.reasoning_summary_text.done":
                place = _number(chunk.get("summary_index"))
                return self._summary(index, place, self._rest(index, "summary", place, chunk))
            case "response.refusal.done":
                return self._refusal(index, place, self._rest(index, "refusal", place, chunk))
            case "response.function_call_arguments.done":
                return self._arguments(index, self._rest(index, "arguments", 0, chunk))
            case "response.content_part.done":
                return self._part(index, place, as_object(chunk.get("part")))
            case "response.output_text.annotation.added":
                found = passed_fields.annotations_of([chunk.get("annotation")])
                return Piece(passed=found)
            case "response.completed" | "response.incomplete" | "response.failed":
                return self._end(kind, as_object(chunk.get("response")))
            case "error":
                raise error_responses.of_event(chunk)
        if kind not in _SILENT:
            self._unknown.note("event", [kind])
        return Piece()

    def end(self) -> None:
        """Raise UpstreamFault: an answer ends with an event of its own."""
        raise faults.broken("the stream ended without the response's end")

    # --- parts ---

    def _rest(self, index: int, kind: str, place: int, whole: dict[str, Any]) -> str:
        """What of a text that is given whole was not said yet."""
        name = {"refusal": "refusal", "arguments": "arguments"}.get(kind, "text")
        return _string(whole, name)[self._said.get((index, kind, place), 0) :]

    def _count(self, index: int, kind: str, place: int, text: str) -> bool:
        """Take note that this was said; return whether it is the beginning of a part."""
        key = index, kind, place
        is_first = key not in self._said
        self._said[key] = self._said.get(key, 0) + len(text)
        return is_first

    def _text(
        self, index: int, place: int, text: str, chunk: dict[str, Any] | None = None
    ) -> Piece:
        logprobs = {"content": (chunk or {}).get("logprobs")}
        passed = passed_fields.passed_of({"logprobs": logprobs}, {}, self._joiner)
        if not text:
            return Piece(passed=passed)
        said = self._joiner.join("text", text)
        if self._count(index, "text", place, text):
            if self._last_message is not None:
                said = f"\n\n{said}"  # another message, or part, right behind one
            self._last_message = index
        return Piece(text=said, has_output=True, passed=passed)

    def _thought(self, index: int, place: int, text: str) -> Piece:
        if not text or index in self._summarised:
            return Piece()
        self._last_message = None
        said = self._joiner.join("reasoning", text)
        if self._count(index, "thought", place, text) and place:
            said = f"\n\n{said}"
        return Piece(reasoning=said, has_output=True)

    def _summary(self, index: int, place: int, text: str) -> Piece:
        """A thought in short, where it is not told itself."""
        if not text or any(key[:2] == (index, "thought") for key in self._said):
            return Piece()
        self._summarised.add(index)
        self._last_message = None
        said = self._joiner.join("reasoning", text)
        if self._count(index, "summary", place, text) and place:
            said = f"\n\n{said}"
        return Piece(reasoning=said, has_output=True)

    def _refusal(self, index: int, place: int, text: str) -> Piece:
        self._count(index, "refusal", place, text)
        passed = passed_fields.passed_of({}, {"refusal": text}, self._joiner)
        return Piece(passed=passed, has_output=bool(text))

    def _part(self, index: int, place: int, part: dict[str, Any]) -> Piece:
        match part.get("type"):
            case "output_text":
                return self._text(index, place, self._rest(index, "text", place, part))
            case "refusal":
                return self._refusal(index, place, self._rest(index, "refusal", place, part))
            case "reasoning_text":
                return self._thought(index, place, self._rest(index, "thought", place, part))
            case "summary_text":
                return self._summary(index, place, self._rest(index, "summary", place, part))
        self._unknown.note("part", [part.get("type")])
        return Piece()

    # --- items ---

    def _item(self, index: int, item: dict[str, Any]) -> Piece:
        """Say of an item what was not said yet. Raises UpstreamFault for one that has no place in
        an answer here."""
        match item.get("type"):
            case "message" | "reasoning":
                listed = [
                    (place, as_object(part))
                    for name in ("content", "summary")
                    for place, part in enumerate(_listed(item.get(name)))
                ]
                return _together(self._part(index, place, part) for place, part in listed)
            case "function_call":
                return self._call(index, item)
        raise faults.unknown_item(item.get("type"))

    def _call(self, index: int, item: dict[str, Any]) -> Piece:
        self._last_message = None
        if index in self._calls:
            return self._arguments(index, self._rest(index, "arguments", 0, item))
        number = self._calls[index] = len(self._calls)
        arguments = _string(item, "arguments")
        function = {"name": item.get("name"), "arguments": arguments}
        call = {"index": number, "id": item.get("call_id") or item.get("id"), "function": function}
        self._count(index, "arguments", 0, arguments)
        return Piece(passed=self._calling(call), has_output=True)

    def _arguments(self, index: int, text: str) -> Piece:
        if not text:
            return Piece()
        if index not in self._calls:
            raise faults.broken("arguments of a call that has not begun")
        self._count(index, "arguments", 0, text)
        part = {"index": self._calls[index], "function": {"arguments": text}}
        return Piece(passed=self._calling(part), has_output=True)

    def _calling(self, part: dict[str, Any]) -> Passed:
        passed = passed_fields.passed_of({}, {"tool_calls": [part]}, self._joiner)
        if not passed:
            raise faults.too_much("the answer calls more tools than it may")
        return passed

    # --- the end ---

    def _end(self, kind: str, response: dict[str, Any]) -> Piece:
        self.is_over = True
        status = response.get("status") or kind.removeprefix("response.")
        if status == "failed" or response.get("error"):
            raise error_responses.of_event(response.get("error") or {})
        listed = enumerate(_listed(response.get("output")))
        rest = _together(self._item(index, as_object(item)) for index, item in listed)
        usage = as_object(response.get("usage"))
        details = as_object(usage.get("output_tokens_details"))
        passed = rest.passed | passed_fields.details_of(
            {
                "prompt_tokens_details": usage.get("input_tokens_details"),
                "completion_tokens_details": details,
            }
        )
        if tier := passed_fields.tier_of(response):
            passed["service_tier"] = tier
        return Piece(
            text=rest.text + self._joiner.rest("text"),
            reasoning=rest.reasoning + self._joiner.rest("reasoning"),
            has_output=rest.has_output,
            reason=self._reason(status, response),
            prompt_tokens=count_of(usage.get("input_tokens")),
            completion_tokens=count_of(usage.get("output_tokens")),
            reasoning_tokens=count_of(details.get("reasoning_tokens")),
            passed=passed,
        )

    def _reason(self, status: str, response: dict[str, Any]) -> str:
        """The end in the words of a `finish_reason`."""
        if status == "completed":
            return "tool_calls" if self._calls else "stop"
        why = as_object(response.get("incomplete_details")).get("reason")
        return "length" if why in _LENGTH else str(why or status)


def _together(pieces: Any) -> Piece:
    """Several pieces as one."""
    some: list[Piece] = [*pieces]
    return Piece(
        text="".join(piece.text for piece in some),
        reasoning="".join(piece.reasoning for piece in some),
        has_output=any(piece.has_output for piece in some),
        passed=whole_of(piece.passed for piece in some),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1_000_000 else 0
