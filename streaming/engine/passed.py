"""The fields of an answer besides its text and thought, as OpenAI's API names them.

A mapping with some of: `refusal` (text), `tool_calls` (a list, each with its `index`), `logprobs`
(lists of tokens), `usage` (details of the counts), `annotations` (notes on the text, such as what
it cites), `service_tier` (by which the server answered). They come in parts: `add` adds a part to
those before it, and how the parts are grouped makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Passed = dict[str, Any]

_VALUES = ("usage", "service_tier")
"""Fields of which the last value counts."""


def whole_of(parts: Iterable[Mapping[str, Any]]) -> Passed:
    """Return what the parts are together."""
    whole: Passed = {}
    for part in parts:
        add(whole, part)
    return whole


def add(whole: Passed, part: Mapping[str, Any]) -> None:
    """Add a part to `whole`, those before it, in place. The part itself is not changed."""
    if "refusal" in part:
        whole["refusal"] = whole.get("refusal", "") + part["refusal"]
    if "tool_calls" in part:
        calls = whole.setdefault("tool_calls", [])
        for call in part["tool_calls"]:
            _add_call(calls, call)
    if "logprobs" in part:
        lists = whole.setdefault("logprobs", {})
        for name, tokens in part["logprobs"].items():
            lists.setdefault(name, []).extend(tokens)
    if "annotations" in part:
        whole["annotations"] = [*whole.get("annotations", ()), *part["annotations"]]
    for name in _VALUES:
        if name in part:
            whole[name] = part[name]


def _add_call(calls: list[dict[str, Any]], part: Mapping[str, Any]) -> None:
    """Add a part of a call: its name and id come once, its arguments in pieces."""
    said = part.get("function", {})
    call = next((each for each in calls if each["index"] == part["index"]), None)
    if call is None:
        call = {"index": part["index"], "function": {"arguments": ""}}
        calls.append(call)
    for name in ("id", "type"):
        if part.get(name):
            call.setdefault(name, part[name])
    if said.get("name"):
        call["function"].setdefault("name", said["name"])
    call["function"]["arguments"] += said.get("arguments", "")


def beyond(known: Mapping[str, Any], whole: Mapping[str, Any]) -> Passed | None:
    """Return what `whole` has beyond `known`: nothing where `known` is the longer one, None if the
    two contradict each other."""
    rest: Passed = {}
    before, now = known.get("refusal", ""), whole.get("refusal", "")
    if not (now.startswith(before) or before.startswith(now)):
        return None
    if new := now[len(before) :]:
        rest["refusal"] = new
    before_calls = {call["index"]: call for call in known.get("tool_calls", ())}
    calls = []
    for call in whole.get("tool_calls", ()):
        if (part := _beyond_call(before_calls.get(call["index"]), call)) is None:
            return None
        calls += [part] if part else []
    if calls:
        rest["tool_calls"] = calls
    logprobs = {
        name: tokens[len(known.get("logprobs", {}).get(name, ())) :]
        for name, tokens in whole.get("logprobs", {}).items()
    }
    if any(logprobs.values()):
        rest["logprobs"] = {name: tokens for name, tokens in logprobs.items() if tokens}
    if notes := whole.get("annotations", ())[len(known.get("annotations", ())) :]:
        rest["annotations"] = notes
    for name in _VALUES:
        if whole.get(name) not in (None, known.get(name)):
            rest[name] = whole[name]
    return rest


def _beyond_call(known: Mapping[str, Any] | None, call: Mapping[str, Any]) -> Passed | None:
    """Return what of a call is new; empty if nothing is, None if it is another call."""
    if known is None:
        return dict(call)
    before, now = known["function"], call["function"]
    is_same = known.get("id") == call.get("id") and before.get("name") == now.get("name")
    old, new = before["arguments"], now["arguments"]
    if not is_same or not (new.startswith(old) or old.startswith(new)):
        return None
    added = new[len(old) :]
    return {"index": call["index"], "function": {"arguments": added}} if added else {}


def kept(whole: Mapping[str, Any]) -> Passed:
    """Return what outlives the response: all but the log probabilities, which are longer than the
    text."""
    return {name: value for name, value in whole.items() if name != "logprobs"}
