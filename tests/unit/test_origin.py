"""Who may open a WebSocket."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from chatsite.asgi import application
from streaming.sockets.origin import OriginValidator

Headers = list[tuple[bytes, bytes]]


async def _accept(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


async def passes(
    origin: bytes | None, host: bytes | None = b"testserver", *more: tuple[bytes, bytes]
) -> bool:
    headers: Headers = [(b"host", host)] if host is not None else []
    headers += [(b"origin", origin)] if origin is not None else []
    return await opens([*headers, *more])


async def opens(headers: Headers, app: Any = None) -> bool:
    socket = WebsocketCommunicator(app or OriginValidator(_accept), "/ws/chat/", headers=headers)
    accepted, _ = await socket.connect()
    return accepted


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
async def test_handshakes(headers: Headers, passes: bool) -> None:
    assert await opens([(b"host", b"testserver"), *headers]) is passes


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (b"testserver", b"https://testserver"),  # another scheme
        (b"testserver", b"ws://testserver"),
        (b"testserver", b"http://testserver:8080"),  # another program of the same machine
        (b"testserver:8000", b"http://testserver:8001"),
        (b"testserver:8000", b"http://testserver"),
        (b"localhost:8000", b"http://127.0.0.1:8000"),  # allowed both, and not the same
        (b"127.0.0.1:8000", b"http://localhost:8000"),
        (b"[::1]:8000", b"http://[::1]:8001"),
        (b"[::1]:8000", b"http://localhost:8000"),
        (b"testserver", b"http://testserver/"),
        (b"testserver", b"http://testserver/path"),
        (b"testserver", b"http://a@testserver"),
        (b"testserver", b"http://testserver#"),
        (b"testserver", b"http://testserver:99999"),
        (b"testserver", b"http://[::1"),
        (b"testserver", b"http://"),
        (b"testserver", b"//testserver"),
        (b"testserver", b"testserver"),
        (b"testserver", b""),
        (b"testserver", b"null"),
        (b"testserver", b"\xff\xfe"),
        (b"evil.example", b"http://evil.example"),  # a name that was made to lead here
        (b"testserver, evil", b"http://testserver"),
        (None, b"http://testserver"),
    ],
)
async def test_another_address_is_another_site(host: bytes | None, origin: bytes) -> None:
    assert not await passes(origin, host)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (b"testserver:8000", b"http://testserver:8000"),
        (b"testserver:80", b"http://testserver"),  # the scheme's own port may be said or not
        (b"testserver", b"http://testserver:80"),
        (b"TestServer", b"http://testserver"),
        (b"[::1]:8000", b"http://[::1]:8000"),
        (b"[::1]", b"http://[::1]"),
        (b"127.0.0.1:8000", b"http://127.0.0.1:8000"),
    ],
)
async def test_the_sites_own_pages_pass(host: bytes, origin: bytes) -> None:
    assert await passes(origin, host)


async def test_noise_beside_it_is_no_fault() -> None:
    headers = [(b"host", b"testserver"), (b"origin", b"http://testserver"), (b"\xff", b"\xfe\x00")]
    app = OriginValidator(_accept)
    socket = WebsocketCommunicator(app, "/ws/\udcff/", headers=headers)
    socket.scope |= {"query_string": b"\xff%ff", "root_path": "/\udcfe", "path": "\udcff"}
    assert (await socket.connect())[0]


async def test_two_origins_are_none() -> None:
    again = (b"origin", b"http://testserver")
    assert not await passes(b"http://evil.example", b"testserver", again)
    assert not await passes(b"http://testserver", b"testserver", again)


async def test_behind_a_proxy_that_ends_tls(settings: Any) -> None:
    https = (b"x-forwarded-proto", b"https")
    origin = b"https://testserver"
    assert not await passes(origin, b"testserver", https)  # anybody can write this header
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert await passes(origin, b"testserver", https)
    assert await passes(origin, b"testserver:443", https)
    assert await passes(b"https://testserver:8443", b"testserver:8443", https)
    assert not await passes(b"http://testserver", b"testserver", https)
    assert not await passes(origin)


async def test_trusted_origins_are_those_of_forms(settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://chat.example", "https://*.example.org", "http://a:81"]
    for origin in (b"https://chat.example", b"https://chat.example:443", b"https://x.example.org",
                   b"http://a:81", b"HTTPS://CHAT.example"):  # fmt: skip
        assert await passes(origin), origin
    for origin in (b"http://chat.example", b"https://chat.example:444", b"https://a.chat.example",
                   b"https://evilexample.org", b"http://a", b"null"):  # fmt: skip
        assert not await passes(origin), origin


@pytest.mark.parametrize("path", ["/ws/chat/", "/ws/queue/", "/ws/none/"])
async def test_every_socket_stands_behind_it(path: str) -> None:
    headers = [(b"host", b"localhost:8000"), (b"origin", b"http://localhost:8001")]
    socket = WebsocketCommunicator(application, path, headers=headers)
    accepted, code = await socket.connect()
    assert (accepted, code) == (False, 1000)


async def test_a_refusal_is_in_the_log_with_its_remedy_but_no_flood(caplog: Any) -> None:
    app = OriginValidator(_accept)
    headers = [(b"host", b"testserver"), (b"origin", b"https://testserver\r\nforged " * 99)]
    with caplog.at_level(logging.WARNING, "streaming.sockets.origin"):
        for _ in range(50):
            assert not await opens(headers, app)
    assert 1 <= len(caplog.messages) <= 6
    assert "http://testserver:80" in caplog.messages[0]
    assert "CSRF_TRUSTED_ORIGINS" in caplog.messages[0]
    assert "\n" not in caplog.messages[0]
    assert len(caplog.messages[0]) < 500
