"""Whether a loaded model computes what transformers computes from the same weights: found out at
each load from a few tokens, before anybody is served. A pass that does not is refused, with what
differs.

The measure is the cosine of two vectors without their means. Rounding, 8 bits included, leaves it
near one; a part that is left out, other positions or a wrong scale do not, see `Least`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from streaming.engine.base import EngineError
from streaming.engine.faults import told_by
from streaming.engine.local.attention.span import Span
from streaming.engine.local.forward.precision import Precision

Step = Callable[[Sequence[int], Sequence[int], Sequence[Span]], Tensor]
"""As `Decoder.step`."""


@dataclass(frozen=True, slots=True)
class Least:
    """The least likeness of what attention adds, of any other part, and of a whole pass."""

    attention: float
    part: float
    whole: float


_FLOAT32, _SHORT, _INT8 = (
    Least(0.999, 0.999, 0.999),
    Least(0.99, 0.998, 0.98),
    Least(0.92, 0.95, 0.85),
)
"""Measured in the default model's 30 layers: 0.9998 of parts in 16 bits and 0.9994 in all; in
8 bits 0.961, 0.997 and 0.965. There what is a little less becomes another one of 256 numbers, layer
by layer. Scores scaled by 1.5 leave 0.88 of attention, the wrong direction of turning less."""


def least_likeness(precision: Precision) -> Least:
    """Return the bounds for a pass in this precision."""
    if precision.is_int8:
        return _INT8
    return _FLOAT32 if precision.activations == torch.float32 else _SHORT


_LENGTHS = (13, 7)  # tokens of two rows; the last one is decoded
_CUTS = (5, 3)  # after so many their first chunks end


def sample(vocabulary: int) -> list[list[int]]:
    """Return the tokens of two rows."""
    return [
        [(7919 * (number + 1) + 104729 * row) % vocabulary for number in range(length)]
        for row, length in enumerate(_LENGTHS)
    ]


def read_and_decode(step: Step, rows: int, texts: Sequence[Sequence[int]]) -> list[Tensor]:
    """Read the texts in chunks, then decode their last tokens together (in one row: one after the
    other). Return for each text the logits [2, vocabulary] before its last token and after it."""
    if rows < len(texts):
        return [found for text in texts for found in read_and_decode(step, rows, [text])]
    each = range(len(texts))
    starts, logits = [0] * len(texts), []
    for ends in (_CUTS[: len(texts)], [len(text) - 1 for text in texts]):
        spans = [
            Span(row, texts[row][starts[row] : ends[row]], starts[row], 0, len(texts[row]) - 1)
            for row in each
        ]
        logits = [step([], [], spans).clone()]
        starts = list(ends)
    logits.append(step([text[-1] for text in texts], starts, []))
    return [torch.stack([part[row] for part in logits]) for row in each]


@contextmanager
def steps_taken() -> Iterator[None]:
    """Run a block of steps; raises EngineError if they cannot be computed."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(
            f"This model cannot be served: the check at its start failed ({told_by(error)}).",
            "model_unsupported",
        ) from error


def likeness(ours: Tensor, theirs: Tensor) -> float:
    """Return the cosine of two vectors without their means, -1 if it is not a number."""
    a, b = (each.detach().cpu().flatten().double() for each in (ours, theirs))
    found = torch.cosine_similarity(a - a.mean(), b - b.mean(), dim=0)
    return float(found.nan_to_num(-1.0))


def require(what: str, ours: Tensor, theirs: Tensor, least: float) -> None:
    """Raise EngineError if the two are not alike."""
    if (found := likeness(ours, theirs)) < least:
        raise EngineError(
            f"This model cannot be served: in the check at its start {what} computed something "
            f"else than transformers does (likeness {found:.3f}; {least:g} is the least).",
            "model_unsupported",
        )
