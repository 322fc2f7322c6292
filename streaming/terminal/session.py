"""A conversation with a server, one prompt with its answer at a time.

The terminal reads in the main thread; the connection lives on an event loop in another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import signal
from collections.abc import Iterator
from enum import Enum
from types import FrameType

from streaming.client import (
    ENDS,
    Answer,
    AnswerEvent,
    Asking,
    ChatClient,
    ChatError,
    Sampling,
)
from streaming.terminal.background import BackgroundLoop


class Signal(Enum):
    """What `Exchange.news` has beside the events of the answer."""

    STOP = "Ctrl-C"
    AWAY = "the connection is lost"
    BACK = "the connection is there again"
    END = "nothing more will come"


News = AnswerEvent | ChatError | Signal


class Session:
    """A conversation with a server; connects when it is made.

    `instructions`: what its conversations begin with as instructions of their own; None for none.
    Raises ChatError if the server cannot be reached.
    """

    def __init__(
        self, url: str, api_key: str | None, params: Sampling, instructions: str | None = None
    ) -> None:
        self._params = params
        self.instructions = instructions
        self._is_instructed = False  # the conversation has these instructions
        self._exchange: Exchange | None = None
        self._answer: Answer | None = None  # of the last prompt that was accepted
        self._background = BackgroundLoop()
        self.chat = ChatClient(url, api_key, on_connection=self._connection)
        try:
            self._background.run(self.chat.connect())
        except BaseException:
            self.close()
            raise

    def ask(self, prompt: str) -> Exchange:
        """Send a prompt in the background and return its Exchange, whose `news` come later."""
        self._exchange = Exchange(self, prompt)
        self._background.start(self._exchange.follow())
        return self._exchange

    def begin_anew(self) -> None:
        """Let the next prompt begin a new conversation, with the same instructions."""
        self._answer = None
        self._is_instructed = False

    def instruct(self, instructions: str) -> None:
        """Let the conversation have these instructions from the next prompt on; an empty text for
        none."""
        self.instructions = instructions
        self._is_instructed = False

    def close(self) -> None:
        """Close the connection and the background thread."""
        with contextlib.suppress(KeyboardInterrupt):
            self._background.run(self.chat.close())
        self._background.close()

    def _connection(self, connected: bool) -> None:
        if self._exchange:
            self._exchange.news.put(Signal.BACK if connected else Signal.AWAY)

    # --- in the background ---

    async def put(self, prompt: str) -> Answer:
        """Send the prompt and return its answer once it is accepted. Raises ChatError if refused.

        It replies to the conversation's last answer, if there is one.
        """
        asking = Asking(**self._params)  # type: ignore[typeddict-item]
        if self.instructions is not None and not self._is_instructed:
            asking["instructions"] = self.instructions
        if self._answer is None:
            self._answer = await self.chat.ask(prompt, **asking)
        else:
            self._answer = await self._answer.reply(prompt, **asking)
        self._is_instructed = True
        return self._answer

    def stop(self, exchange: Exchange) -> None:
        """Stop an exchange in the background and return at once."""
        self._background.start(exchange.stop())


class Exchange:
    """One prompt and its answer. `news` receives every event of the answer, then END."""

    def __init__(self, session: Session, prompt: str) -> None:
        self.news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._session = session
        self._prompt = prompt
        self._answer: Answer | None = None
        self._asking: asyncio.Task[Answer] | None = None
        self._stopped = False

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[None]:
        """Let Ctrl-C stop the answer within the block; a second one raises KeyboardInterrupt."""

        def interrupt(number: int, frame: FrameType | None) -> None:
            if self._stopped:
                raise KeyboardInterrupt
            self._stopped = True
            self.news.put(Signal.STOP)
            self._session.stop(self)

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @property
    def was_stopped(self) -> bool:
        """Whether the exchange was asked to stop, whatever has become of its answer."""
        return self._stopped

    async def follow(self) -> None:
        """Send the prompt and put each event into `news`; a ChatError is put there, not raised."""
        try:
            if self._stopped:
                return
            self._asking = asyncio.ensure_future(self._session.put(self._prompt))
            self._answer = await self._asking
            async for event in self._answer:
                self.news.put(event)
                if isinstance(event, ENDS):
                    break
        except ChatError as error:
            self.news.put(error)
        except asyncio.CancelledError:
            pass  # stopped before it was accepted
        finally:
            self.news.put(Signal.END)

    async def stop(self) -> None:
        """Cancel the answer on the server, or the prompt if it is not accepted yet."""
        if self._answer:
            await self._answer.cancel()
        elif self._asking:
            self._asking.cancel()
