"""One connection of a web process: what it waits for, and whether it may be served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class ConnectionPhase(Enum):
    """What is waited for on a connection. A request that is being answered, and a WebSocket, has no
    deadline."""

    HEAD = "the head of a request"
    BODY = "the body of a request"
    SERVED = "nothing"
    IDLE = "a further request"
    CLOSING = "the end"


class Refusal(Enum):
    """Why a connection is not served, in the words that its client is told."""

    FULL = "The server has as many connections as it can have. Try again in a moment."
    ADDRESS = "Too many connections from your address are open. Close one first."


@dataclass(eq=False, slots=True)
class Connection:
    """One connection as `Connections` counts it.

    `end` is called with the phase that took too long and closes it; `cut` closes it at once.
    `by_proxy`: it is that of a trusted proxy, or has no address (a Unix socket). `key`: the client
    address that it counts for. `since` (seconds): begin of the phase; `received`: bytes of the body
    in it. `refusal`: why it may not be served, if so.
    """

    end: Callable[[ConnectionPhase], None]
    cut: Callable[[], None]
    by_proxy: bool
    key: str = ""
    phase: ConnectionPhase = ConnectionPhase.HEAD
    since: float = 0.0
    received: int = 0
    refusal: Refusal | None = None
    gone: bool = False
