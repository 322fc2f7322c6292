"""The WebSocket consumer for operators: the live queue and its last hour."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user_model

from streaming.identity.owners import is_current
from streaming.live_queue.board import Board
from streaming.live_queue.watch import POLL_SECONDS, QueueWatch
from streaming.protocol.errors import ProtocolError
from streaming.protocol.parsing import parse_ping
from streaming.protocol.server_events import ErrorEvent, SessionPong
from streaming.record.database import in_database
from streaming.sockets import close_codes
from streaming.sockets.guard import Credentials, Guard
from streaming.system.outages import log_fault
from streaming.system.token_bucket import TokenBucket

logger = logging.getLogger(__name__)


class QueueConsumer(AsyncWebsocketConsumer):
    """Serves `/ws/queue/` to staff who may watch the queue. Of what a client sends only
    `chatstream:ping` is answered.

    `queue.snapshot`: all of the queue at first and every 10 s; between, at most twice a second,
    the parts that have changed. Ages, waits and ETAs, which the client counts on, are no change.
    `queue.samples`: the last hour, then each new sample. `streaming.live_queue.watch` polls for
    all sockets together.

    With `?words=<language>`, as the page asks, there are words in the place of values:
    `queue.page`, as of `streaming.live_queue.board`, and a `queue.sampled` for each new sample,
    whose charts the page then fetches.

    A slow reader gets fewer frames, but none that is out of date: a frame is made when the one
    before it was taken.
    """

    interval = POLL_SECONDS
    recheck_seconds = 5.0
    """How long a watcher whose permission was withdrawn may still be sent frames, in seconds."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.watch: QueueWatch | None = None
        self.must_recheck = asyncio.Event()
        self.pings = TokenBucket(1)
        self.language = language_of(scope)
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Not in `disconnect`: a server that ends cancels us without calling it.
            for task in self.tasks:
                task.cancel()
            Guard.here().leave(self)
            if self.watch:
                self.watch.leave(self)

    async def connect(self) -> None:
        """Accept the socket and start sending, or say why not and close it."""
        await self.accept()
        if error := await self.objection():
            await self.refuse(error)
            return
        self.watch = QueueWatch.here(self.channel_layer)
        self.watch.enter(self, self.language)
        signed_in = {"session": self.scope.get("session")}  # an API key opens nothing here
        Guard.here().enter(self, Credentials.of(signed_in, self.scope["user"]))
        self.tasks = [
            asyncio.create_task(work) for work in (self.send_frames(self.watch), self.guard())
        ]

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Answer pings within their rate limit; ignore all else that a client sends."""
        # Operators act by POST, so other frames are dropped here: Channels' own dispatch would
        # visit the database's thread for each.
        if message["type"] != "websocket.receive":
            await super().dispatch(message)
        elif (ping := parse_ping(message.get("text") or "")) and self.pings.take():
            pong = SessionPong(event_id=ping.event_id).model_dump_json()
            await self.base_send({"type": "websocket.send", "text": pong})

    async def send_frames(self, watch: QueueWatch) -> None:
        """Send frames until the client leaves or something fails; close the socket then."""
        try:
            await self.send_loop(watch)
        except OSError:
            pass  # the client has left, and the server has not said so yet
        except Exception:
            logger.exception("The queue could not be sent to a watcher.")
            await self.close(close_codes.UNAVAILABLE)

    async def send_loop(self, watch: QueueWatch) -> None:
        """Send a frame whenever something has changed; never returns."""
        if self.language:
            await self.send_pages(watch)
        sent: Mapping[str, int] = {}
        seen: tuple[int, int] | None = None
        while True:
            polled, snapshot = watch.polled, watch.snapshot
            frame = snapshot.frame(sent) if snapshot else None
            if snapshot and frame:
                await self.send_with_backpressure(frame)
                sent = snapshot.versions
            if sent:
                samples, seen = watch.history.frame(seen)
                if samples:
                    await self.send_with_backpressure(samples)
            if frame:
                await asyncio.sleep(self.interval)
            else:
                await polled.wait()

    async def send_pages(self, watch: QueueWatch) -> None:
        """Send the page in words, then what changes of it; never returns."""
        sent: Board | None = None
        seen = watch.history.mark
        while True:
            polled, board = watch.polled, watch.pages.board(self.language)
            frame = board.frame(sent) if board else None
            if board and frame:
                await self.send_with_backpressure(frame)
                sent = board
            if sent and watch.history.mark != seen:
                seen = watch.history.mark
                await self.send_with_backpressure('{"type":"queue.sampled"}')
            if frame:
                await asyncio.sleep(self.interval)
            else:
                await polled.wait()

    async def send_with_backpressure(self, text: str) -> None:
        """Send a frame and return when the reader has room for more. The server cuts off one that
        reads nothing at all."""
        await self.base_send({"type": "websocket.send", "text": text, "backpressure": True})

    async def guard(self) -> None:
        """Close the socket when the watcher is signed out or may not watch any more."""
        error = None
        while not error:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.must_recheck.wait(), self.recheck_seconds)
            self.must_recheck.clear()
            error = await self.objection()
        self.tasks[0].cancel()
        await self.refuse(error)

    async def recheck(self) -> None:
        """Have the watcher's rights checked again soon."""
        self.must_recheck.set()

    async def objection(self) -> ProtocolError | None:
        """Return why this client may not watch now, None if it may."""
        try:
            if await self.may_view() and await is_current(self.scope, self.scope["user"], None):
                return None
            return ProtocolError("forbidden", "You may not watch the queue.")
        except Exception as error:
            log_fault(logger, error, "A watcher's rights could not be read.")
            return ProtocolError("unavailable", "The service cannot be reached right now.")

    async def refuse(self, error: ProtocolError) -> None:
        """Send the error and close with the code that belongs to it."""
        event = ErrorEvent(code=error.code, message=error.message)
        await self.send(event.model_dump_json(exclude_none=True))
        await self.close(
            close_codes.FORBIDDEN if error.code == "forbidden" else close_codes.UNAVAILABLE
        )

    @in_database
    def may_view(self) -> bool:
        """Return whether the account may view the queue, read anew from the database."""
        user = self.scope["user"]
        if not user.is_authenticated:
            return False
        # Afresh from the database, since rights may have been taken away meanwhile.
        current = get_user_model()._default_manager.filter(pk=user.pk).first()
        return bool(
            current
            and current.is_active
            and current.is_staff
            and current.has_perm("streaming.view_queue")
        )


def language_of(scope: Mapping[str, Any]) -> str:
    """Return the language of the page that asks, empty for whoever wants values."""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    asked = str(query.get("words", [""])[-1])
    if not asked or asked in dict(settings.LANGUAGES):
        return asked
    return str(settings.LANGUAGE_CODE)
