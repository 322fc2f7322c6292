"""JSON as clients send it, strictly: what is parsed can be written as JSON again, by the record and
to another server."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json


def parsed(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError for anything else, and for a number that
    is too large for any but an infinite one (`1e999`)."""
    value = from_json(text, allow_inf_nan=False)
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("a number is out of range") from None
    return value
