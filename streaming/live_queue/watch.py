"""One look at the queue for all the operators' sockets of a process, as long as there are any."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer

from streaming.live_queue.frames import Moment, Moments, samples_frame
from streaming.live_queue.overview import LiveQueue
from streaming.system.outages import log_fault
from streaming.waiting_list import samples
from streaming.waiting_list.base import SAMPLES_KEPT
from streaming.waiting_list.samples import SAMPLE_SECONDS, Sample

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5

WHOLE_SECONDS = 10.0
"""So often everything is told, that ages and waits agree again."""

_SAMPLES_LOOK_SECONDS = SAMPLE_SECONDS / 4

_SAMPLES_PER_LOOK = 12
"""More than can be new at one look, unless the layer was away."""


class History:
    """The samples of the last hour, and which of them a watcher has not seen."""

    def __init__(self) -> None:
        self._samples: list[Sample] | None = None
        self._beginning = 0  # another one whenever the samples are not those before and more
        self._count = 0  # since the beginning

    async def follow(self, waiting_list: Any, *, reload: bool = False) -> bool:
        """Read what is new; whether anything was."""
        if self._samples and not reload:
            latest = await samples.read(waiting_list, _SAMPLES_PER_LOOK)
            if self._samples[-1] in latest:
                new = latest[latest.index(self._samples[-1]) + 1 :]
                self._samples = (self._samples + new)[-SAMPLES_KEPT:]
                self._count += len(new)
                return bool(new)
        found = await samples.read(waiting_list)
        if found == self._samples:
            return False
        self._samples, self._count = found, len(found)
        self._beginning += 1
        return True

    def frame(self, seen: tuple[int, int] | None) -> tuple[str | None, tuple[int, int] | None]:
        """A `queue.samples` for whom `seen` was the last, None at first, and what is seen then;
        no frame if there is nothing to tell."""
        if self._samples is None:
            return None, seen
        now = self._beginning, self._count
        if now == seen:
            return None, seen
        whole = seen is None or seen[0] != self._beginning
        new = self._samples
        if seen is not None and not whole:
            new = self._samples[max(0, len(self._samples) - (self._count - seen[1])) :]
        return samples_frame([samples.outline(sample) for sample in new], whole=whole), now


class QueueWatch:
    """`moment` is the newest look, None before the first and while the layer is away."""

    interval = LOOK_SECONDS
    whole_seconds = WHOLE_SECONDS

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, QueueWatch] = WeakKeyDictionary()

    def __init__(self, layer: BaseChannelLayer) -> None:
        self.moment: Moment | None = None
        self.history = History()
        self.news = asyncio.Event()
        self._layer = layer
        self._holder = f"web:{uuid4().hex}"
        self._queue = LiveQueue(layer.waiting_list)
        self._moments = Moments()
        self._watchers: set[object] = set()
        self._task: asyncio.Task[None] | None = None
        self._fault: type[Exception] | None = None
        self._whole_at = self._sample_at = self._samples_at = float("-inf")

    @classmethod
    def here(cls, layer: BaseChannelLayer) -> QueueWatch:
        """The running loop's watch of a layer."""
        loop = asyncio.get_running_loop()
        watch = cls._of_loop.get(loop)
        if watch is None or watch._layer is not layer:
            watch = cls._of_loop[loop] = cls(layer)
        return watch

    def __len__(self) -> int:
        return len(self._watchers)

    def enter(self, watcher: object) -> None:
        """Watch on behalf of one more. Each look ends a wait for `news`; take the event first,
        then what is there."""
        self._watchers.add(watcher)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._look_on())

    def leave(self, watcher: object) -> None:
        """Remove a watcher; the last one to leave stops the polling and clears what was read."""
        self._watchers.discard(watcher)
        if not self._watchers and self._task:
            self._task.cancel()
            self._task = None
            # Whoever comes next must not be told what was, nor what an outage began.
            self.moment = self._fault = None
            self.history = History()
            self._whole_at = self._samples_at = float("-inf")

    async def _look_on(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as error:
                self.moment = None
                if type(error) is not self._fault:  # once, however long it lasts
                    log_fault(logger, error, "The queue could not be read; trying again.")
                self._fault = type(error)
            else:
                if self._fault:
                    logger.info("The queue can be read again.")
                self._fault = None
                self.news.set()
                self.news = asyncio.Event()
            await asyncio.sleep(self.interval)

    async def _look(self) -> None:
        look = await self._queue.look()
        await self._follow_samples()
        now = time.monotonic()
        whole = bool(self._fault) or now - self._whole_at >= self.whole_seconds
        if whole:
            self._whole_at = now
        self.moment = self._moments.next(look, now, whole=whole)

    async def _follow_samples(self) -> None:
        """Take one if no worker does, and see what is new."""
        now = time.monotonic()
        if now - self._sample_at >= SAMPLE_SECONDS:
            self._sample_at = now
            await samples.take_in_turn(self._layer.waiting_list, self._holder)
        if self._fault or now - self._samples_at >= _SAMPLES_LOOK_SECONDS:
            self._samples_at = now
            await self.history.follow(self._layer.waiting_list, reload=bool(self._fault))
