"""The WebSocket consumer for people and programs; that for operators is in `queue_consumer`.

A consumer keeps nothing that matters: the record and the waiting list do. Client events are
handled one after another in a task of their own, so that a slow database never holds up the
tokens of another answer on the same socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any
from urllib.parse import parse_qs
from weakref import WeakValueDictionary

from channels.exceptions import StopConsumer
from django.contrib.auth.models import User
from pydantic import BaseModel

from streaming import conf
from streaming.delivery.listening import ListeningConsumer
from streaming.delivery.viewer import Viewer
from streaming.delivery.viewers import Viewers
from streaming.identity import keys, owners, visitors
from streaming.lifecycle import accepting, ending, params, recovery
from streaming.markup import RENDERER, HtmlSender, MarkupDresser
from streaming.models import Response
from streaming.monitoring import logs, metrics
from streaming.protocol.client_events import (
    ResponseCancel,
    ResponseCreate,
    ResponseResume,
    ResponseUpdate,
    SessionPing,
    SessionResume,
)
from streaming.protocol.errors import ProtocolError
from streaming.protocol.events import ClientEvent
from streaming.protocol.parsing import parse_client_event, parse_ping, peek_event_id
from streaming.protocol.server_events import (
    ErrorEvent,
    Limits,
    ResponseUpdated,
    SessionCreated,
    SessionPong,
    SessionUpdated,
)
from streaming.record import edits
from streaming.record.database import in_database
from streaming.record.histories import prefix_of
from streaming.record.tasks import Requester
from streaming.sockets.asked_tasks import check_prompt, task_of
from streaming.sockets.guard import Credentials, Guard
from streaming.sockets.notices import Notices
from streaming.sockets.reader import SocketReader
from streaming.sockets.refusals import REFUSALS, translated
from streaming.sockets.socket_count import SocketCount
from streaming.system.outages import AWAY, log_fault
from streaming.system.token_bucket import TokenBucket
from streaming.waiting_list.base import group_name
from streaming.waiting_list.serving import model_details

logger = logging.getLogger(__name__)

CLOSE_LOGIN_REQUIRED = 4401
CLOSE_FORBIDDEN = 4403
CLOSE_SESSION_CHANGED = 4409
CLOSE_TOO_MANY = 4429
CLOSE_UNAVAILABLE = 4503

_CLOSE_CODES = {"login_required": CLOSE_LOGIN_REQUIRED, "session_changed": CLOSE_SESSION_CHANGED}
"""The errors behind which no event of this socket can be served."""

_AWAY = "The service cannot be reached right now. Try again in a moment."
_FAULT = "Something went wrong here. Try again."

_INBOX_EVENTS = 100
"""Client events that may wait to be handled on one socket."""

_LARGE_EVENT = 65_536
"""An event of so many characters counts as two, one of twice as many as three."""

_REFUSED_EVENTS = 100
"""So many refused events, and the socket is closed; one is forgiven every second."""

sockets = SocketCount()


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do what must not be left half done, even if the client vanishes meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_log_fault)
        raise


def _log_fault(task: asyncio.Future[None]) -> None:
    """Nobody is there to be told of a refusal; anything else is ours."""
    error = None if task.cancelled() else task.exception()
    if error and not isinstance(error, REFUSALS):
        logger.error("A vanished client's event could not be handled.", exc_info=error)


class ChatConsumer(ListeningConsumer):
    """Serves `/ws/chat/`; the protocol is in `streaming.protocol.events`.

    With `?markup=html` the events of a response carry the HTML of its text, too.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        self.wants_html = query.get("markup") == ["html"]
        self.viewers: dict[str, Viewer] = {}
        self.html_senders: WeakValueDictionary[str, HtmlSender] = WeakValueDictionary()
        self.inbox: asyncio.Queue[str] = asyncio.Queue(_INBOX_EVENTS)
        self.inbox_task: asyncio.Task[None] | None = None
        self.counted: tuple[str, ...] = ()
        self.resumed: str | None = None  # the visitor of a token, instead of the one it came as
        self.events = TokenBucket(conf.get().max_events_per_second)
        self.refusals = TokenBucket(1, burst=_REFUSED_EVENTS)
        self.closing = False
        self.gone = False
        self.notice: str | None = None  # what its client was told of a closed queue
        metrics.WEBSOCKETS.inc()
        try:
            await super().__call__(scope, receive, send)
        finally:
            metrics.WEBSOCKETS.dec()
            # Not in `disconnect`: a server that ends cancels us without calling it.
            self.gone = True
            sockets.leave(self.counted)
            Guard.here().leave(self)
            Notices.here().leave(self)
            if self.inbox_task:
                self.inbox_task.cancel()
            for sender in list(self.html_senders.values()):
                sender.cancel()
            for viewer in self.viewers.values():
                Viewers.here(self.channel_layer).discard(viewer)
            for response_id in list(self.viewers):
                # Each for itself: the layer may be away, and forgets its side all the same.
                with contextlib.suppress(Exception):
                    await self.channel_layer.group_discard(
                        group_name(response_id), self.channel_name
                    )

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Past Channels' own dispatch, which visits the database thread each time, and twice when
        # somebody leaves: what comes often goes without, a flood on one socket holds up no other
        # one, and so does no crowd that comes or leaves.
        if message["type"] == "websocket.receive":
            await self.receive(message.get("text"), message.get("bytes"))
        elif message["type"] == "websocket.connect":
            await self.websocket_connect(message)
        elif message["type"] == "websocket.disconnect":
            await self.disconnect(message["code"])
            raise StopConsumer
        else:
            await super().dispatch(message)

    async def hear(self, message: dict[str, Any]) -> None:
        if self.closing:
            return
        if viewer := self.viewers.get(message["response_id"]):
            await viewer.feed(message)

    # --- the connection ---

    async def connect(self) -> None:
        with contextlib.suppress(*AWAY):  # the greeting says so
            await recovery.ensure(self.channel_layer)  # who waited comes before who comes now
        await self.accept()
        try:
            self.user = await self.identify()
            self.visitor = None if self.user else await owners.visitor_of_socket(self.scope)
        except ProtocolError as error:
            await self.send_error(error)
            await self.close(CLOSE_LOGIN_REQUIRED)
            return
        except Exception as error:
            await self.be_unavailable(error)
            return
        self.owner = (
            owners.owner_of_user(self.user)
            if self.user
            else owners.owner_of_visitor(self.visitor or visitors.new_id())
        )
        self.address = owners.client_address(self.scope, conf.get().trusted_proxies)
        counted = self.counted_as(self.owner)
        if not sockets.enter(counted, conf.get().max_sockets):
            message = "Too many connections from you are open; close one first."
            await self.send_error(ProtocolError("rate_limited", message))
            await self.close(CLOSE_TOO_MANY)
            return
        self.counted = counted
        try:
            await self.greet()
        except Exception as error:
            await self.be_unavailable(error)
            return
        Guard.here().enter(self, Credentials.of(self.scope, self.user, self.visitor))
        Notices.here().enter(self, self.channel_layer)
        self.inbox_task = asyncio.create_task(self.handle_inbox())

    def counted_as(self, owner: str) -> tuple[str, ...]:
        """The names under which this socket is counted; without an address, its owner's alone."""
        return (f"owner:{owner}", *([f"address:{self.address}"] if self.address else []))

    async def disconnect(self, code: int) -> None:
        self.gone = True  # the layer closes our channel next

    async def identify(self) -> User | None:
        """The account of the API key or the session; None for a visitor, who must be allowed."""
        secret = owners.key_in(self.scope["headers"])
        if secret is not None:
            of_key: User | None = await in_database(keys.user_of)(secret)
            if of_key is None:
                raise ProtocolError("login_required", "The API key is unknown or revoked.")
            return of_key
        user: User = self.scope["user"]
        if user.is_authenticated:
            return user
        if not conf.get().anonymous:
            message = (
                "Sign in to chat here; a program sends the API key of an account, "
                "`Authorization: Bearer cs-...`."
            )
            raise ProtocolError("login_required", message)
        return None

    async def check_identity(self) -> None:
        """Signed out, signed in as somebody, or the key revoked since? Then this socket is over.

        Raises ProtocolError; a client that comes back is who it is now.
        """
        if owners.key_in(self.scope["headers"]) is not None:
            same = await self.identify() == self.user
        else:
            same = await owners.is_current(self.scope, self.user, self.visitor)
            if self.resumed and same:
                same = not await in_database(visitors.is_merged)(self.resumed)
        if not same:
            raise ProtocolError("session_changed", "Your session has changed; connect again.")

    async def recheck(self) -> None:
        """The guard's doubt; a client who only reads would never be asked."""
        try:
            await self.check_identity()
        except ProtocolError as error:
            if not self.closing:
                await self.send_error(error)
                await self.close(_CLOSE_CODES[error.code])

    async def be_unavailable(self, error: Exception) -> None:
        log_fault(logger, error, "A client could not be greeted.")
        await self.send_error(ProtocolError("unavailable", _AWAY))
        await self.close(CLOSE_UNAVAILABLE)

    async def greet(self) -> None:
        settings = conf.get()
        details = await model_details(self.channel_layer)
        context = details.get("context_tokens")
        queue_status = Viewers.here(self.channel_layer).queue_status
        self.notice = await queue_status.closed()
        await self.send_event(
            SessionCreated(
                model=str(details["model"]) if details.get("model") else None,
                limits=Limits(
                    max_input_chars=settings.max_input_chars,
                    max_tokens=settings.max_tokens,
                    context_tokens=int(context) if context else None,
                ),
                sampling=details.get("sampling") or {},
                thinks=bool(details.get("thinks")),
                service=await queue_status.service(),
                session_token=None if self.user else owners.visitor_token(self.owner),
                notice=self.notice,
            )
        )

    async def send_notice(self, notice: str | None) -> None:
        """The queue was closed or opened since this socket was told."""
        self.notice = notice
        await self.send_event(SessionUpdated(notice=notice))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.closing:
            return  # sent before the client could know
        size = len(text_data or bytes_data or "")
        if not self.events.take(1 + size / _LARGE_EVENT) or self.inbox.full():
            error = ProtocolError("rate_limited", "Too many events at once; slow down.")
            event_id = peek_event_id(text_data) if text_data and size < _LARGE_EVENT else None
            await self.send_error(error, event_id=event_id)
            if not self.refusals.take():
                await self.close(CLOSE_TOO_MANY)
        elif text_data is None:
            error = ProtocolError("invalid_event", "Send text frames with JSON, not binary ones.")
            await self.send_error(error)
        elif ping := parse_ping(text_data):
            # Not behind others in the inbox, whose database may be slow: the line is well.
            await self.send_event(SessionPong(event_id=ping.event_id))
        else:
            self.inbox.put_nowait(text_data)

    async def close(self, code: Any = None, reason: str | None = None) -> None:
        if self.closing:
            return
        self.closing = True
        if self.inbox_task:
            self.inbox_task.cancel()
        await super().close(code, reason)

    async def handle_inbox(self) -> None:
        while True:
            text = await self.inbox.get()
            try:
                event = parse_client_event(text)
            except ProtocolError as error:
                await self.send_error(error, event_id=peek_event_id(text))
                continue
            try:
                await self.check_identity()
                with logs.about(getattr(event, "response_id", None)), translated():
                    await self.handle(event)
            except ProtocolError as error:
                await self.send_error(error, cause=event)
                if code := _CLOSE_CODES.get(error.code):
                    self.inbox_task = None  # this task, which has to send the close frame
                    await self.close(code)
                    return
            except Exception as error:
                message = "The client event %s could not be handled."
                log_fault(logger, error, message, event.type)
                words = _AWAY if isinstance(error, AWAY) else _FAULT
                await self.send_error(ProtocolError("internal_error", words), cause=event)

    async def handle(self, event: ClientEvent) -> None:
        match event:
            case ResponseCreate():
                await to_its_end(self.create(event))
            case ResponseUpdate():
                await to_its_end(self.update(event))
            case ResponseCancel():
                await to_its_end(
                    ending.cancel(self.channel_layer, str(event.response_id), self.owner)
                )
            case ResponseResume():
                await self.resume(event)
            case SessionResume():
                await self.resume_session(event)
            case SessionPing():  # in a frame of an odd length
                await self.send_event(SessionPong(event_id=event.event_id))

    # --- what clients ask for ---

    async def create(self, event: ResponseCreate) -> None:
        task = task_of(event)
        async with SocketReader(self, is_asked=True) as reader:
            await accepting.accept(
                self.channel_layer,
                task,
                params=params.resolve(event.params, await model_details(self.channel_layer)),
                requester=Requester(self.owner, self.user, self.address),
                reader=reader,
                response_id=event.response_id,
            )

    async def update(self, event: ResponseUpdate) -> None:
        check_prompt(event.input)
        await edits.edit_prompt(event.response_id, self.owner, event.input)
        await self.send_event(ResponseUpdated(response_id=event.response_id, input=event.input))

    async def resume(self, event: ResponseResume) -> None:
        async with SocketReader(self, after=event.starting_after) as reader:
            await accepting.resume(self.channel_layer, event.response_id, self.owner, reader)

    async def resume_session(self, event: SessionResume) -> None:
        if self.user is not None:
            raise ProtocolError("invalid_event", "A signed-in socket has its account already.")
        owner = owners.owner_of_token(event.session_token)
        visitor = owners.visitor_of(owner) if owner else None
        if owner is None or await in_database(visitors.is_merged)(visitor):
            raise ProtocolError(
                "forbidden", "The session token is not valid any more.", "session_token"
            )
        keys = self.counted_as(owner)
        sockets.leave(self.counted)
        if not sockets.enter(keys, conf.get().max_sockets):
            sockets.enter(self.counted, conf.get().max_sockets)
            message = "Too many connections of this visitor are open; close one first."
            raise ProtocolError("rate_limited", message)
        self.counted = keys
        self.owner, self.resumed = owner, visitor
        Guard.here().enter(self, Credentials.of(self.scope, None, visitor))
        await self.greet()

    # --- viewing ---

    async def view(self, response: Response) -> Viewer:
        """Subscribe to a response's events, before anything can be published."""
        response_id = str(response.pk)
        if viewer := self.viewers.get(response_id):
            return viewer
        sender = await self.html_sender(response) if self.wants_html else None
        viewer = Viewer(
            self.channel_layer,
            response_id,
            send=sender.send if sender else self.send,
            replay=sender.replay if sender else self.send_with_backpressure,
            on_done=lambda: self.forget(response_id),
        )
        self.viewers[response_id] = viewer
        if not self.gone:  # a Redis layer refuses a channel that is closed
            await self.channel_layer.group_add(group_name(response_id), self.channel_name)
        if self.gone:
            # An acceptance that outlived its socket: nobody watches.
            await self.channel_layer.group_discard(group_name(response_id), self.channel_name)
        else:
            Viewers.here(self.channel_layer).add(viewer)
        return viewer

    async def html_sender(self, response: Response) -> HtmlSender:
        """What a response's events go through on their way to this socket, from its beginning."""
        RENDERER.warm()
        dresser = MarkupDresser(prefix_of(response))
        response_id = str(response.pk)
        if former := self.html_senders.get(response_id):
            former.cancel()  # its end may still wait there
        sender = HtmlSender(dresser, self.send, self.send_with_backpressure)
        self.html_senders[response_id] = sender
        return sender

    def forget(self, response_id: str) -> None:
        """The response has ended: leave its group as soon as this event is through."""
        asyncio.get_running_loop().create_task(self.unview(response_id))

    async def unview(self, response_id: str) -> None:
        if viewer := self.viewers.pop(response_id, None):
            Viewers.here(self.channel_layer).discard(viewer)
            await self.channel_layer.group_discard(group_name(response_id), self.channel_name)

    # --- sending ---

    async def send(self, text_data: Any = None, bytes_data: Any = None, close: Any = False) -> None:
        # HTML that has come late, or a place in the queue: servers other than ours take what is
        # sent behind the close for a fault of ours.
        if not self.closing and not self.gone:
            await super().send(text_data, bytes_data, close)

    async def send_event(self, event: BaseModel) -> None:
        await self.send(event.model_dump_json())

    async def send_with_backpressure(self, text: str) -> None:
        """Send one of many, at the pace of the reader. Servers other than ours do not wait."""
        if not self.closing and not self.gone:
            await self.base_send({"type": "websocket.send", "text": text, "backpressure": True})

    async def send_error(
        self, error: ProtocolError, *, cause: ClientEvent | None = None, event_id: str | None = None
    ) -> None:
        if error.code == "queue_closed":
            self.notice = error.message  # and when it is open again, that is said, too
        await self.send_event(
            ErrorEvent(
                code=error.code,
                message=error.message,
                param=error.param,
                event_id=cause.event_id if cause else event_id,
                response_id=getattr(cause, "response_id", None),
            )
        )
