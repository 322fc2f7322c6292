"""The poll of the queue that all operators' sockets of a process share."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer

from streaming.live_queue.frames import SnapshotVersions, VersionedSnapshot, samples_frame
from streaming.live_queue.overview import LiveQueue
from streaming.live_queue.pages import Pages
from streaming.system.outages import log_fault
from streaming.waiting_list import samples
from streaming.waiting_list.interface import SAMPLES_KEPT
from streaming.waiting_list.samples import SAMPLE_SECONDS, Sample

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5

WHOLE_SECONDS = 10.0
"""Everything is sent again this often, so that ages and waits agree again."""

_SAMPLES_POLL_SECONDS = SAMPLE_SECONDS / 4

_SAMPLES_PER_POLL = 12
"""More than can be new at one poll, unless the layer was away."""


class RecentSamples:
    """The samples of the last hour, and those of them that a watcher has not been sent."""

    def __init__(self) -> None:
        self._samples: list[Sample] | None = None
        self._beginning = 0  # changes when the samples are not those before with more appended
        self._count = 0  # since the beginning

    async def follow(self, waiting_list: Any, *, reload: bool = False) -> bool:
        """Read new samples; return whether there were any. `reload`: read all again."""
        if self._samples and not reload:
            latest = await samples.read(waiting_list, _SAMPLES_PER_POLL)
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

    @property
    def mark(self) -> tuple[int, int]:
        """Return what differs when there are other samples than before."""
        return self._beginning, self._count

    def frame(self, seen: tuple[int, int] | None) -> tuple[str | None, tuple[int, int] | None]:
        """Return a `queue.samples` with the samples after `seen`, which is None at first, and what
        is seen with it; no frame if there is nothing new."""
        if self._samples is None:
            return None, seen
        now = self.mark
        if now == seen:
            return None, seen
        whole = seen is None or seen[0] != self._beginning
        new = self._samples
        if seen is not None and not whole:
            new = self._samples[max(0, len(self._samples) - (self._count - seen[1])) :]
        return samples_frame([samples.outline(sample) for sample in new], whole=whole), now


class QueueWatch:
    """Polls one layer's queue while there are watchers.

    `snapshot` is the newest one, None before the first poll and while the layer is away. `pages`
    has the same for those who watch on the page, each in a language.
    """

    interval = POLL_SECONDS
    whole_seconds = WHOLE_SECONDS

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, QueueWatch] = WeakKeyDictionary()

    def __init__(self, layer: BaseChannelLayer) -> None:
        self.snapshot: VersionedSnapshot | None = None
        self.history = RecentSamples()
        self.pages = Pages()
        self.polled = asyncio.Event()
        self._layer = layer
        self._holder = f"web:{uuid4().hex}"
        self._queue = LiveQueue(layer.waiting_list)
        self._versions = SnapshotVersions()
        self._watchers: dict[object, str] = {}  # with the language of each that is a page
        self._task: asyncio.Task[None] | None = None
        self._fault: type[Exception] | None = None
        self._whole_at = self._sample_at = self._samples_at = float("-inf")

    @classmethod
    def here(cls, layer: BaseChannelLayer) -> QueueWatch:
        """Return the running loop's watch of a layer."""
        loop = asyncio.get_running_loop()
        watch = cls._of_loop.get(loop)
        if watch is None or watch._layer is not layer:
            watch = cls._of_loop[loop] = cls(layer)
        return watch

    def __len__(self) -> int:
        return len(self._watchers)

    def enter(self, watcher: object, language: str = "") -> None:
        """Poll for one more watcher; with a language it is a page. Each poll sets `polled` and puts
        a new event there: a watcher takes the event first, then reads, then waits for it."""
        self._watchers[watcher] = language
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._poll_loop())

    def leave(self, watcher: object) -> None:
        """Remove a watcher; the last one to leave stops the polling and clears what was read."""
        self._watchers.pop(watcher, None)
        if not self._watchers and self._task:
            self._task.cancel()
            self._task = None
            # The next watcher must not be sent an old snapshot, nor hear of an old outage.
            self.snapshot = self._fault = None
            self.history = RecentSamples()
            self.pages = Pages()
            self._whole_at = self._samples_at = float("-inf")

    async def _poll_loop(self) -> None:
        while True:
            try:
                await self._poll()
            except Exception as error:
                self.snapshot = None
                self.pages.forget()
                if type(error) is not self._fault:  # once, however long it lasts
                    log_fault(logger, error, "The queue could not be read; trying again.")
                self._fault = type(error)
            else:
                if self._fault:
                    logger.info("The queue can be read again.")
                self._fault = None
                self.polled.set()
                self.polled = asyncio.Event()
            await asyncio.sleep(self.interval)

    async def _poll(self) -> None:
        parts = await self._queue.look()
        await self._follow_samples()
        now = time.monotonic()
        whole = bool(self._fault) or now - self._whole_at >= self.whole_seconds
        if whole:
            self._whole_at = now
        self.snapshot = self._versions.next(parts, now, whole=whole)
        if languages := {language for language in self._watchers.values() if language}:
            self.pages.follow(parts, now)
            await asyncio.to_thread(self.pages.make, parts, time.time(), languages)

    async def _follow_samples(self) -> None:
        """Take a sample if no worker does, and read those that are new."""
        now = time.monotonic()
        if now - self._sample_at >= SAMPLE_SECONDS:
            self._sample_at = now
            await samples.take_in_turn(self._layer.waiting_list, self._holder)
        if self._fault or now - self._samples_at >= _SAMPLES_POLL_SECONDS:
            self._samples_at = now
            await self.history.follow(self._layer.waiting_list, reload=bool(self._fault))
