"""One running response as the worker sees it: its lease, its text, and what is not said yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from streaming.engine.base import EngineEvent, Finished, Started, TextDelta
from streaming.protocol import OutputTextDelta, ResponseInProgress
from streaming.record import Outcome
from streaming.waiting_list.base import Claim


@dataclass(frozen=True, slots=True)
class Append:
    """One event to publish, the tokens it makes known, and the text it adds."""

    event: str
    tokens: tuple[int, ...] = ()
    text: str = ""


class Running:
    """Collects the engine's events and turns them into as few published ones as possible."""

    def __init__(self, claim: Claim) -> None:
        self.lease = claim.lease
        self.attempt = claim.attempt
        self.response_id = claim.entry.response_id
        self.ending = False
        self._announced = claim.tail > 0  # an earlier attempt said `in_progress` already
        self._started: Started | None = None
        self._finished: Finished | None = None
        self._said = ""
        self._unsaid: list[str] = []
        self._tokens: list[int] = []
        self._first_token_at: datetime | None = None

    def resume(self, text: str) -> None:
        """Take over the text that earlier attempts published."""
        self._said = text

    def take(self, event: EngineEvent) -> None:
        match event:
            case Started():
                self._started = event
            case TextDelta():
                self._first_token_at = self._first_token_at or timezone.now()
                self._unsaid.append(event.text)
                self._tokens.extend(event.tokens)
            case Finished():
                self._finished = event

    def unsaid(self) -> Iterator[Append]:
        """What is to be published now; `said` afterwards takes it off."""
        response_id = UUID(self.response_id)
        if self._started and not self._announced:
            event = ResponseInProgress(
                response_id=response_id,
                prompt_tokens=self._started.prompt_tokens,
                trimmed_messages=self._started.trimmed_messages,
            )
            yield Append(event.model_dump_json())
        if text := "".join(self._unsaid):
            delta = OutputTextDelta(response_id=response_id, delta=text, offset=len(self._said))
            yield Append(delta.model_dump_json(), tuple(self._tokens), text)

    def said(self, append: Append) -> None:
        if not append.text:
            self._announced = True
            return
        self._said += append.text
        rest = "".join(self._unsaid)[len(append.text) :]
        self._unsaid = [rest] if rest else []
        del self._tokens[: len(append.tokens)]

    @property
    def is_over(self) -> bool:
        """Whether the engine has ended it and all it said is published."""
        return self._finished is not None and not any(self._unsaid)

    def outcome(self) -> Outcome:
        """How it ended. Only when `is_over`."""
        assert self._finished is not None
        return Outcome(
            finished=self._finished,
            text=self._said,
            trimmed_messages=self._started.trimmed_messages if self._started else 0,
            first_token_at=self._first_token_at,
        )
