"""What Open Responses (2026-04-24) says of the objects that a server sends, as facts, and whether
an object is as it says.

`open_responses_facts.json` has for each object its fields, with a `?` behind the name of one that
may be missing, and what they may be: `string` and so on, `=word` for a certain one, the name of an
object; `*` before it for a list of these.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FACTS: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("open_responses_facts.json").read_text(encoding="utf-8")
)

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def faults(name: str, value: Any, place: str = "") -> list[str]:
    """Return what of a value is not as the specification says of the object of this name."""
    if not isinstance(value, dict):
        return [f"{place or name}: no object"]
    found = []
    for field, allowed in _FACTS[name].items():
        key = field.removesuffix("?")
        where = f"{place}.{key}" if place else key
        if key not in value:
            found += [] if field.endswith("?") else [f"{where}: missing"]
        else:
            found += _fits(allowed.split(), value[key], where)
    return found


def event_faults(event: dict[str, Any]) -> list[str]:
    """Return the same of an event of a stream."""
    for name, fields in _FACTS.items():
        if name.endswith("StreamingEvent") and fields["type"] == f"={event['type']}":
            return [f"{event['type']}: {fault}" for fault in faults(name, event)]
    return [f"{event['type']}: no event of the specification"]


def _fits(allowed: list[str], value: Any, place: str) -> list[str]:
    lists = [each[1:] for each in allowed if each.startswith("*")]
    if lists and isinstance(value, list):
        items = enumerate(value)
        return [fault for at, each in items for fault in _fits(lists, each, f"{place}.{at}")]
    objects = [each for each in allowed if each in _FACTS]
    if any(_is_plain(each, value) for each in allowed):
        return []
    if isinstance(value, dict) and objects:
        tried = [faults(name, value, place) for name in objects]
        return min(tried, key=len)
    return [f"{place}: {value!r} is none of {', '.join(allowed)}"[:300]]


def _is_plain(kind: str, value: Any) -> bool:
    if kind == "any":
        return True
    if kind.startswith("="):
        return str(value) == kind[1:]
    types = _TYPES.get(kind, ())
    return isinstance(value, types) and not (isinstance(value, bool) and bool not in types)
