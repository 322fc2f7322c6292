"""One answer: what is asked of the server for it, and what has come of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol, Unpack
from uuid import UUID

from pydantic import BaseModel

from streaming.client.assembly import Assembly, Gap, Numbered, Unread
from streaming.client.backlog import AnswerEvent, Backlog
from streaming.client.errors import ChatError, invalid_event
from streaming.client.link import error_of
from streaming.client.sampling import Sampling
from streaming.protocol.client_events import (
    ResponseCancel,
    ResponseCreate,
    ResponseResume,
    ResponseUpdate,
)
from streaming.protocol.server_events import (
    ErrorEvent,
    ResponseDone,
    ResponseQueued,
    ResponseQueuePosition,
    ResponseUpdated,
)

MAX_TRIES = 6
"""So often one thing is asked of a server that says "slow down" or "try again"."""

_TRY_AGAIN = ("rate_limited", "internal_error")

__all__ = ["Answer", "AnswerEvent"]


class Asker(Protocol):
    """What an answer asks of the client that made it."""

    async def ask(
        self, text: str, *, previous: Answer | UUID | None, **params: Unpack[Sampling]
    ) -> Answer: ...

    def _say(self, event: BaseModel) -> None: ...
    def _later(self, tries: int, say: Callable[[], None]) -> None: ...
    def _check(self, event: BaseModel) -> None: ...
    def _forget(self, answer: Answer) -> None: ...


@dataclass(eq=False)
class _Edit:
    event: ResponseUpdate
    end: asyncio.Future[None]


class Answer:
    """An answer that was accepted; made by `ChatClient`.

    Iterate over it for its events, the last of which is `ResponseDone`; `text` is always all
    that has come, and `reasoning` what the model thought before. A second `ResponseInProgress`
    means that the answer begins anew: what stands before it is void. One who reads slowly is given
    longer deltas, never fewer letters. There is one stream of events: two loops over one answer
    share it.

    To stop reading, or to cancel a task that does, ends nothing on the server: `cancel` does.
    """

    def __init__(
        self, chat: Asker, response_id: UUID, create: ResponseCreate | None = None
    ) -> None:
        self.id = response_id
        self.conversation_id: UUID | None = None
        self.place: ResponseQueued | ResponseQueuePosition | None = None
        """The last news of its place in the queue; None once the answer has begun."""
        self.result: ResponseDone | None = None
        self._chat = chat
        self._create = create
        self._accepted = asyncio.Event()
        self._ended = asyncio.Event()
        self._error: ChatError | None = None
        self._assembly = Assembly()
        self._backlog = Backlog()
        self._edits: list[_Edit] = []
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

    async def __aiter__(self) -> AsyncIterator[AnswerEvent]:
        """The events not read yet. Raises ChatError if the answer is lost."""
        while (event := await self._backlog.get()) is not None:
            yield event

    async def done(self) -> ResponseDone:
        """How it ended: look at its `status`. Raises ChatError if the answer is lost."""
        await self._ended.wait()
        if self.result is None:
            assert self._error is not None
            raise self._error
        return self.result

    async def cancel(self) -> None:
        """Stop the answer on the server. Its `ResponseDone` comes as always, with what was said."""
        if not self._ended.is_set() and not self._wants_cancel:
            self._wants_cancel = True
            self._say_cancel()

    async def edit(self, text: str) -> None:
        """Change the prompt while it waits. Raises ChatError, `already_started` if it is late."""
        if self._ended.is_set():
            raise ChatError("already_done", "This answer has ended.", response_id=self.id)
        with invalid_event(self.id):
            event = ResponseUpdate(
                type="response.update",
                response_id=self.id,
                input=text,
                event_id=f"update {self.id}",
            )
        self._chat._check(event)
        edit = _Edit(event, asyncio.get_running_loop().create_future())
        self._edits.append(edit)
        if len(self._edits) == 1:
            self._say(event)
        await edit.end

    async def reply(self, text: str, **params: Unpack[Sampling]) -> Answer:
        """Ask what follows this answer, which may still be open."""
        return await self._chat.ask(text, previous=self, **params)

    # --- for the client ---

    @property
    def is_asked_here(self) -> bool:
        """Whether this client asked for it, rather than took it up."""
        return self._create is not None

    async def accepted(self) -> None:
        """Until the server has it. Raises ChatError if it is refused."""
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
        if self._edits:
            self._say(self._edits[0].event)
        if self._wants_cancel:
            self._say_cancel()

    def again(self) -> None:
        """Ask once more for what the server has not acknowledged."""
        if not self._accepted.is_set() and self._create is not None:
            self._say(self._create)
        elif self._edits:
            self._say(self._edits[0].event)

    def take(self, event: AnswerEvent | Unread) -> None:
        """One event of the server."""
        if self._ended.is_set():
            return
        self._tries.clear()
        self._has_begun = True
        if isinstance(event, ResponseQueued | ResponseQueuePosition):
            self.place = event
            if isinstance(event, ResponseQueued):
                self.conversation_id = event.conversation_id
            self._backlog.put(event)
        elif isinstance(event, ResponseUpdated):
            self._backlog.put(event)
            if self._edits and self._edits[0].event.input == event.input:
                self._end_edit()
        else:
            self._take_numbered(event)
        self._accepted.set()

    def take_error(self, event: ErrorEvent) -> None:
        """The server refused what this answer asked for."""
        asked = (event.event_id or "").partition(" ")[0]
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
            self._end_edit(error_of(event))
        else:
            self.lose(error_of(event))

    def lose(self, error: ChatError) -> None:
        """Nothing more will come of it."""
        if self._ended.is_set():
            return
        self._error = ChatError(error.code, error.message, error.param, self.id)
        self._end(self._error)

    def too_large(self) -> None:
        """A frame was larger than the server, or a proxy, lets through: it was one of these."""
        error = ChatError("input_too_long", "The prompt is too long for the server.", "input")
        while self._edits:
            self._end_edit(error)
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
        if isinstance(event, ResponseDone):
            self.result = event
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
        while self._edits:
            self._end_edit(error or ChatError("already_done", message, response_id=self.id))
        self._accepted.set()
        self._chat._forget(self)

    def _end_edit(self, error: ChatError | None = None) -> None:
        """The first edit is through, the next one may go."""
        if not self._edits:
            return
        end = self._edits.pop(0).end
        if not end.done():
            if error:
                end.set_exception(error)
            else:
                end.set_result(None)
        if self._edits:
            self._say(self._edits[0].event)

    def _say(self, event: BaseModel) -> None:
        if not self._ended.is_set():
            self._chat._say(event)

    def _say_resume(self) -> None:
        self._say(
            ResponseResume(
                type="response.resume",
                response_id=self.id,
                starting_after=self._assembly.sequence,
                event_id=f"resume {self.id}",
            )
        )

    def _say_cancel(self) -> None:
        self._say(
            ResponseCancel(
                type="response.cancel", response_id=self.id, event_id=f"cancel {self.id}"
            )
        )
