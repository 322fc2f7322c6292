"""Who is connected to a web process: how many in all and from where, and how long one may take.

It knows neither HTTP nor WebSockets; what a connection is, is the server's affair.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from streaming.identity import owners

logger = logging.getLogger(__name__)

MOST = 10_000
"""So many at once, unless the settings say otherwise; an idle WebSocket takes some 60 KiB."""

_SPARE_FILES = 128
"""What the database, the model and request bodies may have open beside the connections; a quarter
of all where there are few."""

_BODY_BYTES_PER_SECOND = 8192
"""A body that comes more slowly than this is not waited for."""

_YOUNG_SECONDS = 1.0
"""So long nobody who has just come has to give way to others."""

_BEYOND_SECONDS = 5.0
"""How long one beyond the bounds may take to ask, and to be told that it is."""

_CLOSING_SECONDS = 2.0
"""How long the other end may take to read the last word before the connection is cut."""

_COMPLAINT_SECONDS = 60.0


class Phase(Enum):
    """What is waited for. A request that is being answered, and a WebSocket, has no deadline."""

    HEAD = "the head of a request"
    BODY = "the body of a request"
    SERVED = "nothing"
    IDLE = "a further request"
    CLOSING = "the end"


class Refusal(Enum):
    FULL = "The server has as many connections as it can have. Try again in a moment."
    ADDRESS = "Too many connections from your address are open. Close one first."


@dataclass(eq=False, slots=True)
class Connection:
    """`end` closes it because it takes too long, `cut` at once. `by_proxy`: it is that of a trusted
    proxy, or has no address (a Unix socket). `refusal`: why it may not be served, if so."""

    end: Callable[[Phase], None]
    cut: Callable[[], None]
    by_proxy: bool
    key: str = ""
    phase: Phase = Phase.HEAD
    since: float = 0.0
    received: int = 0
    refusal: Refusal | None = None
    gone: bool = False


class Connections:
    """All of one process. `most` of them and `per_address` from one client address (0: no bound)
    are served; a few beyond are told so.

    A trusted proxy has the connections of many people: they are counted by the address that it
    names (`name`), while each is served. Seconds: `head` for a request's head, as long again and a
    second for each 8 KiB for its body; `idle` for a connection that asks nothing.
    """

    def __init__(
        self,
        most: int,
        per_address: int,
        *,
        head: float,
        idle: float,
        trusted: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self.beyond = max(16, min(256, most // 10))
        self._per_address = per_address
        self._patience = {Phase.HEAD: head, Phase.IDLE: idle, Phase.CLOSING: _CLOSING_SECONDS}
        self._trusted = trusted
        self._clock = clock
        self._inside = 0
        self._by_address: Counter[str] = Counter()
        self._phases: dict[Phase, dict[Connection, None]] = {
            phase: {} for phase in Phase if phase is not Phase.SERVED
        }
        self._refused: dict[Connection, None] = {}
        self.complaint = Complaint(clock)
        self.left = 0
        """So many have ended since somebody set this to 0."""

    def __len__(self) -> int:
        return self._inside + len(self._refused)

    def enter(self, peer: str, end: Callable[[Phase], None], cut: Callable[[], None]) -> Connection:
        """A connection that has just been made. One that has to be refused is kept for as long as
        it takes to tell it."""
        by_proxy = not peer or owners.is_within(peer, self._trusted)
        connection = Connection(end, cut, by_proxy, since=self._clock())
        key = "" if by_proxy else owners.client_address({"client": [peer]}, ())
        if not (refusal := self._objection(key)) and self._inside >= self.most:
            refusal = None if self._make_room() else Refusal.FULL
        if refusal:
            self._refuse(connection, refusal)
        else:
            self._inside += 1
            self._count(connection, key)
            self._phases[Phase.HEAD][connection] = None
        return connection

    def name(self, connection: Connection, address: str) -> Refusal | None:
        """A trusted proxy's connection serves the client at `address` from now on, until `unname`;
        or why it may not."""
        if not connection.by_proxy:
            return None
        self.unname(connection)
        if refusal := self._objection(address):
            return refusal
        self._count(connection, address)
        return None

    def unname(self, connection: Connection) -> None:
        if connection.by_proxy:
            self._discount(connection)

    def turn(self, connection: Connection, phase: Phase) -> None:
        """Something else is waited for now. One that is refused has its own deadline."""
        self._phases.get(connection.phase, {}).pop(connection, None)
        connection.phase = phase
        connection.received = 0
        if not connection.gone and connection not in self._refused and phase in self._phases:
            connection.since = self._clock()
            self._phases[phase][connection] = None

    def leave(self, connection: Connection) -> None:
        if connection.gone:
            return
        connection.gone = True
        self.left += 1
        if connection in self._refused:
            del self._refused[connection]
            return
        self._inside -= 1
        self._discount(connection)
        self._phases.get(connection.phase, {}).pop(connection, None)

    def look(self) -> None:
        """End what took too long; call it about once a second."""
        now = self._clock()
        for phase, patience in self._patience.items():
            for connection in _older(self._phases[phase], now - patience):
                self._end(connection)
        for connection in list(self._phases[Phase.BODY]):
            earned = connection.received / _BODY_BYTES_PER_SECOND
            if now - connection.since > self._patience[Phase.HEAD] + earned:
                self._end(connection)
        for connection in _older(self._refused, now - _BEYOND_SECONDS):
            self._cut(connection)

    def _end(self, connection: Connection) -> None:
        phase = connection.phase
        if phase is Phase.CLOSING:
            self._cut(connection)
        else:
            self.turn(connection, Phase.CLOSING)
            connection.end(phase)

    def _cut(self, connection: Connection) -> None:
        self.leave(connection)
        connection.cut()

    def _objection(self, key: str) -> Refusal | None:
        if key and 0 < self._per_address <= self._by_address[key]:
            self.complaint.utter(
                "%d connections from %s are open (CHATSTREAM_MAX_CONNECTIONS_PER_ADDRESS): further "
                "ones are refused.%s If that is a proxy, name it in CHATSTREAM_TRUSTED_PROXIES.",
                (self._per_address, key),
            )
            return Refusal.ADDRESS
        return None

    def _make_room(self) -> bool:
        """Whether somebody who asks nothing, or has not asked yet, could be sent away."""
        young = self._clock() - _YOUNG_SECONDS
        for phase in (Phase.IDLE, Phase.HEAD):
            for connection in self._phases[phase]:
                if connection.since <= young:
                    self._cut(connection)
                    return True
                break
        return False

    def _refuse(self, connection: Connection, refusal: Refusal) -> None:
        connection.refusal = refusal
        if len(self._refused) >= self.beyond:
            self._cut(next(iter(self._refused)))
        self._refused[connection] = None
        if refusal is Refusal.FULL:
            self.complaint.utter(
                "%d connections are open (CHATSTREAM_MAX_CONNECTIONS, and the limit of open "
                "files): further ones are refused with 503.%s",
                (self.most,),
            )

    def _count(self, connection: Connection, key: str) -> None:
        connection.key = key
        if key:
            self._by_address[key] += 1

    def _discount(self, connection: Connection) -> None:
        if connection.key:
            self._by_address[connection.key] -= 1
            if self._by_address[connection.key] <= 0:
                del self._by_address[connection.key]
            connection.key = ""


def _older(connections: dict[Connection, None], moment: float) -> list[Connection]:
    """Those at the front, where the oldest stand, since before `moment`."""
    found = []
    for connection in connections:
        if connection.since > moment:
            break
        found.append(connection)
    return found


def most_connections(wanted: int, file_limit: int) -> int:
    """How many a process may have: `wanted`, or MOST if that is 0, as far as its files allow."""
    possible = max(16, file_limit - max(_SPARE_FILES, file_limit // 4))
    if wanted > possible:
        logger.warning(
            "CHATSTREAM_MAX_CONNECTIONS=%d needs more open files than the limit of %d allows: %d "
            "connections will be taken. Raise the hard limit (LimitNOFILE, ulimit -Hn).",
            wanted,
            file_limit,
            possible,
        )
    return min(wanted or MOST, possible)


class Complaint:
    """Says each warning once a minute at most, with how often it was due meanwhile."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}

    def utter(self, message: str, args: tuple[object, ...] = ()) -> None:
        """`message` has a further `%s` for the number that was left unsaid."""
        now = self._clock()
        at, unsaid = self._said.get(message, (now - _COMPLAINT_SECONDS, 0))
        if now - at < _COMPLAINT_SECONDS:
            self._said[message] = (at, unsaid + 1)
            return
        self._said[message] = (now, 0)
        logger.warning(message, *args, f" ({unsaid:,} more since it was last said.)" * (unsaid > 0))
