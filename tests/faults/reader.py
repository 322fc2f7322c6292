"""Somebody who reads one answer, comes back whenever the line breaks, and minds every letter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.support.endings import ending, is_end
from tests.support.told_items import ToldItems

PATIENCE = 60.0
BROKEN = (OSError, WebSocketException, TimeoutError, EOFError)
AGAIN = ("internal_error", "unavailable", "queue_full", "rate_limited")


class Garbled(AssertionError):
    """What the server said does not fit what it said before."""


class Reader:
    """Assembles the items by the protocol's rule: `response.in_progress` begins them anew, every
    number comes once, and every delta says where it goes. In the end they are what it has."""

    def __init__(
        self,
        urls: Sequence[str],
        prompt: str,
        *,
        token: str = "",
        conversation: str = "",
        seed: int = 0,
        **params: Any,
    ) -> None:
        self.id = str(uuid4())
        self.prompt = prompt
        self.params = params
        self.token = token
        self.conversation = conversation  # a new one if empty, known when it is accepted
        self.told = ToldItems()
        self.sequence = 0
        self.begun = 0
        self.missed = False
        """Whether the end has more than was told before it."""
        self.connections = 0
        self.errors: list[str] = []
        self.accepted = asyncio.Event()
        self.done: dict[str, Any] | None = None
        self._urls = urls
        self._chance = random.Random(seed)
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[dict[str, Any]] | None = None
        self._wants_cancel = self._is_greeted = False
        self._news = asyncio.Condition()
        self._may_connect = asyncio.Event()
        self._may_connect.set()

    def start(self) -> Reader:
        """Begin to read in the background; `end` waits for it."""
        self._task = asyncio.create_task(self.answer())
        return self

    async def end(self, patience: float = PATIENCE) -> dict[str, Any]:
        """The `ending` of the answer."""
        assert self._task is not None
        return await asyncio.wait_for(asyncio.shield(self._task), patience)

    async def stop(self) -> None:
        """Stop reading, whatever was read."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(BaseException):
                await self._task

    async def answer(self) -> dict[str, Any]:
        """Ask, and read to the end, over as many connections as it takes."""
        while self.done is None:
            await self._may_connect.wait()
            try:
                await self._read_on(self._chance.choice(self._urls))
            except BROKEN:
                await asyncio.sleep(self._chance.uniform(0.05, 0.3))
        return self.done

    async def cancel(self) -> None:
        """Ask for the end, and again on every new connection until it has come."""
        self._wants_cancel = True
        if self._socket and self._is_greeted:  # as somebody else before
            with contextlib.suppress(*BROKEN):
                await self._say("response.cancel", response_id=self.id)

    def leave(self) -> None:
        """Cut the line, until `come_back`."""
        self._may_connect.clear()
        if self._socket:
            self._socket.transport.abort()

    def come_back(self) -> None:
        self._may_connect.set()

    @property
    def text(self) -> str:
        """The text of all deltas."""
        return self.told.text

    @property
    def reasoning(self) -> str:
        """The thought of all deltas."""
        return self.told.thought

    async def words(self, count: int) -> None:
        """Until so many words have come, or the end."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self.done or self.text.count(" ") >= count)

    # --- one connection ---

    async def _read_on(self, url: str) -> None:
        async with connect(url, open_timeout=PATIENCE, ping_interval=None) as socket:
            self.connections += 1
            self._socket = socket
            try:
                await self._greet()
                self._is_greeted = True
                await self._ask_or_resume()
                while self.done is None:
                    await self._take(await self._receive())
            finally:
                self._socket, self._is_greeted = None, False

    async def _greet(self) -> None:
        greeting = await self._receive()
        if self.token:
            await self._say("chatstream:session", session_token=self.token)
            greeting = await self._receive()
        if greeting["type"] == "error" and greeting["code"] in AGAIN:
            raise ConnectionError(greeting["message"])
        if greeting["type"] != "chatstream:session":
            raise Garbled(f"no session: {greeting}")
        self.token = greeting["session_token"]

    async def _ask_or_resume(self) -> None:
        if self.accepted.is_set():
            await self._say("chatstream:resume", response_id=self.id, starting_after=self.sequence)
        else:
            await self._create()
        if self._wants_cancel and self.accepted.is_set():
            await self._say("response.cancel", response_id=self.id)

    async def _create(self) -> None:
        fields = {"conversation_id": self.conversation} if self.conversation else {}
        await self._say(
            "response.create", response_id=self.id, input=self.prompt, params=self.params, **fields
        )

    async def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "error":
            await self._take_error(event)
            return
        if event["type"].startswith(("chatstream:session", "chatstream:load")):
            return
        if event["response_id"] != self.id:
            raise Garbled(f"somebody else's event: {event}")
        self.accepted.set()
        self.conversation = event.get("conversation_id", self.conversation)
        if event.get("sequence_number"):
            self._take_numbered(event)
        async with self._news:
            self._news.notify_all()

    def _take_numbered(self, event: dict[str, Any]) -> None:
        number, before = event["sequence_number"], self.sequence
        begins_anew = event["type"] == "response.in_progress"
        may_skip = begins_anew or is_end(event)
        if number <= before or (number > before + 1 and not may_skip):
            raise Garbled(f"number {number} after {before}: {event}")
        self.sequence = number
        self.begun += begins_anew
        try:
            if is_end(event) and self.told.lacks(event):
                self.missed = True  # the events of the last stretch were forgotten; this is all
            else:
                self.told.take(event)
        except (AssertionError, LookupError, TypeError) as error:
            raise Garbled(f"{event} does not follow {self.told.items}") from error
        if is_end(event):
            self.done = ending(event)

    async def _take_error(self, event: dict[str, Any]) -> None:
        self.errors.append(event["code"])
        asked = event["event_id"]
        if event["code"] == "already_done" and asked == "response.cancel":
            return  # the answer came first; its end is on the way
        too_late = asked == "response.create" and self.accepted.is_set()
        if event["code"] not in AGAIN or too_late:
            raise Garbled(f"refused: {event}")
        if asked == "chatstream:resume":
            raise ConnectionError(event["message"])
        await asyncio.sleep(self._chance.uniform(0.2, 0.5))
        if asked == "response.cancel":
            await self._say("response.cancel", response_id=self.id)
        else:
            await self._create()

    async def _say(self, type_: str, **fields: Any) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps({"type": type_, "event_id": type_, **fields}))

    async def _receive(self) -> dict[str, Any]:
        assert self._socket is not None
        async with asyncio.timeout(PATIENCE):
            event: dict[str, Any] = json.loads(await self._socket.recv())
            return event
