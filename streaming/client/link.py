"""One connection to the server, from its greeting to its close."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from streaming.client.errors import ChatError
from streaming.client.frames import error_of, frame_of, other_version, parse_server_event
from streaming.protocol.base import PROTOCOL_VERSION
from streaming.protocol.client_events import SessionPing, SessionResume
from streaming.protocol.events import ServerEvent
from streaming.protocol.response_events import LaterEvent
from streaming.protocol.server_events import ErrorEvent, SessionCreated
from streaming.system.token_bucket import TokenBucket

MAX_FRAME_BYTES = 2**26
"""Maximum size of a received frame: an answer's last event has all of it and may exceed 1 MiB."""

EVENTS_PER_SECOND = 16.0
"""Maximum rate of sending, somewhat below servers' default; four seconds' worth may go at once."""

LARGE_EVENT = 65_536
"""Characters for which an event counts as one more event, as on the server."""

QUIET_SECONDS = 10.0
"""Seconds without any event before a ping is sent, and before each further one."""

MISSED = 2
"""Unanswered pings after which the connection is given up."""

CLOSE_TOO_LARGE = 1009
CLOSE_LOGIN_REQUIRED = 4401
CLOSE_FORBIDDEN = 4403
_CODES = {
    CLOSE_LOGIN_REQUIRED: "login_required",
    CLOSE_FORBIDDEN: "forbidden",
    4429: "rate_limited",
    4503: "unavailable",
}
_FINAL = ("login_required", "forbidden", "unsupported_version")


class Link:
    """A connection that the server has greeted.

    A task of its own sends events in order, at a rate that servers allow, so that whoever reads
    never waits for a server that does not.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._unsent: asyncio.Queue[str] = asyncio.Queue()
        self._sender: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        self._last_error: ErrorEvent | None = None
        self.session: SessionCreated

    @classmethod
    async def open(cls, url: str, token: str | None, seconds: float, **options: Any) -> Link:
        """Connect within `seconds`, as the visitor of `token` if there is one. Raises ChatError."""
        try:
            async with asyncio.timeout(seconds):
                patience = {"open_timeout": None, "close_timeout": 2}
                socket = await connect(_versioned(url), **{**patience, **options})
                link = cls(socket)
                try:
                    await link._greet(token)
                except BaseException:
                    socket.transport.abort()
                    raise
        except ChatError:
            raise
        except TimeoutError:
            raise ChatError(
                "unreachable", f"{url} does not answer within {seconds:g} s.", passing=True
            ) from None
        except InvalidURI as error:
            raise ChatError("unreachable", f"{error}.") from None
        except InvalidStatus as error:
            raise _refused(url, error.response.status_code) from None
        except ssl.SSLCertVerificationError as error:
            raise ChatError(
                "unreachable", f"{url} shows no valid certificate: {error.verify_message}."
            ) from None
        except (OSError, EOFError, InvalidHandshake) as error:
            raise ChatError(
                "unreachable", f"{url} cannot be reached: {error}", passing=True
            ) from None
        return link

    async def _greet(self, token: str | None) -> None:
        self.session = await self._greeting()
        if token and self.session.session_token:
            resume = SessionResume(
                type="chatstream:session", session_token=token, event_id="session"
            )
            await self._socket.send(resume.model_dump_json())
            # With an invalid token we stay the new visitor of the first greeting.
            self.session = await self._greeting(or_refused=True)
        self._sender = asyncio.create_task(self._send())
        self._watcher = asyncio.create_task(self._watch())

    async def _greeting(self, *, or_refused: bool = False) -> SessionCreated:
        while (event := await self.next()) is not None:
            if isinstance(event, ErrorEvent):
                if or_refused and event.code == "forbidden":
                    return self.session
                raise error_of(event, passing=event.code not in _FINAL)
            if isinstance(event, SessionCreated):
                if event.protocol_version != PROTOCOL_VERSION:
                    raise other_version(event.protocol_version)
                return event
        raise self.loss()

    async def next(self) -> ServerEvent | LaterEvent | None:
        """Wait for the next event that is known or numbered and return it; None after the end."""
        while True:
            try:
                event = parse_server_event(await self._socket.recv())
            except ConnectionClosed:
                return None
            self._heard.set()
            if isinstance(event, ErrorEvent):
                self._last_error = event
            if event is not None:
                return event

    async def _watch(self) -> None:
        """Abort the connection when nothing is received for too long.

        WebSocket's own pings do not suffice: a proxy that forwards nothing may answer them.
        """
        missed = 0
        while missed <= MISSED:
            self._heard.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET_SECONDS):
                    await self._heard.wait()
                missed = 0
                continue
            missed += 1
            if missed <= MISSED:
                self.say(SessionPing(type="chatstream:ping"))
        self._socket.transport.abort()

    def say(self, event: BaseModel) -> None:
        """Queue an event for sending and return at once; what is queued at the close is dropped."""
        self._unsent.put_nowait(frame_of(event))

    async def _send(self) -> None:
        pace = TokenBucket(EVENTS_PER_SECOND, burst=4 * EVENTS_PER_SECOND)
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await self._unsent.get()
                while not pace.take(1 + len(frame) / LARGE_EVENT):  # noqa: ASYNC110
                    await asyncio.sleep(1 / EVENTS_PER_SECOND)
                await self._socket.send(frame)

    @property
    def close_code(self) -> int | None:
        """The code with which the connection was closed; None while it is open."""
        return self._socket.close_code

    def loss(self) -> ChatError:
        """Return the error that says why the connection has ended."""
        code = _CODES.get(self.close_code or 0)
        if code is None:
            return ChatError("unreachable", "The server closed the connection.", passing=True)
        said = self._last_error
        if said and said.code == "unsupported_version":
            return ChatError(said.code, said.message)
        message = said.message if said and said.code == code else "The server ended the session."
        return ChatError(code, message, passing=code not in _FINAL)

    async def close(self) -> None:
        """Stop both tasks, drop what is unsent, and close the WebSocket with a handshake."""
        self._end_tasks()
        await self._socket.close()

    def cut(self) -> None:
        """Abort the connection without a closing handshake, as a broken network does."""
        self._end_tasks()
        self._socket.transport.abort()

    def _end_tasks(self) -> None:
        for task in (self._sender, self._watcher):
            if task:
                task.cancel()


def _versioned(url: str) -> str:
    """Return an address that says which version of the protocol is spoken. Raises ChatError."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ChatError("unreachable", f"{url} is no address: {error}.") from None
    if "version" in parse_qs(parts.query):
        return url
    query = "&".join(filter(None, (parts.query, f"version={PROTOCOL_VERSION}")))
    return urlunsplit(parts._replace(query=query))


def _refused(url: str, status: int) -> ChatError:
    reason = {
        403: "the connection is not allowed (its Origin, or a cookie without one)",
        404: "nothing is there; a chat's address ends in /ws/chat/",
    }.get(status, "the server does not open a WebSocket")
    return ChatError("unreachable", f"{url}: HTTP {status}, {reason}.", passing=status >= 500)
