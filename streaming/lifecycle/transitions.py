"""The transitions of a response: who may ask, what is written where, and what mends a death."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Stage(StrEnum):
    """Where a response is in its life. The record knows no `held`: there it is `queued`."""

    NONE = "(none)"
    ACCEPTING = "accepting"
    QUEUED = "queued"
    HELD = "held"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    CANCELLED = "cancelled"
    FAILED = "failed"


OPEN = (Stage.ACCEPTING, Stage.QUEUED, Stage.HELD, Stage.IN_PROGRESS)
ENDED = (Stage.COMPLETED, Stage.INCOMPLETE, Stage.CANCELLED, Stage.FAILED)


class Transition(NamedTuple):
    """`first` happens before `then`; `mended`: what follows if the process dies between the two.
    `by`: the functions that do it, of this package's modules or of the waiting list."""

    before: tuple[Stage, ...]
    after: tuple[Stage, ...]
    asked_by: str
    by: tuple[str, ...]
    first: str
    then: str
    mended: str


TRANSITIONS = (
    Transition(
        (Stage.NONE,),
        (Stage.ACCEPTING,),
        "owner",
        ("accepting.accept",),
        "record: prompt and row, `accepting`",
        "list: a place, or a refusal; what was refused is discarded from the record",
        "after 10 s the reconciler asks for a place, within the bounds; refused: `failed`",
    ),
    Transition(
        (Stage.ACCEPTING,),
        (Stage.QUEUED, Stage.HELD),
        "owner, reconciler",
        ("accepting.accept", "reconciler.reconcile"),
        "list: the place; the reader is told; the doorbell",
        "record: `queued` and where it stands, for all that were accepted meanwhile",
        "the reconciler marks it `queued`",
    ),
    Transition(
        (Stage.HELD,),
        (Stage.QUEUED,),
        "list, when the conversation's response before it ends",
        ("WaitingList.finish", "recovery.keep_slots"),
        "list: a place in the order",
        "record: where it stands",
        "the reconciler writes where it stands",
    ),
    Transition(
        (Stage.QUEUED,),
        (Stage.IN_PROGRESS,),
        "worker",
        ("WaitingList.claim", "starting.start"),
        "list: a lease and an attempt",
        "record: `in_progress`, worker, attempt; the history is read",
        "the lease runs out, and the list gives it its old place",
    ),
    Transition(
        (Stage.IN_PROGRESS,),
        (Stage.QUEUED,),
        "worker that drains or hangs; sweep, when a lease has run out",
        ("WaitingList.release", "WaitingList.sweep"),
        "list: its old place, with what was published",
        "record: nothing; the next start writes another attempt",
        "the lease runs out",
    ),
    Transition(
        (Stage.IN_PROGRESS,),
        (Stage.COMPLETED, Stage.INCOMPLETE, Stage.CANCELLED, Stage.FAILED),
        "worker",
        ("ending.end",),
        "record: the end, if the row is of its attempt",
        "list: the last event, the lease and the place are over (`finish`)",
        "whoever claims it next, or the reconciler, says the end that the record has",
    ),
    Transition(
        OPEN,
        (Stage.CANCELLED,),
        "owner, operator, deletion, sweep when nobody watches",
        ("ending.cancel", "ending.end"),
        "record: `cancelled`, unless a worker runs it: then the list asks that worker to end it",
        "list: the last event, the place is over (`withdraw`)",
        "the reconciler withdraws it",
    ),
    Transition(
        (Stage.ACCEPTING, Stage.QUEUED, Stage.HELD),
        (Stage.FAILED,),
        "sweep, when it waited too long; reconciler, when it is refused",
        ("ending.fail_overdue", "ending.end"),
        "record: `failed`, if nobody has begun it",
        "list: the last event, the place is over (`withdraw`)",
        "the reconciler withdraws it",
    ),
    Transition(
        OPEN,
        (Stage.FAILED,),
        "sweep, after three attempts; engine watch, after three hangs; worker that cannot serve it",
        ("ending.fail_exhausted", "ending.end"),
        "record: `failed`, with what was published",
        "list: the last event, the place is over (`withdraw`; `finish` under a lease)",
        "the reconciler withdraws it",
    ),
    Transition(
        (*OPEN, *ENDED),
        (Stage.NONE,),
        "owner, operator, deletion of an account",
        ("forgetting.forget", "forgetting.forget_in_transaction", "forgetting.forget_response"),
        "record: what is open is cancelled, then the rows go in one transaction",
        "list: what was open still is withdrawn by its id",
        "the reconciler, or a worker's claim, finds no row and takes it out",
    ),
)
