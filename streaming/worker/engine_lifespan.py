"""The beginning and the end of a worker's engine, neither of which may keep the worker for ever."""

from __future__ import annotations

import asyncio

from streaming.engine.base import Engine, EventSink
from streaming.system.watchdog import EngineHangs, in_thread
from streaming.worker.engine_watch import EngineWatch
from streaming.worker.status import StatusTracker
from streaming.worker.tasks import cancel_all

_CLOSE_SECONDS = 10.0
"""Most seconds that an engine may take to end, or a model to be loaded that nobody wants any more.
"""

_LEAST_CLOSE_SECONDS = 1.0
"""The same for an engine that hangs."""


class EngineLifespan:
    """Starts and closes one worker's engine, in threads that no end of the process waits for."""

    def __init__(self, engine: Engine, watch: EngineWatch, status: StatusTracker) -> None:
        self._engine = engine
        self._watch = watch
        self._status = status

    async def start(self, sink: EventSink) -> None:
        """Load the model, and have the engine say its events to `sink`.

        Raises EngineError if the model cannot be served, and EngineHangs if loading goes on when
        the worker has been ended.
        """
        loading = asyncio.create_task(in_thread(self._engine.start, sink))
        ending = asyncio.create_task(self._status.ending.wait())
        watching = asyncio.create_task(self._watch.watch_start())
        try:
            await asyncio.wait([loading, ending], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([loading], timeout=_CLOSE_SECONDS)
            if not loading.done():
                raise EngineHangs("The engine was still being started.")
            loading.result()
        finally:
            await cancel_all(loading, ending, watching)

    async def close(self) -> bool:
        """Close the engine. Return False if it has not ended in time."""
        seconds = _LEAST_CLOSE_SECONDS if self._status.hangs else _CLOSE_SECONDS
        try:
            async with asyncio.timeout(1.5 * seconds):
                await in_thread(self._engine.close, seconds)
        except TimeoutError:
            return False
        return not self._engine.stats().at_work
