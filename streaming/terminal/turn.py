"""One prompt and what comes of it, read in the foreground while the connection lives behind."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import signal
import threading
from collections.abc import Coroutine, Iterator
from enum import Enum
from types import FrameType
from typing import Any, TypeVar

from streaming.client import Answer, AnswerEvent, ChatClient, ChatError, ResponseDone, Sampling

Result = TypeVar("Result")


class Signal(Enum):
    """What is no event of the answer."""

    STOP = "Ctrl-C"
    AWAY = "the connection is lost"
    BACK = "the connection is there again"
    END = "nothing more will come"


News = AnswerEvent | ChatError | Signal


class Background:
    """An event loop in a thread, so that the connection stays alive while somebody types."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result, waited for."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Schedule a coroutine on the background loop and return at once; callable from any
        thread."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Stop the loop, wait for its thread to end, and close it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Session:
    """A conversation with a server. Raises ChatError if it cannot be reached."""

    def __init__(self, url: str, api_key: str | None, params: Sampling) -> None:
        self._params = params
        self._turn: Turn | None = None
        self._answer: Answer | None = None  # of the last turn that was accepted
        self._background = Background()
        self.chat = ChatClient(url, api_key, on_connection=self._connection)
        try:
            self._background.run(self.chat.connect())
        except BaseException:
            self.close()
            raise

    def ask(self, prompt: str) -> Turn:
        """Send a prompt in the background and return its Turn, whose `news` follow."""
        self._turn = Turn(self, prompt)
        self._background.start(self._turn.follow())
        return self._turn

    def begin_anew(self) -> None:
        """The next prompt begins a conversation."""
        self._answer = None

    def close(self) -> None:
        """Close the connection and the background thread."""
        with contextlib.suppress(KeyboardInterrupt):
            self._background.run(self.chat.close())
        self._background.close()

    def _connection(self, connected: bool) -> None:
        if self._turn:
            self._turn.news.put(Signal.BACK if connected else Signal.AWAY)

    # --- in the background ---

    async def put(self, prompt: str) -> Answer:
        """Ask the prompt, as a reply if there is an answer before it. Raises ChatError if it is
        refused."""
        if self._answer is None:
            self._answer = await self.chat.ask(prompt, **self._params)
        else:
            self._answer = await self._answer.reply(prompt, **self._params)
        return self._answer

    def stop(self, turn: Turn) -> None:
        """Cancel a turn in the background and return at once."""
        self._background.start(turn.stop())


class Turn:
    """`news` has every event of the answer, then END."""

    def __init__(self, session: Session, prompt: str) -> None:
        self.news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._session = session
        self._prompt = prompt
        self._answer: Answer | None = None
        self._asking: asyncio.Task[Answer] | None = None
        self._stopped = False

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[None]:
        """Ctrl-C stops the answer; once more, and it raises KeyboardInterrupt."""

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
        """Whether the turn was asked to stop, wherever its answer is."""
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
                if isinstance(event, ResponseDone):
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
