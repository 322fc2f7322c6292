"""The connections of a web process: how many in all and from where, and how long one may take.

It knows neither HTTP nor WebSockets.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence

from streaming.deployment.connection import Connection, ConnectionPhase, Refusal
from streaming.deployment.throttled_warnings import ThrottledWarnings
from streaming.identity import owners

logger = logging.getLogger(__name__)

MOST = 10_000
"""Maximum connections, unless the settings say otherwise; an idle WebSocket takes some 60 KiB."""

_SPARE_FILES = 128
"""Files that the database, the model and request bodies may have open beside the connections; a
quarter of all where there are few."""

_BODY_BYTES_PER_SECOND = 8192
"""A body that comes more slowly than this is not waited for."""

_YOUNG_SECONDS = 1.0
"""Age, in seconds, until which a connection does not have to give way to others."""

_BEYOND_SECONDS = 5.0
"""Most seconds that a connection beyond the bounds may take to ask, and to be told that it is."""

_CLOSING_SECONDS = 2.0
"""Most seconds that the other end may take to read the last word until the connection is cut."""


class Connections:
    """Counts and bounds all connections of one process. `most` of them, and `per_address` from one
    client address (0: no bound), are served; a few beyond are told why they are not.

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
        warnings: ThrottledWarnings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self.beyond = max(16, min(256, most // 10))
        self._per_address = per_address
        self._patience = {
            ConnectionPhase.HEAD: head,
            ConnectionPhase.IDLE: idle,
            ConnectionPhase.CLOSING: _CLOSING_SECONDS,
        }
        self._trusted = trusted
        self._clock = clock
        self._inside = 0
        self._by_address: Counter[str] = Counter()
        self._phases: dict[ConnectionPhase, dict[Connection, None]] = {
            phase: {} for phase in ConnectionPhase if phase is not ConnectionPhase.SERVED
        }
        self._refused: dict[Connection, None] = {}
        self._warnings = warnings or ThrottledWarnings(clock)
        self.left = 0
        """Connections that have ended since somebody set this to 0."""

    def __len__(self) -> int:
        return self._inside + len(self._refused)

    def enter(
        self, peer: str, end: Callable[[ConnectionPhase], None], cut: Callable[[], None]
    ) -> Connection:
        """Count a connection that has just been made, from the address `peer`. One that has to be
        refused is kept for as long as it takes to tell it."""
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
            self._phases[ConnectionPhase.HEAD][connection] = None
        return connection

    def name(self, connection: Connection, address: str) -> Refusal | None:
        """Count a trusted proxy's connection for the client at `address`, until `unname`. Return
        why that client may not be served, if so."""
        if not connection.by_proxy:
            return None
        self.unname(connection)
        if refusal := self._objection(address):
            return refusal
        self._count(connection, address)
        return None

    def unname(self, connection: Connection) -> None:
        """Count a trusted proxy's connection for nobody: its request has been answered."""
        if connection.by_proxy:
            self._discount(connection)

    def turn(self, connection: Connection, phase: ConnectionPhase) -> None:
        """Wait for something else from now on. One that is refused has its own deadline."""
        self._phases.get(connection.phase, {}).pop(connection, None)
        connection.phase = phase
        connection.received = 0
        if not connection.gone and connection not in self._refused and phase in self._phases:
            connection.since = self._clock()
            self._phases[phase][connection] = None

    def leave(self, connection: Connection) -> None:
        """Count a connection no more that has ended. Again does no harm."""
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
        for connection in list(self._phases[ConnectionPhase.BODY]):
            earned = connection.received / _BODY_BYTES_PER_SECOND
            if now - connection.since > self._patience[ConnectionPhase.HEAD] + earned:
                self._end(connection)
        for connection in _older(self._refused, now - _BEYOND_SECONDS):
            self._cut(connection)

    def _end(self, connection: Connection) -> None:
        phase = connection.phase
        if phase is ConnectionPhase.CLOSING:
            self._cut(connection)
        else:
            self.turn(connection, ConnectionPhase.CLOSING)
            connection.end(phase)

    def _cut(self, connection: Connection) -> None:
        self.leave(connection)
        connection.cut()

    def _objection(self, key: str) -> Refusal | None:
        if key and 0 < self._per_address <= self._by_address[key]:
            self._warnings.warn(
                "%d connections from %s are open (CHATSTREAM_MAX_CONNECTIONS_PER_ADDRESS): further "
                "ones are refused.%s If that is a proxy, name it in CHATSTREAM_TRUSTED_PROXIES.",
                (self._per_address, key),
            )
            return Refusal.ADDRESS
        return None

    def _make_room(self) -> bool:
        """Cut a connection that asks nothing, or has not asked yet. Return False without one."""
        young = self._clock() - _YOUNG_SECONDS
        for phase in (ConnectionPhase.IDLE, ConnectionPhase.HEAD):
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
            self._warnings.warn(
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
    """Return those that wait since `moment` or before; the oldest stand at the front."""
    found = []
    for connection in connections:
        if connection.since > moment:
            break
        found.append(connection)
    return found


def most_connections(wanted: int, file_limit: int) -> int:
    """Return how many connections a process may have: `wanted`, or MOST if that is 0, as far as
    its limit of open files allows."""
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
