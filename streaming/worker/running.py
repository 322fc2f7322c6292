"""One running response as the worker sees it: its lease, its text, and what is not said yet."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
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
from streaming.engine.passed import add, kept
from streaming.lifecycle.ending import Hold
from streaming.models import Response
from streaming.monitoring.metrics import TokenMeter
from streaming.protocol.server_events import ResponseInProgress
from streaming.record.endings import Ending
from streaming.record.output import Output
from streaming.waiting_list.interface import Claim
from streaming.worker.appends import Append, Part, appends


@dataclass(frozen=True, slots=True)
class Moment:
    """When the engine said something, by the clock that never jumps and by the record's."""

    monotonic: float = field(default_factory=time.monotonic)
    time: datetime = field(default_factory=timezone.now)


class Running:
    """Collects the engine's events and turns them into as few published ones as possible."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.lease = claim.lease
        self.row: Response | None = None  # as this attempt started it
        self.response_id = claim.entry.response_id
        self.ending = False
        self.tail = claim.last_sequence
        self.timed_out = False
        self.submitted = False
        self.cancelled = False
        self.asked_to_end: float | None = None  # when the engine was first, by `time.monotonic`
        self._began = time.monotonic()
        self._announced = False
        self._life = 0
        self._started: Started | None = None
        self._finished: Finished | None = None
        self._said = {Channel.TEXT: "", Channel.REASONING: ""}
        self._passed: dict[str, Any] = {}
        self._unsaid: list[Part] = []  # in order
        self._offered: list[Append] = []  # may have been published, though nobody said so
        self._tokens: list[int] = []
        self._generated = len(claim.tokens)
        self._thought_tokens = 0
        self._thought_seconds = 0.0
        self._thinking_at: float | None = None  # when the last of a thought was heard that goes on
        self._first_token_at: datetime | None = None
        self._meter = TokenMeter()

    def resume(self, said: Output) -> None:
        """Take over what earlier attempts published: `in_progress`, and this."""
        self._announced = True
        self._said = {Channel.TEXT: said.text, Channel.REASONING: said.reasoning}
        self._passed = dict(said.passed)
        self._thought_seconds = (said.reasoning_ms or 0) / 1000
        if said.reasoning and not said.text:
            self._thought_tokens = len(self.claim.tokens)  # else only the engine knows

    @property
    def seconds(self) -> float:
        """How long this attempt has been running."""
        return time.monotonic() - self._began

    def take(self, event: EngineEvent, moment: Moment) -> None:
        self._meter.hear(event, moment.monotonic)
        match event:
            case Started():
                self._started = event
                if event.anew:
                    self._begin_anew()
            case TextDelta():
                self._time_thought(event.channel, moment.monotonic)
                if event.channel is Channel.REASONING:
                    self._thought_tokens += len(event.tokens)
                # PostgreSQL stores no U+0000, and an end that cannot be written never comes.
                text = event.text.replace("\x00", "\ufffd")
                self._take(event.channel, text, event.tokens, moment)
            case PassedDelta():
                if event.tokens:
                    self._time_thought(None, moment.monotonic)
                self._take(None, event.fields, event.tokens, moment)
            case Finished():
                self._time_thought(None, moment.monotonic)
                self._finished = self._timed_out(event) if self.timed_out else event

    def _time_thought(self, channel: Channel | None, now: float) -> None:
        """Count the time until `now` if it was thought, and go on if this is, too."""
        if self._thinking_at is not None:
            self._thought_seconds += now - self._thinking_at
        self._thinking_at = now if channel is Channel.REASONING else None

    def _take(
        self,
        channel: Channel | None,
        content: str | Mapping[str, Any],
        tokens: tuple[int, ...],
        moment: Moment,
    ) -> None:
        if tokens or channel:
            self._first_token_at = self._first_token_at or moment.time
        if content:
            self._unsaid.append(Part(channel, content, self._thought_seconds))
        self._tokens.extend(tokens)
        self._generated += len(tokens)

    def _begin_anew(self) -> None:
        """Forget what was said; the next `in_progress` tells the readers to do so, too."""
        self._life += 1
        self._announced = False
        self._said, self._passed = {Channel.TEXT: "", Channel.REASONING: ""}, {}
        self._unsaid, self._tokens, self._generated = [], [], 0
        self._thought_tokens, self._thought_seconds, self._thinking_at = 0, 0.0, None

    def unsaid(self) -> list[Append]:
        """What is to be published now; `said` afterwards takes each off.

        What was offered before and not taken off comes again as it was: it may be published, and
        under its number nothing else can be.
        """
        if not self._offered:
            self._offered = list(self._next_appends())
        return list(self._offered)

    def _next_appends(self) -> Iterator[Append]:
        response_id = UUID(self.response_id)
        number = self.tail + 1
        if self._started and not self._announced:
            began = ResponseInProgress(
                response_id=response_id,
                prompt_tokens=self._started.prompt_tokens,
                trimmed_messages=self._started.trimmed_messages,
            )
            yield Append(began.model_dump_json(), number, life=self._life)
            number += 1
        if not self._unsaid:
            return  # tokens without text wait for some
        parts, self._unsaid = self._unsaid, []
        tokens, self._tokens = tuple(self._tokens), []
        lengths = {channel: len(said) for channel, said in self._said.items()}
        for append in appends(response_id, parts, number, lengths):
            yield replace(append, tokens=tokens, life=self._life)
            tokens = ()

    def said(self, append: Append) -> None:
        self.tail = append.number
        self._offered.remove(append)
        if append.life != self._life:
            return  # it began anew meanwhile
        if append.passed is not None:
            add(self._passed, kept(append.passed))
        elif append.text or append.reasoning:
            self._said[Channel.TEXT] += append.text
            self._said[Channel.REASONING] += append.reasoning
        else:
            self._announced = True

    def cut_short(self) -> None:
        """End it as cancelled, with what was heard of it, in place of an engine that does not."""
        prompt_tokens = self._started.prompt_tokens if self._started else 0
        cancelled = Finished(
            self.response_id,
            FinishReason.CANCELLED,
            prompt_tokens,
            self._generated,
            reasoning_tokens=self._thought_tokens,
        )
        self.take(cancelled, Moment())

    @property
    def is_in_engine(self) -> bool:
        """Whether the engine has it and has not ended it, as far as is heard."""
        return self.submitted and self._finished is None

    @property
    def is_over(self) -> bool:
        """Whether the engine has ended it and all it said is published."""
        return self._finished is not None and not self._unsaid and not self._offered

    @property
    def is_typical(self) -> bool:
        """Whether it ended by itself, so that it tells how long answers are."""
        natural = (FinishReason.STOP, FinishReason.LENGTH, FinishReason.TOOL_CALLS)
        return self._finished is not None and self._finished.reason in natural

    @property
    def is_cut(self) -> bool:
        """Whether it ended at a limit: its own, which counts no thought, or the context's."""
        return self._finished is not None and self._finished.reason is FinishReason.LENGTH

    def _timed_out(self, finished: Finished) -> Finished:
        if finished.reason is not FinishReason.CANCELLED:
            return finished  # it ended by itself at the same moment
        return replace(
            finished,
            reason=FinishReason.ERROR,
            error_code="generation_timeout",
            error_message="The answer took too long and was stopped.",
        )

    def outcome(self) -> Ending:
        """How it ended. Only when `is_over`."""
        assert self._finished is not None
        text, reasoning = self._said[Channel.TEXT], self._said[Channel.REASONING]
        milliseconds = round(1000 * self._thought_seconds) if reasoning else None
        return Ending.generated(
            self._finished,
            Output(text, reasoning, milliseconds, self._passed),
            trimmed_messages=self._started.trimmed_messages if self._started else 0,
            first_token_at=self._first_token_at,
        )

    @property
    def hold(self) -> Hold:
        """The right to say its last event."""
        return Hold(self.lease, self.tail + 1, counted=self.is_typical, cut=self.is_cut)
