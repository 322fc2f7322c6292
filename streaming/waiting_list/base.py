"""The waiting list's interface: what the extension `"waiting_list"` of our channel layers offers.

Every operation is atomic. The list holds ids and limits, never prompts: the record (the
database) holds those. Who may speak for a running response is decided by its lease; whatever
a response says is numbered, stored and published to its group in one operation, so that
nothing is published that cannot be replayed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

DONE_LOG_SECONDS = 600
"""How long the events of an ended response stay readable."""

MAX_ATTEMPTS = 3
"""Claims of one response before it is failed rather than returned to the list."""

RECENT_KEPT = 128
"""Finished responses whose lengths and times are remembered for forecasts."""

WAITS_KEPT = 256
"""First claims whose queue times are remembered."""

SAMPLES_KEPT = 360
"""Samples of the queue that are kept: an hour, at one every 10 s."""

CLOSED_MESSAGE_CHARS = 300
"""The most that an operator may tell people about a closed queue."""


WORKERS_GROUP = "workers"
"""The channel-layer group on which workers hear what concerns them at once. The list itself says
`{"type": "worker.claim", "worker_id"}` there when it leaves an entry to a worker."""


def group_name(response_id: str) -> str:
    """The channel-layer group that receives a response's events.

    Its messages are `{"type": "response.event", "response_id", "sequence_number", "event",
    "last"}`: `event` is the complete JSON text, as `read` gives it; `last` is true for the
    event of `finish` or `withdraw`.
    """
    return f"response.{response_id}"


class WaitingListError(Exception):
    """A prompt was not accepted. `code` is the protocol's error code."""

    code = "unavailable"


class QueueFull(WaitingListError):
    code = "queue_full"


class OwnerLimit(WaitingListError):
    code = "user_limit"


class AddressLimit(WaitingListError):
    code = "address_limit"


class Unavailable(WaitingListError):
    code = "unavailable"


class QueueClosed(WaitingListError):
    """An operator takes no new prompts; the text is the operator's message."""

    code = "queue_closed"


REFUSALS = tuple(
    error.code for error in (QueueFull, OwnerLimit, AddressLimit, QueueClosed, Unavailable)
)
"""Why a prompt may be kept out; `Counters.rejected` has each of them."""


class ListLost(Exception):
    """The list has lost what it had accepted: nothing new has a place, and nothing is claimed,
    before `WaitingList.restore`."""


