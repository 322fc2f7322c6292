"""The engine that forwards: a thread with the connections, and its thread-safe face.

Other threads only leave requests and cancellations. On the thread's event loop run one task for
each response, and one that asks for the server's health.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable

from streaming.engine.base import (
    UPSTREAM,
    Engine,
    EngineError,
    EngineStats,
    EventSink,
    Finished,
    FinishReason,
    GenerationRequest,
    ModelInfo,
    StepRecord,
)
from streaming.engine.models.model_name import shown_name
from streaming.engine.upstream.answer import UpstreamAnswer
from streaming.engine.upstream.dialect import Dialect, first_api
from streaming.engine.upstream.health import Health
from streaming.engine.upstream.open_requests import OpenRequests
from streaming.engine.upstream.query import Api
from streaming.engine.upstream.served_model import ServedModel
from streaming.engine.upstream.server import UpstreamServer

logger = logging.getLogger("streaming.engine.upstream")

_READ_SECONDS_EACH = 0.001
_MOST_READ_SECONDS = 0.03
"""Seconds between two reads of an answer, for each answer that runs, and at most. A read takes
0.1 ms, however little it brings, and a reader is to see an update every 50 ms, even if each process
on the way is late."""

_FEW = 8
"""Up to so many answers are read as soon as there is something to read."""

_TICK_SECONDS = 0.25
"""Seconds after which the event loop shows that it is alive (`EngineStats.progress`)."""


class UpstreamEngine(Engine):
    """Forwards requests to an OpenAI-compatible server.

    - `url`: its base URL, such as `http://host:8000/v1`; `key`: the bearer token
    - `model`: the model to ask for; empty: the first that the server lists
    - `continues`: whether the server continues an assistant's message; None: by the kind of server
    - `api`: `chat`, `responses`, or `auto`: whichever the server has
    - `patience_seconds`: how long a response waits for a server that is away or busy;
      `pause_seconds`: the first pause, which doubles
    - `max_rows`: the most responses at once; 0: twice `max_running`
    - `context_tokens`: 0: what the server says, if it does
    - `probe_seconds`: time between two questions for the server's health
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        model: str = "",
        continues: bool | None = None,
        api: str = "auto",
        patience_seconds: float = 120.0,
        max_running: int = 4,
        max_rows: int = 0,
        context_tokens: int = 0,
        probe_seconds: float = 5.0,
        pause_seconds: float = 0.5,
    ) -> None:
        self.server = UpstreamServer(url, key, probe_seconds, self._rhythm)
        is_set = api != "auto"
        first = Api[api.upper()] if is_set else first_api(url)
        self.dialect = Dialect(continues, first, is_api_set=is_set)
        self._followed = ServedModel("")
        self.patience_seconds = patience_seconds
        self.pause_seconds = pause_seconds
        self._health = Health(self.server, model, probe_seconds)
        self._context_tokens = context_tokens
        self._rows = max(max_running, max_rows or 2 * max_running)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._looked = threading.Event()
        self._stop: asyncio.Event
        self._tasks: dict[str, asyncio.Task[None]] = {}  # the loop's
        self._ticks = 0
        self._open = OpenRequests()
        self._lock = threading.Lock()  # of _closing, and of submitting before it
        self._closing = False

    # The face: any thread.

    @property
    def info(self) -> ModelInfo:
        """Return the model that the server serves. Raises EngineError before `start`."""
        if self._thread is None:
            raise EngineError("The engine has not started.")
        model, dialect = self.model, self.dialect
        return ModelInfo(
            shown_name(model.name),
            UPSTREAM,
            "",
            self.context_tokens,
            self._rows,
            0,
            thinks=dialect.thinks,
            # Unless it is known otherwise: the server says it when it is asked.
            takes_images=model.takes_images is not False and not dialect.refuses_images,
            takes_tools=model.takes_tools is not False and not dialect.refuses_tools,
            completes_text=dialect.completes_text,
        )

    @property
    def model(self) -> ServedModel:
        """Return the model; its name is empty until the server has said which it serves."""
        return self._health.model

    @property
    def context_tokens(self) -> int:
        """Return the context in tokens; 0 if nobody says."""
        return self._context_tokens or self.model.context_tokens

    @property
    def unavailable_reason(self) -> str:
        """Return why the server cannot be asked just now; empty if it can."""
        return self._health.unavailable_reason

    @property
    def shares_cores(self) -> bool:
        """Return False: the server computes."""
        return False

    def prepare(self) -> None:
        """Ask the server for its models. Raises EngineError if it refuses; a server that is away is
        no error."""

        async def look() -> None:
            async with self.server:
                await self._health.look()

        asyncio.run(look())
        if self._health.is_refused:
            raise EngineError(self.unavailable_reason)
        if self.unavailable_reason:
            logger.warning("%s", self.unavailable_reason)

    def start(self, sink: EventSink) -> None:
        """Begin to forward, whether or not the server is there. See `Engine.start`."""
        if self._thread is not None:
            raise EngineError("The engine has already been started.")
        self._open.sink = sink
        self._thread = threading.Thread(target=self._run, name="chatstream-upstream", daemon=True)
        self._thread.start()
        self._looked.wait()

    def submit(self, request: GenerationRequest) -> None:
        """Begin to forward a request. Raises EngineError: `unavailable` if the engine is not
        running, `duplicate` if the id is still open."""
        with self._lock:
            if self._thread is None or self._closing:
                raise EngineError("The engine is not running.", "unavailable")
            self._open.add(request.response_id)
            self._call(self._begin, request)

    def cancel(self, response_id: str) -> None:
        """Close the response's connection, which ends its generation on the server."""
        with self._lock:
            if response_id in self._open and not self._closing:
                self._call(self._cancel, response_id)

    def stats(self) -> EngineStats:
        """Return the counts; steps are the server's, and 0 here."""
        with self._lock:
            running = len(self._open)
            thread = self._thread
            lives = thread is not None and thread.is_alive()
            alive = lives and not self._closing
            return EngineStats(
                running=running,
                pending=0,
                free=max(0, self._rows - running) if alive else 0,
                steps=0,
                generated_tokens=self._open.generated_tokens,
                alive=alive,
                tokens_per_second=self._open.tokens_per_second,
                at_work=lives,
                progress=self._ticks,
                thread_id=(thread and thread.ident) or 0,
            )

    def recent_steps(self) -> list[StepRecord]:
        """Return nothing: the steps are the server's."""
        return []

    def close(self, timeout: float = 10.0) -> None:
        """Close all connections and end the thread. See `Engine.close`."""
        with self._lock:
            if self._thread is None or self._closing:
                return
            self._closing = True
            self._call(self._stop.set)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)
            if self._thread.is_alive():
                logger.error("The connections did not end within %.1f s", timeout)
            self._open.finish_all(FinishReason.CANCELLED)

    def _call(self, function: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function, *args)

    # The thread with the event loop.

    def look(self) -> None:
        """Ask for the server's health now."""
        self._health.hurry()

    def heard(self) -> None:
        """Take note that the server has just said something."""
        self._health.heard()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException:
            logger.exception("The engine's thread failed")
            with self._lock:
                self._closing = True
            self._open.finish_all(FinishReason.ERROR, "engine_error", "The engine stopped.")
            raise
        finally:
            self._looked.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self.server:
            ticking = asyncio.create_task(self._tick())
            await self._health.look()
            self._follow()
            self._looked.set()
            watching = asyncio.create_task(self._health.watch(self._follow))
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait([watching, stopping], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()  # it never ends by itself
            tasks = [*self._tasks.values(), watching, ticking]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            self._ticks += 1
            await asyncio.sleep(_TICK_SECONDS)

    def _follow(self) -> None:
        """Speak the dialect of the kind of server that answers now."""
        if self.unavailable_reason:
            self._followed = ServedModel("")  # another one may come back by its name
        elif self.model != self._followed:
            self._followed = self.model
            self.dialect.begin_anew(self.model.server)

    def _rhythm(self) -> float:
        """Seconds between two reads of each answer."""
        running = len(self._tasks)
        return 0 if running <= _FEW else min(_MOST_READ_SECONDS, _READ_SECONDS_EACH * running)

    def _begin(self, request: GenerationRequest) -> None:
        answer = UpstreamAnswer(request, self, self._open.publish)
        task = self._loop.create_task(answer.run())
        self._tasks[request.response_id] = task
        task.add_done_callback(lambda _: self._ended(request.response_id))

    def _ended(self, response_id: str) -> None:
        self._tasks.pop(response_id, None)
        # A task that was cancelled before it ran at all could not say so.
        self._open.publish(Finished(response_id, FinishReason.CANCELLED))

    def _cancel(self, response_id: str) -> None:
        if task := self._tasks.get(response_id):
            task.cancel()
