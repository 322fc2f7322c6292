"""One running response as the worker sees it: its lease, its text, and what is not said yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from streaming.engine.base import EngineEvent, Finished, FinishReason, Started, TextDelta
from streaming.metrics import TokenMeter
from streaming.models import Response
from streaming.protocol import OutputTextDelta, ResponseInProgress
from streaming.record import Outcome
from streaming.waiting_list.base import Claim


@dataclass(frozen=True, slots=True)
class Moment:
    """When the engine said something, by the clock that never jumps and by the record's."""

    monotonic: float = field(default_factory=time.monotonic)
    time: datetime = field(default_factory=timezone.now)


@dataclass(frozen=True, slots=True)
class Append:
    """One event to publish, its number, the tokens it makes known, and the text it adds.

    `life`: how often the answer had begun anew when it was said.
    """

    event: str
    number: int
    tokens: tuple[int, ...] = ()
    text: str = ""
    life: int = 0


class Running:
    """Collects the engine's events and turns them into as few published ones as possible."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.lease = claim.lease
        self.row: Response | None = None  # as this attempt started it
        self.response_id = claim.entry.response_id
        self.ending = False
        self.tail = claim.tail
        self.timed_out = False
        self.submitted = False
        self.cancelled = False
        self.asked_to_end: float | None = None  # when the engine was first, by `time.monotonic`
        self._began = time.monotonic()
        self._announced = False
        self._life = 0
        self._started: Started | None = None
        self._finished: Finished | None = None
        self._said = ""
        self._unsaid: list[str] = []
        self._tokens: list[int] = []
        self._generated = len(claim.tokens)
        self._first_token_at: datetime | None = None
        self._meter = TokenMeter()

    def resume(self, text: str) -> None:
        """Take over what earlier attempts published: `in_progress` and this text."""
        self._announced = True
        self._said = text

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
                self._first_token_at = self._first_token_at or moment.time
                # PostgreSQL stores no U+0000, and an end that cannot be written never comes.
                self._unsaid.append(event.text.replace("\x00", "\ufffd"))
                self._tokens.extend(event.tokens)
                self._generated += len(event.tokens)
            case Finished():
                self._finished = self._timed_out(event) if self.timed_out else event

    def _begin_anew(self) -> None:
        """Forget what was said; the next `in_progress` tells the readers to do so, too."""
        self._life += 1
        self._announced = False
        self._said = ""
        self._unsaid, self._tokens, self._generated = [], [], 0

    def unsaid(self) -> Iterator[Append]:
        """What is to be published now; `said` afterwards takes it off."""
        response_id = UUID(self.response_id)
        number = self.tail + 1
        if self._started and not self._announced:
            event = ResponseInProgress(
                response_id=response_id,
                prompt_tokens=self._started.prompt_tokens,
                trimmed_messages=self._started.trimmed_messages,
            )
            yield Append(event.model_dump_json(), number, life=self._life)
            number += 1
        if text := "".join(self._unsaid):
            delta = OutputTextDelta(response_id=response_id, delta=text, offset=len(self._said))
            tokens = tuple(self._tokens)
            yield Append(delta.model_dump_json(), number, tokens, text, self._life)

    def said(self, append: Append) -> None:
        self.tail = append.number
        if append.life != self._life:
            return  # it began anew meanwhile
        if not append.text:
            self._announced = True
            return
        self._said += append.text
        rest = "".join(self._unsaid)[len(append.text) :]
        self._unsaid = [rest] if rest else []
        del self._tokens[: len(append.tokens)]

    def cut_short(self) -> None:
        """End it as cancelled, with what was heard of it, in place of an engine that does not."""
        prompt_tokens = self._started.prompt_tokens if self._started else 0
        cancelled = FinishReason.CANCELLED
        self.take(Finished(self.response_id, cancelled, prompt_tokens, self._generated), Moment())

    @property
    def is_in_engine(self) -> bool:
        """Whether the engine has it and has not ended it, as far as is heard."""
        return self.submitted and self._finished is None

    @property
    def is_over(self) -> bool:
        """Whether the engine has ended it and all it said is published."""
        return self._finished is not None and not any(self._unsaid)

    @property
    def is_typical(self) -> bool:
        """Whether it ended by itself, so that it tells how long answers are."""
        natural = (FinishReason.STOP, FinishReason.LENGTH)
        return self._finished is not None and self._finished.reason in natural

    def _timed_out(self, finished: Finished) -> Finished:
        if finished.reason is not FinishReason.CANCELLED:
            return finished  # it ended by itself at the same moment
        return replace(
            finished,
            reason=FinishReason.ERROR,
            error_code="generation_timeout",
            error_message="The answer took too long and was stopped.",
        )

    def outcome(self) -> Outcome:
        """How it ended. Only when `is_over`."""
        assert self._finished is not None
        return Outcome(
            finished=self._finished,
            text=self._said,
            trimmed_messages=self._started.trimmed_messages if self._started else 0,
            first_token_at=self._first_token_at,
        )
