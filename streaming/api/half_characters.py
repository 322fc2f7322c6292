"""Names the field of a body that is no JSON because half a character stands in it: JavaScript
writes a lone surrogate, strict parsers refuse it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_DEPTH = 12
_MOST_CHARS = 100


def field_of(body: bytes) -> str | None:
    """Return the first field with a lone surrogate in its name or text, None if there is none."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for name, text in _leaves(given, "", _MOST_DEPTH):
        if _SURROGATE.search(name + text):
            return _SURROGATE.sub("\ufffd", name)[:_MOST_CHARS]
    return None


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list) and depth:
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in inner:
            yield from _leaves(each, f"{name}.{key}" if name else str(key), depth - 1)
    else:
        yield name, value if isinstance(value, str) else ""
