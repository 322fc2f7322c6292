"""The states of a chat socket, and which may follow which."""

from __future__ import annotations

from enum import Enum


class SocketState(Enum):
    """What a socket may do at present."""

    CONNECTING = "accepted; its client is not greeted yet: events are sent, none is taken"
    OPEN = "greeted: events are sent and taken"
    CLOSING = "the server has sent a close frame: nothing more is sent or taken"
    GONE = "the client has left, or the server has ended the consumer"


TRANSITIONS: dict[SocketState, frozenset[SocketState]] = {
    SocketState.CONNECTING: frozenset({SocketState.OPEN, SocketState.CLOSING, SocketState.GONE}),
    SocketState.OPEN: frozenset({SocketState.CLOSING, SocketState.GONE}),
    SocketState.CLOSING: frozenset({SocketState.GONE}),
    SocketState.GONE: frozenset(),
}
"""States that may follow each."""


class InvalidSocketTransition(RuntimeError):
    """A socket was to enter a state that cannot follow its present one: a bug of the consumer."""

    def __init__(self, before: SocketState, after: SocketState) -> None:
        super().__init__(f"A socket is {before.name} and cannot become {after.name}.")


def followed_by(before: SocketState, after: SocketState) -> SocketState:
    """Return `after`. Raises InvalidSocketTransition if it cannot follow `before`."""
    if after not in TRANSITIONS[before]:
        raise InvalidSocketTransition(before, after)
    return after
