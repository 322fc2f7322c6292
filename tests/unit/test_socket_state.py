"""The states of a chat socket, and what its writer sends in each."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from streaming.protocol.errors import ProtocolError
from streaming.protocol.server_events import SessionPong
from streaming.sockets.socket_state import (
    TRANSITIONS,
    InvalidSocketTransition,
    SocketState,
    followed_by,
)
from streaming.sockets.socket_writer import SocketWriter


class Socket:
    """A server's side of a socket: what was sent to it."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.writer = SocketWriter(self._send)

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message["type"])

    async def send_everything(self) -> None:
        """Send in each of the writer's ways."""
        await self.writer.send("{}")
        await self.writer.send_with_backpressure("{}")
        await self.writer.send_event(SessionPong())
        await self.writer.send_error(ProtocolError("internal_error", "Oh."))
        await self.writer.send_update("Back at nine.", None)


@pytest.mark.parametrize(("before", "after"), list(product(SocketState, SocketState)))
def test_a_state_is_followed_only_by_those_of_the_table(
    before: SocketState, after: SocketState
) -> None:
    if after in TRANSITIONS[before]:
        assert followed_by(before, after) is after
    else:
        with pytest.raises(InvalidSocketTransition, match=f"{before.name} .* {after.name}"):
            followed_by(before, after)


def test_every_state_can_become_gone_and_gone_is_the_end() -> None:
    for state in SocketState:
        assert (SocketState.GONE in TRANSITIONS[state]) == (state is not SocketState.GONE)
    assert not TRANSITIONS[SocketState.GONE]


@pytest.mark.parametrize("is_open", [False, True])
async def test_events_are_sent_before_the_greeting_and_after_it(is_open: bool) -> None:
    socket = Socket()
    if is_open:
        socket.writer.open()
    await socket.send_everything()
    assert socket.sent == ["websocket.send"] * 5


async def test_nothing_is_sent_after_the_close_frame() -> None:
    socket = Socket()
    await socket.writer.close(4401)
    await socket.send_everything()
    await socket.writer.close(4409)
    assert socket.sent == ["websocket.close"]
    with pytest.raises(InvalidSocketTransition):
        socket.writer.open()


async def test_nothing_is_sent_to_a_client_that_has_left() -> None:
    socket = Socket()
    socket.writer.open()
    socket.writer.leave()
    socket.writer.leave()  # the client, then the server that ends the consumer
    await socket.send_everything()
    await socket.writer.close(4409)
    assert socket.sent == []
    assert socket.writer.state is SocketState.GONE
