"""The model: rules that turn what is asked into what is said, the same each time.

What it understands, in the last turn:

- the result of a tool: it answers with it
- a tool whose name (or a word of it) is in the question, or that it must call: it calls it, once
  for each place after "in ..."; its arguments fit the tool's schema
- images: it says their kinds and sizes
- a form (JSON schema): it fills it in
- "Reply with exactly: ...", "Count from 1 to N", "refuse", "What is my name?", "Repeat ..."
- "slowly": as any other, with 0.1 s between the pieces
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.tool_server.asked import Asked, BadRequest, Call, Said, Turn
from tests.support.tool_server.images import described

_PLACE = r"[A-Z]\w*(?: [A-Z]\w*)*(?:, [A-Z]{2}\b)?"


def answer(asked: Asked) -> list[Said]:
    """Return the parts of the answer, in order. Raises BadRequest for what cannot be answered."""
    turns = [turn for turn in asked.turns if turn.role not in ("system", "developer")]
    if not turns:
        raise BadRequest("There is nothing to answer.", "messages")
    begun = turns.pop().text if asked.goes_on else ""
    parts = list(_parts(asked, turns))
    if not asked.goes_on:
        return parts
    whole = next((part.text for part in parts if part.kind == "text"), "")
    if whole.startswith(begun.rstrip()):
        return [Said("text", whole[len(begun.rstrip()) :])]
    return [Said("text", " and so on.")]


def _parts(asked: Asked, turns: list[Turn]) -> Iterator[Said]:
    last = turns[-1]
    if asked.thinks:
        yield Said("reasoning", f"They say {len(last.text.split())} words. I can answer that.")
    if last.role == "tool":
        yield Said("text", _styled(asked, " ".join(_results(turns))))
        return
    if calls := list(_calls(asked, last)):
        if "say first" in last.text:
            yield Said("text", "I will look that up.")
        yield from calls
        return
    if "refuse" in last.text.lower():
        yield Said("refusal", "I cannot help with that.")
        return
    if asked.schema is not None:
        yield Said("text", json.dumps(_filled(asked.schema, "answer"), ensure_ascii=False))
        return
    yield Said("text", _styled(asked, _reply(turns)))


def _styled(asked: Asked, text: str) -> str:
    """The answer as the system message wants it."""
    system = " ".join(turn.text for turn in asked.turns if turn.role in ("system", "developer"))
    return f"Arr! {text}" if "pirate" in system.lower() else text


def _results(turns: list[Turn]) -> Iterator[str]:
    """What the tools returned since the last call, each with its tool's name. Raises BadRequest for
    a result of no call."""
    calls = {call.id: call.name for turn in turns for call in turn.calls}
    at = len(turns)
    while at and turns[at - 1].role == "tool":
        at -= 1
    for turn in turns[at:]:
        if turn.call_id not in calls:
            raise BadRequest(f"No tool call found for {turn.call_id!r}.", "call_id")
        seen = "".join(f" I see {described(url)}." for url in turn.images)
        yield f"The result of {calls[turn.call_id]} is: {turn.text}{seen}"


def _calls(asked: Asked, last: Turn) -> Iterator[Said]:
    if asked.choice == "none":
        return
    names = [name for name in asked.tools if name == asked.choice or _is_meant(name, last.text)]
    if not names and asked.choice == "required":
        names = [*asked.tools][:1]
    if asked.choice not in ("auto", "required"):
        if asked.choice not in asked.tools:
            raise BadRequest(f"There is no tool {asked.choice!r}.", "tool_choice")
        names = [asked.choice]
    places = re.findall(rf"\bin ({_PLACE})", last.text) or [""]
    wanted = [(name, place) for name in names for place in places]
    for number, (name, place) in enumerate(wanted if asked.parallel else wanted[:1]):
        schema = asked.tools[name]
        arguments = json.dumps(_filled(schema, place or "here"), ensure_ascii=False)
        said = f"{name} {arguments} {number} {len(asked.turns)}"
        digest = hashlib.sha256(said.encode()).hexdigest()[:16]
        yield Said("call", call=Call(f"call_{digest}", name, arguments))


def _is_meant(name: str, text: str) -> bool:
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if len(word) > 3]
    return any(word in text.lower() for word in [name.lower(), *words])


def _filled(schema: Mapping[str, Any], text: str, depth: int = 0) -> Any:
    """A value that fits a JSON schema; its strings are `text`."""
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return _filled(schema[name][0], text, depth)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    match kind:
        case "string":
            return text
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case "array":
            return [_filled(schema.get("items", {"type": "string"}), text, depth + 1)]
    known = schema.get("properties", {})
    names = schema.get("required", known) if depth < 8 else ()
    return {name: _filled(known.get(name, {"type": "string"}), text, depth + 1) for name in names}


def _reply(turns: list[Turn]) -> str:
    last = turns[-1]
    if last.images:
        return "I see " + " and ".join(map(described, last.images)) + "."
    if found := re.search(r"[Rr]eply with (?:exactly: )?(\S.*?)\.?\s*$", last.text):
        return found[1]
    if found := re.search(r"[Cc]ount from 1 to (\d{1,4})", last.text):
        return " ".join(str(number) for number in range(1, int(found[1]) + 1))
    if "my name?" in last.text:
        names = (re.search(r"[Mm]y name is (\w+)", turn.text) for turn in reversed(turns))
        return next((f"Your name is {found[1]}." for found in names if found), "I do not know.")
    if "code word?" in last.text:
        words = (re.search(r"code word(?: is)?:? (\w+)\.", turn.text) for turn in reversed(turns))
        return next((f"It is {found[1]}." for found in words if found), "I do not know.")
    if last.text.startswith("Repeat"):
        return turns[-2].text if len(turns) > 1 else "There is nothing before."
    return f"You said: {last.text.strip()}"
