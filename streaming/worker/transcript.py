"""What one answer says: from the engine's events to as few published ones as possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

from django.utils import timezone

from streaming.engine.base import (
    Channel,
    EngineEvent,
    Finished,
    FinishReason,
    PassedDelta,
    Started,
    TextDelta,
)
from streaming.lifecycle import resource
from streaming.lifecycle.published import Published
from streaming.models import Response
from streaming.monitoring.metrics import TokenMeter
from streaming.protocol.items import ItemStatus
from streaming.protocol.response_events import ResponseEvent, ResponseInProgress
from streaming.record.output import Output
from streaming.waiting_list.interface import Claim
from streaming.worker.output_writer import OutputWriter, Part

_WHOLE = (FinishReason.STOP, FinishReason.TOOL_CALLS)
"""Reasons to end after which the last item is complete."""


@dataclass(frozen=True, slots=True)
class Append:
    """One event to publish, its number, and the tokens that it makes known.

    `anew_count`: how often the answer had begun anew when it was said.
    """

    event: str
    number: int
    tokens: tuple[int, ...] = ()
    anew_count: int = 0


@dataclass(frozen=True, slots=True)
class EventTime:
    """When an engine said something: seconds of the clock that never jumps, and the record's."""

    monotonic: float = field(default_factory=monotonic)
    time: datetime = field(default_factory=timezone.now)


class ThoughtClock:
    """Measures how long a model thinks, and in how many tokens, over all thoughts of an answer."""

    def __init__(self) -> None:
        self.tokens = 0
        self.seconds = 0.0
        self._since: float | None = None  # the last word of a thought that goes on

    def resume(self, said: Output, tokens: int) -> None:
        """Go on from an earlier attempt, which published `tokens` tokens in all."""
        self.seconds = (said.reasoning_ms or 0) / 1000
        if said.reasoning and not said.text:
            self.tokens = tokens  # else only the engine knows

    def hear(self, now: float, channel: Channel | None = None, tokens: int = 0) -> None:
        """Count the time until `now` if it was thought. It goes on if `channel` is the thought's,
        to which then belong `tokens`."""
        if self._since is not None:
            self.seconds += now - self._since
        is_thought = channel is Channel.REASONING
        self._since = now if is_thought else None
        self.tokens += tokens if is_thought else 0


class Transcript:
    """Collects what the engine says of one claimed response, and what of it is published."""

    def __init__(self, claim: Claim) -> None:
        self.last_sequence = claim.last_sequence
        """The number of the last event that was published."""
        self.generated = len(claim.tokens)
        """Tokens generated, by earlier attempts, too."""
        self.thinking = ThoughtClock()
        self.first_token_at: datetime | None = None
        self._claim = claim
        self._row: Response | None = None
        self._started: Started | None = None
        self._is_announced = False  # whether `in_progress` is written
        self._anew_count = 0  # how often the answer began anew
        self._writer = OutputWriter(self._response_id)
        self._unpublished: list[Part] = []  # in order
        self._offered: list[Append] = []  # may have been published, though nobody said so
        self._tokens: list[int] = []  # of what is not published
        self._finished: FinishReason | None = None
        self._meter = TokenMeter()

    def start(self, row: Response) -> None:
        """Take the row that the record has started for this attempt."""
        self._row = row

    def resume(self, said: Published) -> None:
        """Take over what earlier attempts published: `in_progress`, and this."""
        self._is_announced = True
        self._writer = OutputWriter(self._response_id, said.output, said.open_items)
        self.thinking.resume(said.output, len(self._claim.tokens))

    def take(self, event: EngineEvent, at: EventTime) -> None:
        """Take one event of the engine, in the order in which it said them."""
        self._meter.hear(event, at.monotonic)
        match event:
            case Started():
                self._started = event
                if event.anew:
                    self._begin_anew()
            case TextDelta():
                self.thinking.hear(at.monotonic, event.channel, len(event.tokens))
                # PostgreSQL stores no U+0000, and an end that cannot be written never comes.
                text = event.text.replace("\x00", "\ufffd")
                self._add(event.channel, text, event.tokens, at)
            case PassedDelta():
                if event.tokens:
                    self.thinking.hear(at.monotonic)
                self._add(None, event.fields, event.tokens, at)
            case Finished():
                self.thinking.hear(at.monotonic)
                self._finished = event.reason

    def _add(
        self,
        channel: Channel | None,
        content: str | Mapping[str, Any],
        tokens: tuple[int, ...],
        at: EventTime,
    ) -> None:
        if tokens or channel:
            self.first_token_at = self.first_token_at or at.time
        if content:
            self._unpublished.append(Part(channel, content, self.thinking.seconds))
        self._tokens.extend(tokens)
        self.generated += len(tokens)

    def _begin_anew(self) -> None:
        """Forget what was said; the next `in_progress` tells the readers to do so, too."""
        self._anew_count += 1
        self._is_announced = False
        self._writer = OutputWriter(self._response_id)
        self._unpublished, self._tokens, self.generated = [], [], 0
        self.thinking = ThoughtClock()

    def unpublished(self) -> list[Append]:
        """Return what is to be published now; `mark_published` then takes each off.

        What was returned before and not taken off comes again as it was: it may be published, and
        under its number nothing else can be.
        """
        if not self._offered:
            self._offered = list(self._next_appends())
        return list(self._offered)

    def _next_appends(self) -> Iterator[Append]:
        for number, event in enumerate(self._next_events(), self.last_sequence + 1):
            tokens: tuple[int, ...] = ()
            if not isinstance(event, ResponseInProgress):
                tokens, self._tokens = tuple(self._tokens), []
            yield Append(event.model_dump_json(), number, tokens, self._anew_count)

    def _next_events(self) -> Iterator[ResponseEvent]:
        if self._started and not self._is_announced:
            assert self._row is not None
            self._is_announced = True
            yield ResponseInProgress(
                response_id=self._response_id,
                response=resource.begun(self._row, trimmed_messages=self.trimmed_messages),
                prompt_tokens=self.prompt_tokens,
            )
        # Tokens without text wait for some.
        parts, self._unpublished = self._unpublished, []
        yield from self._writer.write(parts)
        if self._finished:
            yield from self._writer.close(self._last_status)

    @property
    def _last_status(self) -> ItemStatus:
        return "completed" if self._finished in _WHOLE else "incomplete"

    def mark_published(self, append: Append) -> None:
        """Count one of `unpublished` as published."""
        self.last_sequence = append.number
        self._offered.remove(append)

    @property
    def is_published(self) -> bool:
        """Whether all that the engine has said is published, as far as it can be."""
        is_closed = not (self._finished and self._writer.is_open)
        return is_closed and not self._unpublished and not self._offered

    @property
    def prompt_tokens(self) -> int:
        """Return the tokens of the prompt, 0 until the engine has begun."""
        return self._started.prompt_tokens if self._started else 0

    @property
    def trimmed_messages(self) -> int:
        """Return how many messages were left out of the prompt, 0 until the engine has begun."""
        return self._started.trimmed_messages if self._started else 0

    def output(self) -> Output:
        """Return what the answer says, as far as it was published or offered."""
        return self._writer.said(self.thinking.seconds)

    @property
    def _response_id(self) -> UUID:
        return UUID(self._claim.entry.response_id)
