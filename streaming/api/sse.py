"""Server-sent events: the lines that a stream consists of."""

from __future__ import annotations

import json
from typing import Any

# Valid in JSON, but some clients' line readers take them for ends of lines.
_LINE_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})


def comment(place: dict[str, Any]) -> str:
    """Return a comment that keeps a stream alive, with the position if there is one."""
    if place["position"] is None:
        return ": keep-alive\n\n"
    return f": queued position {place['position']} of {place['size']}\n\n"


def event(fields: dict[str, Any]) -> str:
    """Return an event that is named by its `type`."""
    return f"event: {fields['type']}\n{data(fields)}"


def data(fields: dict[str, Any]) -> str:
    """Return an event of one line of JSON."""
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text.translate(_LINE_ENDS)}\n\n"
