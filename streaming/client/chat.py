"""The client: what programs ask of it, over one persistent connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Unpack
from uuid import UUID, uuid4

from pydantic import BaseModel

from streaming.client import requests
from streaming.client.answer import Answer
from streaming.client.errors import ChatError
from streaming.client.link import MAX_FRAME_BYTES, Link
from streaming.client.open_answers import OpenAnswers
from streaming.client.persistent_link import PersistentLink
from streaming.client.sampling import Asking, Sampling
from streaming.protocol.events import ServerEvent
from streaming.protocol.response_events import LaterEvent
from streaming.protocol.server_events import (
    ErrorEvent,
    SessionCreated,
    SessionLoad,
    SessionPong,
    SessionUpdated,
)


class _Newest:
    """The type of the default of `previous`: the conversation's newest answer."""


_NEWEST = _Newest()


class ChatClient:
    """One visitor or account on one WebSocket, with any number of answers at once.

    `url` is `ws://host/ws/chat/`. `api_key` is a key of an account; without one, or with a word
    that does not look like one, such as `anonymous`, the client is a visitor. `session_token` makes
    it the visitor of an earlier client. A broken connection is made again until `retry_seconds`
    have passed without success; one attempt may take `open_seconds`. `on_connection` is called with
    True and False as the connection comes and goes. Further options go to `websockets.connect`.
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
        self._open_seconds = open_seconds
        self._answers = OpenAnswers()
        self._link = PersistentLink(
            self._open,
            self._answers,
            self._take,
            on_connection or (lambda connected: None),
            retry_seconds,
        )

    async def __aenter__(self) -> ChatClient:
        """Connect. Raises ChatError at once if the server cannot be reached now."""
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def connect(self) -> None:
        """Connect, if it is neither connected nor about to be again. Raises ChatError."""
        await self._link.connect()

    async def close(self) -> None:
        """Close the connection. The server cancels open answers after its grace time."""
        await self._link.close()
        self._answers.lose(ChatError("closed", "The client was closed."))

    # --- asking ---

    async def ask(
        self,
        text: str,
        *,
        conversation_id: UUID | None = None,
        previous: Answer | UUID | _Newest | None = _NEWEST,
        response_id: UUID | None = None,
        **params: Unpack[Asking],
    ) -> Answer:
        """Send a prompt and return its answer once it is accepted. Raises ChatError if refused.

        The prompt begins a conversation, or continues the one of `conversation_id`: after its
        newest answer, after `previous`, or as another beginning (`previous=None`). Its
        `instructions` are the conversation's from then on. With a
        `response_id` of one's own, the same prompt sent twice is answered once. Cancelling the
        task that awaits this withdraws the prompt.
        """
        follows: dict[str, Any] = {}
        if not isinstance(previous, _Newest):
            follows["previous_response_id"] = _id_of(previous)
        return await self._ask(
            params, response_id, input=text, conversation_id=conversation_id, **follows
        )

    async def regenerate(self, answer: Answer | UUID, **params: Unpack[Asking]) -> Answer:
        """Ask the prompt of an ended answer again and return the new answer. It keeps to the
        instructions that hold now."""
        return await self._ask(params, regenerates=_id_of(answer))

    async def go_on(self, answer: Answer | UUID, **params: Unpack[Sampling]) -> Answer:
        """Continue an answer that was cut; the new answer's text is what is added. It keeps to
        the same instructions."""
        return await self._ask(params, continues=_id_of(answer))

    async def resume(self, response_id: UUID) -> Answer:
        """Return an answer asked for earlier, from its first event, whether or not it has ended."""
        return await self._attend(Answer(self, response_id))

    async def _ask(
        self, asking: Sampling | Asking, response_id: UUID | None = None, **task: Any
    ) -> Answer:
        response_id = response_id or uuid4()
        params = dict(asking)
        named = {name: value for name, value in task.items() if value is not None}
        if "previous_response_id" in task:
            named["previous_response_id"] = task["previous_response_id"]
        if "instructions" in params:
            named["instructions"] = params.pop("instructions")
        if params:
            named["params"] = params
        create = requests.create(response_id, **named)
        return await self._attend(Answer(self, response_id, create))

    async def _attend(self, answer: Answer) -> Answer:
        """Return the answer, or the one of the same id that is open, once the server has it."""
        await self.connect()
        known = self._answers.add(answer)
        if known is answer and self._link.is_open:
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

    # --- for the connection ---

    async def _open(self) -> Link:
        link = await Link.open(self.url, self.session_token, self._open_seconds, **self._options)
        self.session = link.session
        self.session_token = link.session.session_token
        return link

    def _take(self, event: ServerEvent | LaterEvent) -> None:
        if isinstance(event, SessionCreated):
            self.session = event
        elif isinstance(event, SessionPong):
            pass  # the link has noticed it
        elif isinstance(event, SessionUpdated):
            if self.session:
                told = {"notice": event.notice, "announcement": event.announcement}
                self.session = self.session.model_copy(update=told)
        elif isinstance(event, SessionLoad):
            if self.session:
                news = {"service": event.service, "load": event.load}
                self.session = self.session.model_copy(update=news)
        elif not isinstance(event, ErrorEvent):
            self._link.received()
            self._answers.take(event)
        elif not self._answers.take_error(event) and event.code == "rate_limited":
            # The frame was too large to be parsed, so the error does not name its request.
            self._link.slow_down(self._answers.again)

    # --- for the answers ---

    def _say(self, event: BaseModel) -> None:
        self._link.say(event)

    def _later(self, tries: int, action: Callable[[], None]) -> None:
        self._link.later(tries, action)

    def _forget(self, answer: Answer) -> None:
        self._answers.forget(answer)


def _id_of(answer: Answer | UUID | None) -> UUID | None:
    return answer.id if isinstance(answer, Answer) else answer
