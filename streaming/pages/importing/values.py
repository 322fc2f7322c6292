"""Values out of JSON that anybody may have written: of the type that is expected, or nothing."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LABEL = re.compile(r"[^\w ./+:-]+")


def text(value: Any) -> str:
    """Return a text that a database can keep; "" for anything else."""
    return _UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else ""


def line(value: Any, most: int) -> str:
    """Return a text on one line, `most` characters at most."""
    return " ".join(text(value).split())[:most]


def label(value: Any, default: str) -> str:
    """Return a short name that can stand in brackets."""
    return " ".join(_LABEL.sub(" ", text(value)).split())[:80] or default


def mapping(value: Any) -> dict[str, Any]:
    """Return an object's fields; none for anything else."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """Return an array's values; none for anything else."""
    return value if isinstance(value, list) else []


def moment(value: Any) -> str:
    """Return a moment in ISO 8601 of seconds since 1970, of milliseconds, or of ISO 8601; "" for
    what is none."""
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if value > 1e11 else value
            if not math.isfinite(seconds) or seconds <= 0:
                return ""
            found = datetime.fromtimestamp(seconds, UTC)
        else:
            return ""
    except (ValueError, OverflowError, OSError):
        return ""
    return found.isoformat() if 1970 <= found.year < 9999 else ""


def fenced(code: str, language: str = "") -> str:
    """Return code as Markdown, whatever it has in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{re.sub(r'[^a-zA-Z0-9+#.-]', '', language)}\n{code}\n{fence}"
