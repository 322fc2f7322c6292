"""A response's life in stages: how long it waited, read its prompt, and was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from streaming.admin.durations import words
from streaming.models import Response

PHASES = {
    "waiting": "waiting",
    "reading": "reading the prompt",
    "answering": "answering",
    "running": "running, no first token",
}


@dataclass(frozen=True, slots=True)
class Milestone:
    """A named point of a response's life."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class TimelinePhase:
    """What happens between two moments; `kind` is a key of PHASES."""

    kind: str
    begin: Milestone
    end: Milestone

    @property
    def seconds(self) -> float:
        """Return its length, in seconds."""
        return (self.end.at - self.begin.at).total_seconds()


@dataclass(frozen=True, slots=True)
class Life:
    """The phases of a response, each beginning where the one before it ends; at least one.

    `skewed`: a moment lay before an earlier one (clocks of several machines) and was moved up.
    """

    phases: tuple[TimelinePhase, ...]
    open: bool
    skewed: bool

    @property
    def seconds(self) -> float:
        """Return the length of all stages, in seconds."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def moments(self) -> tuple[Milestone, ...]:
        """Return the milestones, in their order; one more than there are stages."""
        return (self.phases[0].begin, *(phase.end for phase in self.phases))


def life_of(response: Response, now: datetime | None = None) -> Life:
    """A response's phases. One that is open lasts until `now`."""
    is_open = response.finished_at is None
    end = response.finished_at or now or timezone.now()
    moments = [Milestone("created, queued", response.created_at)]
    kinds = []
    if response.started_at:
        moments.append(Milestone("started", response.started_at))
        kinds.append("waiting")
    if response.first_token_at:
        moments.append(Milestone("first token", response.first_token_at))
        kinds.append("reading" if response.started_at else "waiting")
    moments.append(Milestone("now" if is_open else "finished", end))
    if response.first_token_at:
        kinds.append("answering")
    elif response.started_at:
        kinds.append("reading" if is_open else "running")
    else:
        kinds.append("waiting")
    forward, skewed = _forward(moments)
    phases = zip(kinds, forward, forward[1:], strict=False)
    return Life(tuple(TimelinePhase(kind, *pair) for kind, *pair in phases), is_open, skewed)


def _forward(moments: Sequence[Milestone]) -> tuple[list[Milestone], bool]:
    """The moments, none before the one in front of it; whether any had to be moved."""
    forward = [moments[0]]
    for moment in moments[1:]:
        forward.append(Milestone(moment.name, max(moment.at, forward[-1].at)))
    return forward, forward != list(moments)


def sentence(response: Response, life: Life) -> str:
    """The drawing in words."""
    parts = [f"{PHASES[phase.kind]} {words(phase.seconds)}" for phase in life.phases]
    total = "so far" if life.open else "in all"
    parts.append(f"{words(life.seconds)} {total}")
    return ", ".join(parts).capitalize() + "." + "".join(f" {note}" for note in notes(response))


def notes(response: Response) -> list[str]:
    """What the drawing cannot show: attempts and restarts."""
    said = []
    if response.attempt > 1:
        said.append(
            f"Attempt {response.attempt}: a worker died and another went on. The start is the "
            "first one's, the first token the last one's."
        )
    if response.restarts:
        times = "once" if response.restarts == 1 else f"{response.restarts} times"
        said.append(f"The waiting list forgot it {times}, and it was put back.")
    return said


SKEWED = "The clocks of the machines disagree: a moment was recorded before an earlier one."
