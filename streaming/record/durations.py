"""How long the parts of a response took, in whole milliseconds."""

from __future__ import annotations

from datetime import datetime

from streaming.models import Response


def total_ms(response: Response) -> int:
    """Return the time from the acceptance to the end; 0 while the response is open."""
    return milliseconds(response.created_at, response.finished_at) or 0


def milliseconds(since: datetime, until: datetime | None) -> int | None:
    """Return the time between two moments; None if the second never came."""
    return None if until is None else max(0, round((until - since).total_seconds() * 1000))
