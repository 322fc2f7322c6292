"""A client's connection, which is made again when it breaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from pydantic import BaseModel

from streaming.client.errors import ChatError
from streaming.client.link import CLOSE_TOO_LARGE, Link
from streaming.client.open_answers import OpenAnswers
from streaming.protocol.events import ServerEvent
from streaming.protocol.response_events import LaterEvent

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 10.0


def backoff(tries: int) -> float:
    """Return the seconds to wait after so many tries.

    They double with each try, up to 10 s, and are reduced at random by up to a half.
    """
    return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(tries, 20)) * random.uniform(0.5, 1)


class PersistentLink:
    """One `Link` after the other, each made by `open_link`.

    On each, all open `answers` are asked for again, and every event goes to `take`. A link that
    breaks is replaced until `retry_seconds` have passed without success; then all answers are lost.
    `on_connection` is told True and False as the connection comes and goes.
    """

    def __init__(
        self,
        open_link: Callable[[], Awaitable[Link]],
        answers: OpenAnswers,
        take: Callable[[ServerEvent | LaterEvent], None],
        on_connection: Callable[[bool], None],
        retry_seconds: float,
    ) -> None:
        self._open_link = open_link
        self._answers = answers
        self._take = take
        self._on_connection = on_connection
        self._retry_seconds = retry_seconds
        self._link: Link | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._timers: set[asyncio.TimerHandle] = set()
        self._tries = 0
        self._broken_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection now."""
        return self._link is not None

    async def connect(self) -> None:
        """Connect, if it is neither connected nor about to be again. Raises ChatError."""
        async with self._starting:
            if self._keeper is None or self._keeper.done():
                link = await self._open_link()
                self._keeper = asyncio.create_task(self._keep(link))

    async def close(self) -> None:
        """Close the connection and make no further one."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None

    def say(self, event: BaseModel) -> None:
        """Send an event; it is dropped without a connection, since the next one asks for all."""
        if self._link:
            self._link.say(event)

    def later(self, tries: int, action: Callable[[], None]) -> None:
        """Call `action` after the `backoff` of so many tries, if this connection lasts so long."""
        handle: asyncio.TimerHandle

        def fire() -> None:
            self._timers.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(backoff(tries), fire)
        self._timers.add(handle)

    def slow_down(self, action: Callable[[], None]) -> None:
        """Call `action` later, after a longer wait each time until an event is received."""
        self._tries += 1
        self.later(self._tries, action)

    def received(self) -> None:
        """Note that an answer's event has come: the next break is a new one."""
        self._broken_at = None

    async def _keep(self, link: Link) -> None:
        try:
            while True:
                await self._attend(link)
                link = await self._reopen()
        except ChatError as error:
            self._answers.lose(error)
        except Exception as error:
            self._answers.lose(ChatError("bad_server", f"The client failed: {error!r}"))
            raise

    async def _attend(self, link: Link) -> None:
        """Ask for all open answers on a new link, and pass its events on until it ends.

        Raises ChatError if another link would not help.
        """
        self._link = link
        self._on_connection(True)
        try:
            self._answers.begin()
            while (event := await link.next()) is not None:
                self._take(event)
        finally:
            self._link = None
            for timer in self._timers:
                timer.cancel()  # all is asked for again on the next link
            self._timers.clear()
            await link.close()
            self._on_connection(False)
        loss = link.loss()
        if not loss.passing:
            raise loss
        if link.close_code == CLOSE_TOO_LARGE:
            self._answers.too_large()

    async def _reopen(self) -> Link:
        """Return a new link. Raises ChatError when it is time to give up."""
        now = asyncio.get_running_loop().time
        if self._broken_at is None or not self._answers:
            self._broken_at, self._tries = now(), 0
        while True:
            await asyncio.sleep(backoff(self._tries))
            self._tries += 1
            try:
                return await self._open_link()
            except ChatError as error:
                if not error.passing or now() - self._broken_at > self._retry_seconds:
                    raise
