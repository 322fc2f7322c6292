"""One running response as its worker sees it: the lease, the phase, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Set
from dataclasses import replace
from enum import Enum

from streaming.engine.base import EngineEvent, Finished, FinishReason
from streaming.lifecycle.ending import Hold
from streaming.lifecycle.published import Published
from streaming.models import Response
from streaming.record.endings import Ending
from streaming.system.transitions import checked
from streaming.waiting_list.interface import Claim, Lease
from streaming.worker.transcript import Append, EventTime, Transcript


class RunningPhase(Enum):
    """How far a claimed response has come."""

    CLAIMED = "under a lease, its history being read"
    GENERATING = "in the engine"
    FINISHED = "ended by the engine; the last of it is being published"
    ENDING = "published; its end is being written"


TRANSITIONS: Mapping[RunningPhase, Set[RunningPhase]] = {
    RunningPhase.CLAIMED: frozenset({RunningPhase.GENERATING}),
    RunningPhase.GENERATING: frozenset({RunningPhase.FINISHED}),
    RunningPhase.FINISHED: frozenset({RunningPhase.ENDING}),
    RunningPhase.ENDING: frozenset(),
}
"""Phases that may follow each. In any of them a worker may let go of a response."""


class Running:
    """One attempt to answer a response, from its claim to the writing of its end."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.phase = RunningPhase.CLAIMED
        self.is_cancelled = False
        """Whether somebody wants it ended."""
        self._row: Response | None = None
        self._transcript = Transcript(claim)
        self._finished: Finished | None = None
        self._is_overlong = False
        self._began = time.monotonic()
        self._cancelled_at: float | None = None  # when the engine was first asked to end it

    # --- what it is ---

    @property
    def response_id(self) -> str:
        """Return the id of the response."""
        return self.claim.entry.response_id

    @property
    def lease(self) -> Lease:
        """Return the lease of this attempt."""
        return self.claim.lease

    @property
    def row(self) -> Response:
        """Return the response's row as this attempt started it. Only after `start`."""
        assert self._row is not None
        return self._row

    @property
    def seconds(self) -> float:
        """Return how long this attempt has been running, in seconds."""
        return time.monotonic() - self._began

    @property
    def last_sequence(self) -> int:
        """Return the number of the last event that was published."""
        return self._transcript.last_sequence

    @property
    def is_in_engine(self) -> bool:
        """Whether the engine has it and has not ended it, as far as is heard."""
        return self.phase is RunningPhase.GENERATING

    @property
    def can_end(self) -> bool:
        """Whether its end can be written: the engine has ended it, and all it said is published."""
        return self.phase is RunningPhase.FINISHED and self.is_published

    @property
    def is_published(self) -> bool:
        """Whether all that was heard of it is published, as `Transcript.is_published`."""
        return self._transcript.is_published

    # --- its phases ---

    def start(self, row: Response) -> None:
        """Take the row that the record has started for this attempt."""
        self._row = row
        self._transcript.start(row)

    def resume(self, said: Published) -> None:
        """Take over what earlier attempts published."""
        self._transcript.resume(said)

    def mark_submitted(self) -> None:
        """Note that the engine has it."""
        self._become(RunningPhase.GENERATING)

    def cancel(self) -> bool:
        """Note that somebody wants it ended. Return whether the engine is to be asked for it."""
        self.is_cancelled = True
        if self.is_in_engine:
            self._cancelled_at = self._cancelled_at or time.monotonic()
        return self.is_in_engine

    def time_out(self) -> bool:
        """Note that it takes too long: it ends as failed, not as cancelled. Return as `cancel`."""
        self._is_overlong = True
        return self.cancel()

    def is_unheeded(self, seconds: float) -> bool:
        """Whether the engine was asked to end it more than `seconds` ago, and has not."""
        asked = self._cancelled_at
        return self.is_in_engine and asked is not None and asked < time.monotonic() - seconds

    def cut_short(self) -> None:
        """End it as cancelled, with what was heard of it, in place of an engine that does not."""
        cancelled = Finished(
            self.response_id,
            FinishReason.CANCELLED,
            self._transcript.prompt_tokens,
            self._transcript.generated,
            reasoning_tokens=self._transcript.thinking.tokens,
        )
        self.take(cancelled, EventTime())

    def begin_ending(self) -> None:
        """Note that its end is being written."""
        self._become(RunningPhase.ENDING)

    def _become(self, phase: RunningPhase) -> None:
        self.phase = checked(TRANSITIONS, f"Response {self.response_id}", self.phase, phase)

    # --- what is said of it ---

    def take(self, event: EngineEvent, at: EventTime) -> None:
        """Take one event of the engine."""
        self._transcript.take(event, at)
        if isinstance(event, Finished):
            self._finished = self._timed_out(event) if self._is_overlong else event
            self._become(RunningPhase.FINISHED)

    def unpublished(self) -> list[Append]:
        """Return what is to be published now, as `Transcript.unpublished`."""
        return self._transcript.unpublished()

    def mark_published(self, append: Append) -> None:
        """Count one of `unpublished` as published."""
        self._transcript.mark_published(append)

    # --- its end ---

    def outcome(self) -> Ending:
        """Return how it ended. Only when the engine has ended it."""
        assert self._finished is not None
        return Ending.generated(
            self._finished,
            self._transcript.output(),
            trimmed_messages=self._transcript.trimmed_messages,
            first_token_at=self._transcript.first_token_at,
        )

    @property
    def hold(self) -> Hold:
        """Return the right to say its last event."""
        reason = self._finished.reason if self._finished else None
        # One that ended by itself tells how long answers are; LENGTH is its own limit, which counts
        # no thought, or the context's.
        by_itself = (FinishReason.STOP, FinishReason.LENGTH, FinishReason.TOOL_CALLS)
        return Hold(
            self.lease,
            self.last_sequence + 1,
            counted=reason in by_itself,
            cut=reason is FinishReason.LENGTH,
        )

    def _timed_out(self, finished: Finished) -> Finished:
        if finished.reason is not FinishReason.CANCELLED:
            return finished  # it ended by itself at the same moment
        return replace(
            finished,
            reason=FinishReason.ERROR,
            error_code="generation_timeout",
            error_message="The answer took too long and was stopped.",
        )
