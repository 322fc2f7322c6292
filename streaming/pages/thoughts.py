"""What was thought for an answer, as the page shows it: one text, whose parts stand apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streaming.models import Response
from streaming.record.histories import thought_before
from streaming.record.output import Output

BETWEEN = "\n\n"
"""Between two thoughts of one response. `outcome.js` has the same."""


def thought_of(chain: Sequence[Response]) -> str:
    """Return the thought of an answer, given by the responses that wrote it, first to last."""
    if any(row.items for row in chain):
        return "".join(BETWEEN.join(_thoughts(row)) for row in chain)
    last = chain[-1]
    return last.message.reasoning if last.message else thought_before(last)


def _thoughts(row: Response) -> Iterator[str]:
    """Yield the thoughts of one response, each an item of its own."""
    output, begin = Output.of_row(row), 0
    for kind, size in output.all_segments():
        if kind == "reasoning" and size:
            yield output.reasoning[begin : begin + size]
            begin += size
