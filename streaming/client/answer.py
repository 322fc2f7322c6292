"""One answer: what is asked of the server for it, and what has been received."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol, Unpack
from uuid import UUID

from pydantic import BaseModel

from streaming.client import requests
from streaming.client.assembly import Assembly, Gap, Unread
from streaming.client.backlog import AnswerEvent, Backlog
from streaming.client.edits import Edits
from streaming.client.errors import ChatError
from streaming.client.frames import error_of
from streaming.client.sampling import Asking
from streaming.protocol.client_events import ResponseCreate
from streaming.protocol.items import FunctionCallItem, Item
from streaming.protocol.response_events import (
    ENDS,
    Numbered,
    ResponseCreated,
    ResponseQueued,
    ResponseQueuePosition,
    ResponseUpdated,
)
from streaming.protocol.response_resource import ResponseResource
from streaming.protocol.server_events import ErrorEvent

MAX_TRIES = 6
"""Maximum attempts of one request that the server refuses for the moment."""

_TRY_AGAIN = ("rate_limited", "internal_error")

__all__ = ["Answer", "AnswerEvent"]


class Asker(Protocol):
    """What an answer needs of the client that made it."""

    async def ask(
        self, text: str, *, previous: Answer | UUID | None, **params: Unpack[Asking]
    ) -> Answer:
        """Send a prompt that follows `previous`."""

    def _say(self, event: BaseModel) -> None:
        """Send an event, or drop it without a connection."""

    def _later(self, tries: int, action: Callable[[], None]) -> None:
        """Call `action` later, the later the more tries there were."""

    def _forget(self, answer: Answer) -> None:
        """Route no more events to an answer."""


class Answer:
    """An answer that was accepted; made by `ChatClient`.

    Iterate over it for its events, the last of which is `ResponseCompleted`, `ResponseIncomplete`
    or `ResponseFailed`. `text` is all text received so far, `reasoning` what the model thought, and
    `items` all that it consists of. A second `ResponseInProgress` means that the answer begins
    anew: discard what was received before. A slow reader receives longer deltas, and loses no text.
    There is one stream of events: two loops over one answer share it.

    Only `cancel` ends the answer on the server; to stop reading, or to cancel the task that reads,
    does not.
    """

    def __init__(
        self, chat: Asker, response_id: UUID, create: ResponseCreate | None = None
    ) -> None:
        self.id = response_id
        self.conversation_id: UUID | None = None
        self.place: ResponseQueued | ResponseQueuePosition | None = None
        """Its last known place in the queue; None once the answer has begun."""
        self.result: ResponseResource | None = None
        """The whole response, once it has ended."""
        self._chat = chat
        self._create = create
        self._accepted = asyncio.Event()
        self._ended = asyncio.Event()
        self._error: ChatError | None = None
        self._assembly = Assembly()
        self._backlog = Backlog()
        self._edits = Edits(self._say)
        self._tries: dict[str, int] = {}
        self._wants_cancel = False
        self._catching_up = False
        self._replayed = False
        self._has_begun = False  # an event of it has come

    # --- for programs ---

    @property
    def text(self) -> str:
        """All text received so far."""
        return self._assembly.text

    @property
    def reasoning(self) -> str:
        """All reasoning received so far."""
        return self._assembly.reasoning

    @property
    def items(self) -> list[Item]:
        """All output items so far; the last ones are not whole until the answer has ended."""
        return self._assembly.items

    @property
    def calls(self) -> list[FunctionCallItem]:
        """The functions that the model calls, as far as it has written them."""
        return [item for item in self.items if isinstance(item, FunctionCallItem)]

    async def __aiter__(self) -> AsyncIterator[AnswerEvent]:
        """Yield the events not read yet. Raises ChatError if the answer is lost."""
        while (event := await self._backlog.get()) is not None:
            yield event

    async def done(self) -> ResponseResource:
        """Wait for the end and return the whole response. Raises ChatError if it is lost."""
        await self._ended.wait()
        if self.result is None:
            assert self._error is not None
            raise self._error
        return self.result

    async def cancel(self) -> None:
        """Stop the answer on the server; its end follows, with the text so far."""
        if not self._ended.is_set() and not self._wants_cancel:
            self._wants_cancel = True
            self._say_cancel()

    async def edit(self, text: str) -> None:
        """Change the prompt while it waits. Raises ChatError: `already_started` if that is late."""
        if self._ended.is_set():
            raise ChatError("already_done", "This answer has ended.", response_id=self.id)
        await self._edits.add(requests.update(self.id, text))

    async def reply(self, text: str, **params: Unpack[Asking]) -> Answer:
        """Send a prompt that follows this answer, which may still be open."""
        return await self._chat.ask(text, previous=self, **params)

    # --- for the client ---

    @property
    def is_asked_here(self) -> bool:
        """Whether this client sent the prompt, rather than resumed the answer."""
        return self._create is not None

    async def accepted(self) -> None:
        """Wait until the server has it. Raises ChatError if it is refused."""
        await self._accepted.wait()
        if self._error and not self._has_begun:
            raise self._error

    def begin(self) -> None:
        """Ask for it, on a new connection."""
        self._catching_up = False
        if not self._accepted.is_set() and self._wants_cancel:
            self._say_cancel()  # nobody waits for it any more
            return
        if self._create is not None and not self._accepted.is_set():
            self._say(self._create)
        else:
            self._say_resume()
        self._edits.say_first()
        if self._wants_cancel:
            self._say_cancel()

    def again(self) -> None:
        """Ask once more for what the server has not acknowledged."""
        if not self._accepted.is_set() and self._create is not None:
            self._say(self._create)
        else:
            self._edits.say_first()

    def take(self, event: AnswerEvent | Unread) -> None:
        """Take one event of the server."""
        if self._ended.is_set():
            return
        self._tries.clear()
        self._has_begun = True
        if isinstance(event, ResponseCreated):
            self._backlog.put(event)
            return  # its place follows at once
        if isinstance(event, ResponseQueued | ResponseQueuePosition):
            self.place = event
            if isinstance(event, ResponseQueued):
                self.conversation_id = event.conversation_id
            self._backlog.put(event)
        elif isinstance(event, ResponseUpdated):
            self._backlog.put(event)
            self._edits.take(event.input)
        else:
            self._take_numbered(event)
        self._accepted.set()

    def take_error(self, asked: str, event: ErrorEvent) -> None:
        """Take the server's refusal of a request: `asked` is the request's kind.

        It is sent again later, or the answer (or the edit) ends with the error.
        """
        if asked == "cancel":
            self._cancel_refused(event)
            return
        if asked == "create" and self._has_begun:
            asked = "resume"  # accepted, but not shown
        again = event.code in _TRY_AGAIN or (event.code == "unavailable" and asked == "resume")
        tries = self._tries[asked] = self._tries.get(asked, 0) + 1
        if again and tries < MAX_TRIES:
            say = self._say_resume if asked == "resume" else self.again
            self._chat._later(tries, say)
        elif asked == "update":
            self._edits.end_first(error_of(event))
        else:
            self.lose(error_of(event))

    def lose(self, error: ChatError) -> None:
        """End the answer with an error; no more events follow."""
        if self._ended.is_set():
            return
        self._error = ChatError(error.code, error.message, error.param, self.id)
        self._end(self._error)

    def too_large(self) -> None:
        """Give up unacknowledged requests: one was larger than the server, or a proxy, accepts."""
        error = ChatError("input_too_long", "The prompt is too long for the server.", "input")
        self._edits.end_all(error)
        if not self._accepted.is_set():
            self.lose(error)

    # --- inside ---

    def _take_numbered(self, event: Numbered | Unread) -> None:
        self.place = None
        try:
            news = self._assembly.take(event)
        except Gap as gap:
            self._catch_up(gap)
            return
        self._catching_up = False
        for part in news:
            self._backlog.put(part)
        if isinstance(event, ENDS):
            self.result = event.response
            self._end(None)

    def _catch_up(self, gap: Gap) -> None:
        if self._catching_up:
            return  # asked for already
        if gap.starting_after == 0 and self._assembly.sequence:
            if self._replayed:
                self.lose(ChatError("bad_server", "The parts of the answer do not fit together."))
                return
            self._replayed = True
            self._assembly.forget()
        self._catching_up = True
        self._say_resume()

    def _cancel_refused(self, event: ErrorEvent) -> None:
        tries = self._tries["cancel"] = self._tries.get("cancel", 0) + 1
        if event.code in ("rate_limited", "internal_error", "unavailable") and tries < MAX_TRIES:
            self._chat._later(tries, self._say_cancel)
        elif event.code == "already_done" and self._accepted.is_set():
            pass  # its end is on the way
        else:
            self.lose(error_of(event))

    def _end(self, error: ChatError | None) -> None:
        self._ended.set()
        self._backlog.end(error)
        message = "The answer has ended."
        self._edits.end_all(error or ChatError("already_done", message, response_id=self.id))
        self._accepted.set()
        self._chat._forget(self)

    def _say(self, event: BaseModel) -> None:
        if not self._ended.is_set():
            self._chat._say(event)

    def _say_resume(self) -> None:
        self._say(requests.resume(self.id, self._assembly.sequence))

    def _say_cancel(self) -> None:
        self._say(requests.cancel(self.id))
