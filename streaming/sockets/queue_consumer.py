"""The WebSocket consumer for operators: the live queue and its last hour."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth import get_user_model

from streaming.identity.owners import is_current
from streaming.live_queue.watch import LOOK_SECONDS, QueueWatch
from streaming.protocol.errors import ProtocolError
from streaming.protocol.parsing import parse_ping
from streaming.protocol.server_events import ErrorEvent, SessionPong
from streaming.record.database import in_database
from streaming.sockets.consumers import CLOSE_FORBIDDEN, CLOSE_UNAVAILABLE
from streaming.sockets.guard import Credentials, Guard
from streaming.system.outages import log_fault
from streaming.system.token_bucket import TokenBucket

logger = logging.getLogger(__name__)


class QueueConsumer(AsyncWebsocketConsumer):
    """Serves `/ws/queue/` to staff who may watch the queue. Of what a client sends only
    `session.ping` is answered.

    `queue.snapshot`: all of the queue at first and every 10 s; between, at most twice a second,
    the parts that have changed. What is counted on by the client (ages, waits, ETAs) is no
    change. `queue.samples`: the last hour, then each new sample. `streaming.live_queue.watch` looks
    for all sockets together.

    A reader who is slow is told less often, never something old: a frame is made when the one
    before it is through.
    """

    interval = LOOK_SECONDS
    recheck_seconds = 5.0
    """How long a right that was taken away may still be used."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.watch: QueueWatch | None = None
        self.doubt = asyncio.Event()
        self.pings = TokenBucket(1)
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
        self.watch.enter(self)
        signed_in = {"session": self.scope.get("session")}  # an API key opens nothing here
        Guard.here().enter(self, Credentials.of(signed_in, self.scope["user"]))
        self.tasks = [asyncio.create_task(work) for work in (self.tell(self.watch), self.guard())]

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Answer pings within their rate limit; ignore all else that a client sends."""
        # Nothing else is asked of this socket: operators act by POST. What comes all the same is
        # not worth Channels' visit to the database's thread.
        if message["type"] != "websocket.receive":
            await super().dispatch(message)
        elif (ping := parse_ping(message.get("text") or "")) and self.pings.take():
            pong = SessionPong(event_id=ping.event_id).model_dump_json()
            await self.base_send({"type": "websocket.send", "text": pong})

    async def tell(self, watch: QueueWatch) -> None:
        """Send what is news, until the end."""
        try:
            await self.tell_on(watch)
        except OSError:
            pass  # the client has left, and the server has not said so yet
        except Exception:
            logger.exception("The queue could not be told to a watcher.")
            await self.close(CLOSE_UNAVAILABLE)

    async def tell_on(self, watch: QueueWatch) -> None:
        """Send a frame whenever there is news; never returns."""
        told: Mapping[str, int] = {}
        seen: tuple[int, int] | None = None
        while True:
            news, moment = watch.news, watch.moment
            snapshot = moment.frame(told) if moment else None
            if moment and snapshot:
                await self.send_with_backpressure(snapshot)
                told = moment.versions
            if told:
                samples, seen = watch.history.frame(seen)
                if samples:
                    await self.send_with_backpressure(samples)
            if snapshot:
                await asyncio.sleep(self.interval)
            else:
                await news.wait()

    async def send_with_backpressure(self, text: str) -> None:
        """Return when the reader has room for more; who reads nothing at all is cut off."""
        await self.base_send({"type": "websocket.send", "text": text, "backpressure": True})

    async def guard(self) -> None:
        """See that whoever watches still may, and is still signed in."""
        error = None
        while not error:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.doubt.wait(), self.recheck_seconds)
            self.doubt.clear()
            error = await self.objection()
        self.tasks[0].cancel()
        await self.refuse(error)

    async def suspect(self) -> None:
        """Have the watcher's rights checked again soon."""
        self.doubt.set()

    async def objection(self) -> ProtocolError | None:
        """Why this one may not watch now."""
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
        await self.close(CLOSE_FORBIDDEN if error.code == "forbidden" else CLOSE_UNAVAILABLE)

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
