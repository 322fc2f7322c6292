"""The numbered events that a worker publishes of one answer: text, thought, and what is neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from streaming.engine.base import Channel
from streaming.engine.passed import whole_of
from streaming.protocol.server_events import (
    OutputTextDelta,
    ReasoningTextDelta,
    ResponsePassedDelta,
)


@dataclass(frozen=True, slots=True)
class Append:
    """One event to publish, its number, the tokens it makes known, and what it adds to the answer.

    `anew_count`: how often the answer had begun anew when it was said.
    """

    event: str
    number: int
    tokens: tuple[int, ...] = ()
    text: str = ""
    reasoning: str = ""
    passed: Mapping[str, Any] | None = None
    anew_count: int = 0


class Part(NamedTuple):
    """Something that an engine said: text of a channel, or, of the channel None, fields that are no
    text; and the seconds that it had thought by then."""

    channel: Channel | None
    content: str | Mapping[str, Any]
    thought_seconds: float = 0.0


def appends(
    response_id: UUID, parts: Iterable[Part], number: int, lengths: Mapping[Channel, int]
) -> Iterator[Append]:
    """Yield the events of `parts`, numbered from `number` on. Parts of one channel that follow each
    other become one event. `lengths`: code points of each channel that stand before.
    """
    offsets = dict(lengths)
    for channel, group in groupby(parts, lambda part: part.channel):
        some = list(group)
        event: ResponsePassedDelta | OutputTextDelta | ReasoningTextDelta
        if channel is None:
            passed = whole_of(part.content for part in some)  # type: ignore[misc]
            event = ResponsePassedDelta(response_id=response_id, fields=passed)
            yield Append(event.model_dump_json(), number, passed=passed)
            number += 1
            continue
        text, offset = "".join(part.content for part in some), offsets[channel]  # type: ignore[misc]
        offsets[channel] += len(text)
        if channel is Channel.TEXT:
            event = OutputTextDelta(response_id=response_id, delta=text, offset=offset)
            yield Append(event.model_dump_json(), number, text=text)
        else:
            event = ReasoningTextDelta(
                response_id=response_id,
                delta=text,
                offset=offset,
                reasoning_ms=round(1000 * some[-1].thought_seconds),
            )
            yield Append(event.model_dump_json(), number, reasoning=text)
        number += 1
