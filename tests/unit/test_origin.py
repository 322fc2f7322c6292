"""Who may open a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from streaming.origin import OriginValidator


async def _accept(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ([], True),  # a program
        ([(b"cookie", b"sessionid=1")], False),  # a browser would have said where it comes from
        ([(b"origin", b"http://testserver")], True),
        ([(b"origin", b"http://testserver"), (b"cookie", b"a=1")], True),
        ([(b"origin", b"http://evil.example")], False),
        ([(b"origin", b"http://evil.example"), (b"cookie", b"a=1")], False),
        ([(b"origin", b"null")], False),
    ],
)
async def test_handshakes(headers: list[tuple[bytes, bytes]], passes: bool) -> None:
    socket = WebsocketCommunicator(OriginValidator(_accept), "/ws/chat/", headers=headers)
    accepted, _ = await socket.connect()
    assert accepted is passes
