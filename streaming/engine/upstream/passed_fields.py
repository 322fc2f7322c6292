"""Reads what an event holds besides text and thought: checked, bounded, in the form of
`engine.passed`."""

from __future__ import annotations

import json
from typing import Any

from streaming.engine.passed import Passed
from streaming.engine.upstream import faults
from streaming.engine.upstream.bounds import MOST_TOKENS, NAME_CHARS, TOOL_CALLS
from streaming.engine.upstream.surrogates import SurrogateJoiner, sound, whole

_TOP_LOGPROBS = 20
_TOKEN_BYTES = 256
_LEAST_LOGPROB = -9999.0  # OpenAI's value for a token that is hardly possible
_MOST_LOGPROB = 1e6  # in absolute value: more is no logarithm of a probability
_DETAILS = ("prompt_tokens_details", "completion_tokens_details")
_TIER_CHARS = 64
_ANNOTATIONS = 100
_ANNOTATION_CHARS = 4096


def as_object(value: Any) -> dict[str, Any]:
    """Return a JSON value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def passed_of(choice: dict[str, Any], delta: dict[str, Any], joiner: SurrogateJoiner) -> Passed:
    """Return the known fields of one event; values that are not of the right kind are ignored.
    Raises UpstreamFault for a call of something else than a function."""
    passed: Passed = {}
    said = delta.get("refusal")
    if isinstance(said, str) and (text := _storable(joiner.join("refusal", said))):
        passed["refusal"] = text
    if calls := _tool_calls(delta.get("tool_calls"), joiner):
        passed["tool_calls"] = calls
    if logprobs := _logprobs(as_object(choice.get("logprobs"))):
        passed["logprobs"] = logprobs
    return passed | annotations_of(delta.get("annotations"))


def annotations_of(said: Any) -> Passed:
    """Return notes on a text, such as the pages that it cites; long ones are left out."""
    notes = said[:_ANNOTATIONS] if isinstance(said, list) else []
    kept = [sound(note) for note in notes if isinstance(note, dict) and _can_be_kept(note)]
    return {"annotations": kept} if kept else {}


def _can_be_kept(note: dict[str, Any]) -> bool:
    """Whether a note is short, and JSON that databases take: Python writes NaN and infinities."""
    try:
        text = json.dumps(note, allow_nan=False)
    except ValueError:
        return False
    return len(text) <= _ANNOTATION_CHARS and "\\u0000" not in text


def details_of(usage: dict[str, Any]) -> Passed:
    """Return the details of the counts."""
    details = _details(usage)
    return {"usage": details} if details else {}


def tier_of(said: dict[str, Any]) -> str:
    """Return the service tier by which the server answers; empty if it does not say."""
    return _name(said.get("service_tier"))[:_TIER_CHARS]


def count_of(value: Any) -> int | None:
    """Return a number of tokens, None for a value that cannot be one."""
    return value if isinstance(value, int) and 0 <= value <= MOST_TOKENS else None


def chars_of(passed: Passed) -> int:
    """Return the characters of the texts in it, which are bounded together with the answer's."""
    texts = [passed.get("refusal", "")]
    texts += [call["function"].get("arguments", "") for call in passed.get("tool_calls", ())]
    texts += [json.dumps(note) for note in passed.get("annotations", ())]
    return sum(map(len, texts))


def _tool_calls(said: Any, joiner: SurrogateJoiner) -> list[dict[str, Any]]:
    calls = []
    for position, part in enumerate(said if isinstance(said, list) else ()):
        if not isinstance(part, dict):
            continue
        if part.get("type") not in (None, "", "function"):
            raise faults.unknown_item(part.get("type"))
        index = part.get("index", position)
        if type(index) is not int or not 0 <= index < TOOL_CALLS:
            continue  # True is an int, too
        function = as_object(part.get("function"))
        call: dict[str, Any] = {"index": index, "function": {}}
        if name := _name(part.get("id")):
            call["id"] = name
            call["type"] = "function"
        if name := _name(function.get("name")):
            call["function"]["name"] = name
            call["type"] = "function"
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments, ensure_ascii=False)
        if isinstance(arguments, str):
            text = _storable(joiner.join(("arguments", index), arguments))
            call["function"]["arguments"] = text
        if len(call) > 2 or call["function"]:
            calls.append(call)
    return calls


def _name(value: Any) -> str:
    return _storable(whole(value[:NAME_CHARS])) if isinstance(value, str) else ""


def _storable(text: str) -> str:
    """Return `text` with U+0000, which PostgreSQL does not store, replaced."""
    return text.replace("\x00", "\ufffd")


def _logprobs(said: dict[str, Any]) -> dict[str, list[Any]]:
    found = {}
    for name in ("content", "refusal"):
        if isinstance(tokens := said.get(name), list):
            found[name] = [_token(token) for token in tokens if isinstance(token, dict)]
    return {name: tokens for name, tokens in found.items() if tokens}


def _token(said: dict[str, Any], *, with_others: bool = True) -> dict[str, Any]:
    number, units = said.get("logprob"), said.get("bytes")
    is_number = isinstance(number, int | float) and abs(number) <= _MOST_LOGPROB
    token: dict[str, Any] = {
        "token": _name(said.get("token")),
        "logprob": number if is_number else _LEAST_LOGPROB,
        "bytes": _units(units) if isinstance(units, list) else None,
    }
    if with_others:
        others = said.get("top_logprobs")
        others = others[:_TOP_LOGPROBS] if isinstance(others, list) else ()
        token["top_logprobs"] = [
            _token(other, with_others=False) for other in others if isinstance(other, dict)
        ]
    return token


def _units(said: list[Any]) -> list[int]:
    return [unit for unit in said[:_TOKEN_BYTES] if isinstance(unit, int) and 0 <= unit < 256]


def _details(usage: dict[str, Any]) -> dict[str, dict[str, int]]:
    found = {}
    for name in _DETAILS:
        counts = {
            _name(key): count
            for key, count in list(as_object(usage.get(name)).items())[:20]
            if isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= MOST_TOKENS
        }
        if counts:
            found[name] = counts
    return found