class WrongNumber(Exception):
    """An event came with a number that is neither the next one nor one this lease has said.

    Its writer and the log disagree about what was said; saying on would leave a hole.
    """

    def __init__(self, response_ids: Iterable[str]) -> None:
        self.response_ids = frozenset(response_ids)
        super().__init__(f"wrong event number for {', '.join(sorted(self.response_ids))}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on open responses (waiting and running). 0 for owner or address means unbounded."""

    max_waiting: int
    max_per_owner: int = 0
    max_per_address: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """What the list knows of one response. `address` may be empty (not bounded then)."""

    response_id: str
    owner: str
    conversation_id: str
    address: str = ""
    max_tokens: int = 0


class State(StrEnum):
    HELD = "held"  # an earlier response of the same conversation is open
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    UNKNOWN = "unknown"


class Slot(NamedTuple):
    """Where a response stands: the smaller is sooner. No two have the same ticket.

    `moved`: an operator put it there, outside its owner's queue.
    """

    tag: int
    ticket: int
    moved: bool = False

    @property
    def text(self) -> str:
        """As the record keeps it."""
        return f"{self.tag}:{self.ticket}:{int(self.moved)}"

    @classmethod
    def parse(cls, text: str) -> Slot | None:
        """None for an empty text. Raises ValueError."""
        if not text:
            return None
        tag, ticket, moved = map(int, text.split(":"))
        return cls(tag, ticket, bool(moved))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a response stands. `position` 1 is next; None while held or when not waiting.

    `size` counts the waiting entries with a position. `created` is False when the id was known.
    `slot` is told by `enqueue` alone, of what has a place.
    """

    state: State
    position: int | None
    size: int
    created: bool = True
    slot: Slot | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Remembered:
    """An open response as the record knows it, for a list that has forgotten it.

    `slot` is where it stood, None if that was never written. `ran`: a worker had claimed it. Its
    events will have numbers greater than `said`.
    """

    entry: Entry
    slot: Slot | None = None
    ran: bool = False
    said: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's right to speak for a response; `token` fences off everybody before it."""

    response_id: str
    worker_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed response. `tail` is the number of its last event, `tokens` what was generated."""

    lease: Lease
    entry: Entry
    attempt: int
    tail: int = 0
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """All that waits is left, for so many seconds at most, to workers that hold its prefixes and
    have a free place for it. Who asks again then gets what is still there."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Renewal:
    """`lost`: no longer this worker's; stop at once. `cancelled`: those of `held` asked to end."""

    held: frozenset[str]
    lost: frozenset[str]
    cancelled: frozenset[str]


class Withdrawal(StrEnum):
    WITHDRAWN = "withdrawn"  # it waited and is gone; `event` was its last
    RUNNING = "running"  # a worker holds it; the cancel flag is set
    GONE = "gone"  # unknown or already done


@dataclass(frozen=True, slots=True)
class Watched:
    """What a viewer needs to know of one response; `tail` is its last event's number."""

    state: State
    position: int | None
    tail: int


@dataclass(frozen=True, slots=True)
class Watch:
    """`size` as in Place; `workers` counts those alive and not draining."""

    size: int
    workers: int
    responses: dict[str, Watched]


class WorkerState(StrEnum):
    LOADING = "loading"
    READY = "ready"
    HUNG = "hung"  # a step of its engine does not return; it counts as one that loads
    DRAINING = "draining"


class Edge(StrEnum):
    """Where `move` puts a waiting response."""

    FRONT = "front"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class Orders:
    """What an operator wants of one worker. `capacity` None: as many as it was started with.

    `drain`: it claims no more and finishes what it runs, however long that takes, and stays.
    """

    capacity: int | None = None
    drain: bool = False


@dataclass(frozen=True, slots=True)
class WorkerBeat:
    """A worker's heartbeat. `ttl` seconds without another one, and it counts as dead.

    `prefixes`: of how many prompts its engine still has what it read, so that the next turn of a
    conversation is read faster there than elsewhere; 0 if of none.
    """

    worker_id: str
    capacity: int
    state: WorkerState
    ttl: float
    details: dict[str, Any] = field(default_factory=dict)
    prefixes: int = 0


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A live worker in a snapshot; `age` is seconds since its heartbeat.

    `capacity` and `state` are what counts: the heartbeat's, or `orders` where those say less.
    `paused` is its own switch; `Snapshot.paused` is the one for all.
    """

    worker_id: str
    capacity: int
    state: WorkerState
    running: int
    age: float
    details: dict[str, Any]
    paused: bool = False
    orders: Orders = Orders()


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An open response in a snapshot: seconds in its present state (`since`) and since it was
    accepted (`asked`). `slot` is None while it is held."""

    response_id: str
    owner: str
    conversation_id: str
    state: State
    position: int | None
    worker_id: str
    attempt: int
    since: float
    tokens: int
    max_tokens: int
    asked: float = 0.0
    slot: Slot | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Workers, then the running set, then the waiting list in order, held entries last.

    `paused`: no worker claims anything. `closed`: no new prompt is accepted, and people are told
    this.
    """

    workers: list[WorkerRow]
    running: list[EntryRow]
    waiting: list[EntryRow]
    paused: bool = False
    closed: str | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """`returned` went back to their places from expired leases; `exhausted` used up their
    attempts; `abandoned` have no viewer left, or were cancelled while running and came back
    from their worker unended. The caller ends both kinds through the record; they are named by
    every sweep until then, and those that came back are never claimed again. `overdue` were
    never claimed and have waited too long: the caller ends them in the same way."""

    returned: list[str]
    exhausted: list[str]
    abandoned: list[str]
    overdue: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunningLoad:
    """A running response: `tokens` generated in all, `resumed` of them before this claim;
    `seconds` since the claim."""

    response_id: str
    worker_id: str
    tokens: int
    max_tokens: int
    seconds: float
    resumed: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """What a forecast needs, all of one moment.

    `waiting` holds ids and token limits in the order of the claims to come, the returned ones
    first. `places` are the capacities of the workers that claim (or will, once loaded), as lowered
    by orders. `recent` holds tokens, seconds from claim to finish, and token limit of the last
    responses finished in one go, the newest last; one that was cut has had its limit.
    """

    running: list[RunningLoad]
    waiting: list[tuple[str, int]]
    places: dict[str, int]
    recent: list[tuple[int, float, int]]


@dataclass(frozen=True, slots=True)
class Counters:
    """What the list has counted, and the present numbers, all of one moment.

    `at` is Unix time by the list's clock. `waiting` are all that are open and do not run.
    `capacity` is that of the `workers` that live and are not draining. `accepted`, `rejected` (by
    each of REFUSALS) and `tokens` only grow, as long as the list keeps its memory. `waits` are
    the last first claims, the newest last: how long ago, and how long the response had waited
    since it was accepted, in seconds.
    """

    at: float
    running: int
    waiting: int
    workers: int
    capacity: int
    accepted: int
    rejected: dict[str, int]
    tokens: int
    waits: list[tuple[float, float]]


AppendCall = tuple[Lease, str, Sequence[int]] | tuple[Lease, str, Sequence[int], int | None]
"""The arguments of one `append`: lease, event, tokens, and the number if there is one."""


class WaitingList(ABC):
    """Operations of the extension. Times are seconds by the list's own clock (Redis TIME).

    The order is fair between owners (start-time fair queueing): an entry's tag is one more than
    the larger of its owner's last waiting tag and the virtual time, and the smallest tag is next,
    the earlier arrival first among equals. The virtual time is the largest tag ever claimed. So
    every owner's first waiting entry stands in the present round or the next one, whoever comes
    after it stands behind it, and its position never grows. An entry that is withdrawn bequeaths
    its place to its owner's next one, that one's to the one after it, and so on: nobody else is
    overtaken, and only the owner's last place disappears.

    A moved entry has its place from an operator, outside its owner's queue: it inherits nothing
    and bequeaths nothing, and its owner's later ones are placed as if it were not there. So a
    move changes no order but its own. It may empty a round; lest newcomers slip into the gap ahead
    of those who wait, the virtual time then passes over all rounds up to the next that somebody
    waits in.
    """

    @abstractmethod
    async def enqueue(
        self, entry: Entry, limits: Limits, *, readmit: bool = False, said: int = 0
    ) -> Place:
        """Accept a response, or raise QueueClosed, QueueFull, OwnerLimit, AddressLimit or
        Unavailable.

        Accepted while open responses are fewer than the capacities of the live, non-draining
        workers together plus `limits.max_waiting`. Idempotent: a known id changes nothing and
        answers its present place. `readmit` skips the bounds (the reconciler's right).
        While another response of its conversation is open, the entry is HELD (open, counted,
        no position) and takes its place in the order when that one ends.
        Counts as a first viewer touch. Its events will have numbers greater than `said`: one
        that comes back after the list has lost its memory never repeats a number.
        """

    async def objection(self, owner: str, address: str, limits: Limits) -> WaitingListError | None:
        """What `enqueue` would raise for a new response of this owner now. None is no promise: a
        list that would have to be asked over a network says nothing."""
        return None

    async def count_refusal(self, code: str) -> None:
        """Count a response that was refused for an `objection`, as `enqueue` counts its own."""
        raise NotImplementedError

    is_lost = False
    """Whether this process knows, without asking, that the list must be restored."""

    @abstractmethod
    async def is_restored(self) -> bool:
        """Whether it has been given what the record holds open, and lost nothing since."""

    @abstractmethod
    async def restore(
        self, forgotten: Sequence[Remembered], *, whole: bool, patience: float = 0
    ) -> None:
        """Put back what the list has forgotten, each where it stood; what it knows stays as it is.

        Those that ran come first, as those that came back from a lost worker. Those without a slot
        come last, as they are given, behind what is open of their conversation. Whoever comes from
        now on stands behind all that were put back. `whole`: this was all, the list is restored.
        Each counts as viewed `patience` seconds from now.
        """

    @abstractmethod
    async def unsaved(self) -> dict[str, Slot]:
        """Where open responses stand that got another place than `enqueue` told, and are not
        `saved`: by a move, or since one before them has ended."""

    @abstractmethod
    async def saved(self, slots: Mapping[str, Slot]) -> None:
        """The record knows of these places now."""

    @abstractmethod
    async def claim(self, worker_id: str, lease_seconds: float) -> Claim | Left | None:
        """The next response for a worker whose heartbeat is alive and READY, that is not paused
        and holds fewer leases than its capacity; None when nothing waits or it may not claim.

        The next one is the first that is not left to another worker: see `cache_affinity`. Raises
        ListLost as `enqueue` does.
        """

    @abstractmethod
    async def renew(
        self, worker_id: str, leases: Iterable[Lease], lease_seconds: float
    ) -> Renewal: ...

    @abstractmethod
    async def append(
        self, lease: Lease, event: str, tokens: Sequence[int] = (), number: int | None = None
    ) -> int | None:
        """Number, store and publish one event (a JSON object without `sequence_number`).

        Returns its number, or None if the lease is no longer valid (nothing was published).
        The first event of a response has number 1. The stored text is `event` with the number
        spliced in at its front: `{"sequence_number":N,` and the rest as it was written.

        With `number`, the one the event must get, the call may be repeated when its answer was
        lost: a number that this lease has already said is answered again and nothing is stored.
        Any other number than the next one raises WrongNumber.
        """

    @abstractmethod
    async def append_many(self, appends: Sequence[AppendCall]) -> list[int | None]:
        """`append` for each, in one round trip. WrongNumber comes after all others are said."""

    @abstractmethod
    async def read(self, response_id: str, after: int = 0, most: int | None = None) -> list[str]:
        """The stored events with numbers greater than `after`, the first `most` of them, each a
        complete JSON text."""

    async def rewind(self, response_id: str, seen: int, above: int) -> bool:
        """Let an open response begin anew, with numbers greater than `above`, if its log has lost
        the event `seen` that somebody was told already: it costs an attempt, and its tokens. So
        it is when a server is followed by one that did not have everything from it; a list that
        loses all or nothing need not do anything. Whether it did."""
        return False

    @abstractmethod
    async def finish(
        self,
        lease: Lease,
        event: str,
        number: int | None = None,
        *,
        counted: bool = True,
        cut: bool = False,
    ) -> int | None:
        """Append the last event, end the lease and the entry, let the next of its conversation
        take a place. None if the lease is no longer valid.

        `number` as in `append`. `counted`: it tells forecasts how long an answer is, which one
        that was cut short does not. `cut`: at a limit, so that it tells how long one is at least.
        """

    @abstractmethod
    async def withdraw(self, response_id: str, event: str) -> Withdrawal:
        """Take a waiting or held response out, `event` as its last; or flag a running one."""

    @abstractmethod
    async def flag(self, response_id: str) -> bool:
        """Ask whoever runs a response to end it, by its next `renew`; False if nobody runs it."""

    @abstractmethod
    async def release(self, lease: Lease, *, forgive: bool = True) -> bool:
        """Give a running response back to its old place with its tokens (a draining worker).

        `forgive` False: the attempt counts, as that of a lost worker does (one whose engine hangs,
        for the response may be the reason).
        """

    @abstractmethod
    async def watch(self, response_ids: Sequence[str]) -> Watch:
        """State, position and tail of each, and a viewer touch for each open one."""

    @abstractmethod
    async def place(self, response_id: str) -> Place: ...

    @abstractmethod
    async def known(self, response_ids: Sequence[str]) -> set[str]:
        """Those the list still holds as open (held, waiting or running)."""

    @abstractmethod
    async def move(self, response_id: str, edge: Edge) -> bool:
        """Put a waiting entry before or behind all others in the order; False if it has no
        position.

        Those with a position alone are overtaken, not those that came back from a lost worker.
        At the back it stands behind all who wait now; later ones take their fair places.
        """

    @abstractmethod
    async def close(self, message: str) -> None:
        """Accept nothing new, and tell people why. What is open goes on.

        Outlives all workers. Raises ValueError for a message that is empty, longer than
        CLOSED_MESSAGE_CHARS, or not storable.
        """

    @abstractmethod
    async def reopen(self) -> None: ...

    @abstractmethod
    async def closed(self) -> str | None:
        """The operator's message while the queue is closed."""

    @abstractmethod
    async def heartbeat(self, beat: WorkerBeat) -> Orders:
        """A worker lives. Answers what an operator wants of it."""

    @abstractmethod
    async def order(
        self, worker_id: str, *, capacity: int | None = None, drain: bool | None = None
    ) -> bool:
        """Tell a worker how many it may run, or to drain or to serve again; None leaves either
        as it is. False if there is no such worker. Raises ValueError for a capacity below 0.

        The list obeys at once, whatever the worker does: a worker's capacity is never more than
        the order, and one that is to drain claims nothing and counts for no bound. More than its
        heartbeat says it gets when its heartbeat says so. What runs goes on. Orders are
        forgotten with the worker.
        """

    @abstractmethod
    async def retire(self, worker_id: str) -> None:
        """Remove a worker that ends; leases it still holds are returned at once."""

    @abstractmethod
    async def pause(self, worker_id: str | None = None) -> bool:
        """Let a worker claim nothing, or (None) none at all, those yet to come included.

        What runs goes on, and capacities count as before. Two switches that know nothing of each
        other: a worker claims when neither its own nor the one for all is set. Its own is
        forgotten with the worker. False if there is no such worker.
        """

    @abstractmethod
    async def unpause(self, worker_id: str | None = None) -> bool:
        """Take back what `pause` did with the same argument."""

    @abstractmethod
    async def elect(self, name: str, holder: str, seconds: float) -> bool:
        """May `holder` do the duty `name`, alone, for so many seconds from now? Who asks again
        in time keeps it."""

    @abstractmethod
    async def snapshot(self) -> Snapshot: ...

    async def workers(self) -> list[WorkerRow]:
        """The live workers alone."""
        return (await self.snapshot()).workers

    @abstractmethod
    async def counters(self) -> Counters: ...

    @abstractmethod
    async def sample(self, text: str) -> None:
        """Keep one sample; the oldest beyond SAMPLES_KEPT goes."""

    @abstractmethod
    async def samples(self, last: int = SAMPLES_KEPT) -> list[str]:
        """The last samples, the newest last."""

    @abstractmethod
    async def load(self) -> Load:
        """What runs, what waits, who claims and how long answers were, for a forecast."""

    @abstractmethod
    async def sweep(self, viewer_grace: float, queue_timeout: float | None = None) -> Sweep:
        """Return expired leases, drop dead workers, name what nobody watches any more and what
        was never claimed within `queue_timeout` seconds (None: may wait for ever)."""
