"""What was thought for an answer, as its readers see it: one text, whose parts stand apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streaming.models import Response
from streaming.record.histories import thought_before

BETWEEN = "\n\n"
"""Between two thoughts of one response. `outcome.js` has the same."""


def thought_of(chain: Sequence[Response]) -> str:
    """Return the thought of an answer, given by the responses that wrote it, first to last."""
    if any(row.items for row in chain):
        return "".join(apart(row.reasoning, row.items) for row in chain)
    last = chain[-1]
    return last.message.reasoning if last.message else thought_before(last)


def apart(reasoning: str, items: Sequence[Sequence[Any]] | None) -> str:
    """Return the thought of a response whose items are these (`Response.items`)."""
    parts, begin = [], 0
    for kind, size in items or ():
        if kind == "reasoning" and size:
            parts.append(reasoning[begin : begin + size])
            begin += size
    return BETWEEN.join(parts) if parts else reasoning
