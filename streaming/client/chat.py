"""The client: its connection, kept up over breaks, and the answers that travel on it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from types import TracebackType
from typing import Any, Unpack
from uuid import UUID, uuid4

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from streaming.client.answer import Answer
from streaming.client.errors import ChatError, invalid_event
from streaming.client.link import CLOSE_TOO_LARGE, MAX_FRAME_BYTES, MAX_SENT_BYTES, Link, frame_of
from streaming.client.sampling import Sampling
from streaming.protocol.client_events import ResponseCreate
from streaming.protocol.events import ServerEvent
from streaming.protocol.server_events import (
    ErrorEvent,
    LaterEvent,
    SessionCreated,
    SessionPong,
    SessionUpdated,
)

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 10.0


class _Newest:
    """Not named, which is not the same as naming none."""


_NEWEST = _Newest()


def backoff(tries: int) -> float:
    """Seconds to wait after so many tries: twice as long each time, by chance up to half less."""
    return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(tries, 20)) * random.uniform(0.5, 1)


class ChatClient:
    """One visitor or account on one socket; any number of answers at once.

    `url` is `ws://host/ws/chat/`, `api_key` one of an account. Without it, or with any word that is
    not like one, such as `anonymous`, it is a visitor, whom `session_token` makes the same one as
    before. A broken connection is made again, for `retry_seconds` without success. `on_connection`
    is told True and False as the connection comes and goes. Further options go to
    `websockets.connect`.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        session_token: str | None = None,
        retry_seconds: float = 60.0,
        open_seconds: float = 10.0,
        on_connection: Callable[[bool], None] | None = None,
        **options: Any,
    ) -> None:
        self.url = url
        self.session: SessionCreated | None = None
        """The server's last greeting: its model, limits, and what its workers do."""
        self.session_token = session_token
        """Makes a later client the same visitor; None for an account."""
        self._options = {"max_size": MAX_FRAME_BYTES, **options}
        if api_key:
            headers = dict(options.get("additional_headers") or {})
            headers["Authorization"] = f"Bearer {api_key}"
            self._options["additional_headers"] = headers
        self._retry_seconds = retry_seconds
        self._open_seconds = open_seconds
        self._on_connection = on_connection or (lambda connected: None)
        self._answers: dict[UUID, Answer] = {}
        self._link: Link | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._timers: set[asyncio.TimerHandle] = set()
        self._tries = 0
        self._broken_at: float | None = None

    async def __aenter__(self) -> ChatClient:
        """Raises ChatError at once if the server cannot be reached now."""
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connect, if it is not connected or on the way. Raises ChatError."""
        async with self._starting:
            if self._keeper is None or self._keeper.done():
                link = await self._open()
                self._keeper = asyncio.create_task(self._keep(link))

    async def close(self) -> None:
        """Leave. Answers that are open are cancelled by the server after its grace time."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        self._lose_all(ChatError("closed", "The client was closed."))

    # --- asking ---

    async def ask(
        self,
        text: str,
        *,
        conversation_id: UUID | None = None,
        previous: Answer | UUID | _Newest | None = _NEWEST,
        response_id: UUID | None = None,
        **params: Unpack[Sampling],
    ) -> Answer:
        """Send a prompt; returns once it has been accepted. Raises ChatError if it is not.

        It begins a conversation, goes on with `conversation_id`, or follows one answer of it
        (`previous`; None: it begins anew there). `response_id` names it beforehand: asked twice,
        it is answered once. If the task that awaits this is cancelled, the prompt is withdrawn,
        since nobody would hold its answer.
        """
        follows: dict[str, Any] = {}
        if not isinstance(previous, _Newest):
            follows["previous_response_id"] = _id_of(previous)
        return await self._ask(
            params, response_id, input=text, conversation_id=conversation_id, **follows
        )

    async def regenerate(self, answer: Answer | UUID, **params: Unpack[Sampling]) -> Answer:
        """Ask once more for what was asked before that answer, which has ended."""
        return await self._ask(params, regenerates=_id_of(answer))

    async def go_on(self, answer: Answer | UUID, **params: Unpack[Sampling]) -> Answer:
        """More of an answer that was cut; the text is what is added."""
        return await self._ask(params, continues=_id_of(answer))

    async def resume(self, response_id: UUID) -> Answer:
        """An answer asked for earlier, from its beginning: waiting, running or long ended."""
        return await self._attend(Answer(self, response_id))

    async def _ask(self, params: Sampling, response_id: UUID | None = None, **task: Any) -> Answer:
        response_id = response_id or uuid4()
        named = {name: value for name, value in task.items() if value is not None}
        if "previous_response_id" in task:
            named["previous_response_id"] = task["previous_response_id"]
        if params:
            named["params"] = dict(params)
        with invalid_event(response_id):
            create = ResponseCreate(
                type="response.create",
                event_id=f"create {response_id}",
                response_id=response_id,
                **named,
            )
        self._check(create)
        return await self._attend(Answer(self, response_id, create))

    async def _attend(self, answer: Answer) -> Answer:
        await self.connect()
        known = self._answers.setdefault(answer.id, answer)
        if known is answer and self._link:
            answer.begin()
        try:
            await known.accepted()
        except asyncio.CancelledError:
            if known is answer:
                await self._withdraw(answer)
            raise
        return known

    async def _withdraw(self, answer: Answer) -> None:
        if answer.is_asked_here:
            await answer.cancel()
        else:
            self._forget(answer)

    # --- the connection ---

    async def _open(self) -> Link:
        link = await Link.open(self.url, self.session_token, self._open_seconds, **self._options)
        self.session = link.session
        self.session_token = link.session.session_token
        return link

    async def _keep(self, link: Link) -> None:
        try:
            while True:
                await self._attend_link(link)
                link = await self._reopen()
        except ChatError as error:
            self._lose_all(error)
        except Exception as error:
            self._lose_all(ChatError("bad_server", f"The client failed: {error!r}"))
            raise

    async def _attend_link(self, link: Link) -> None:
        """Ask on a new connection for all that is open, and route what comes, to its end."""
        self._link = link
        self._on_connection(True)
        try:
            for answer in list(self._answers.values()):
                answer.begin()
            while (event := await link.next()) is not None:
                self._take(event)
        finally:
            self._link = None
            for timer in self._timers:
                timer.cancel()  # all is asked for again on the next connection
            self._timers.clear()
            await link.close()
            self._on_connection(False)
        loss = link.loss()
        if not loss.passing:
            raise loss
        if link.close_code == CLOSE_TOO_LARGE:
            for answer in list(self._answers.values()):
                answer.too_large()

    async def _reopen(self) -> Link:
        now = asyncio.get_running_loop().time
        if self._broken_at is None or not self._answers:
            self._broken_at, self._tries = now(), 0
        while True:
            await asyncio.sleep(backoff(self._tries))
            self._tries += 1
            try:
                return await self._open()
            except ChatError as error:
                if not error.passing or now() - self._broken_at > self._retry_seconds:
                    raise

    def _take(self, event: ServerEvent | LaterEvent) -> None:
        if isinstance(event, SessionCreated):
            self.session = event
        elif isinstance(event, SessionPong):
            pass  # the link has heard it
        elif isinstance(event, SessionUpdated):
            if self.session:
                self.session = self.session.model_copy(update={"notice": event.notice})
        elif not isinstance(event, ErrorEvent):
            self._broken_at = None  # what is asked for comes
            if answer := self._answers.get(event.response_id):
                answer.take(event)
        elif answer := self._asker_of(event):
            answer.take_error(event)
        elif event.code == "rate_limited":
            # Too large to be read, so that nobody knows which one it was.
            self._tries += 1
            self._later(self._tries, self._again)

    def _asker_of(self, event: ErrorEvent) -> Answer | None:
        asked, _, response_id = (event.event_id or "").partition(" ")
        try:
            return self._answers.get(UUID(response_id)) if asked else None
        except ValueError:
            return None

    def _again(self) -> None:
        for answer in list(self._answers.values()):
            answer.again()

    # --- for the answers ---

    def _say(self, event: BaseModel) -> None:
        """Now if there is a connection; on the next one everything open is asked for anyway."""
        if self._link:
            self._link.say(event)

    def _later(self, tries: int, say: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        handle: asyncio.TimerHandle

        def fire() -> None:
            self._timers.discard(handle)
            say()

        handle = loop.call_later(backoff(tries), fire)
        self._timers.add(handle)

    def _check(self, event: BaseModel) -> None:
        """Raises ChatError for what is no JSON, or so long that the server would hang up."""
        try:
            size = len(frame_of(event).encode())
        except PydanticSerializationError:
            message = "The prompt has half a character (a lone surrogate) in it."
            raise ChatError("invalid_event", message, "input") from None
        if size > MAX_SENT_BYTES:
            raise ChatError("input_too_long", "The prompt is longer than 1 MiB.", "input")

    def _forget(self, answer: Answer) -> None:
        self._answers.pop(answer.id, None)

    def _lose_all(self, error: ChatError) -> None:
        for answer in list(self._answers.values()):
            answer.lose(error)


def _id_of(answer: Answer | UUID | None) -> UUID | None:
    return answer.id if isinstance(answer, Answer) else answer
