"""The limits in force: as the settings say, or as an operator has changed them.

Changed ones are in the database, for all processes and over restarts. Each process reads them at
most once a second. What is decided by them is decided by the waiting list, in one script.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.record import limits
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import AdmissionLimits

logger = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
"""Age from which what was read is read again, while it goes on to be used."""

_STALE_SECONDS = 2.0
"""Age from which whoever asks waits until it is read."""

_PATIENCE_SECONDS = 2.0
"""Seconds that whoever asks waits at most for a database that is slow or away."""


class LimitsInForce:
    """What this process has read of the limits that operators have changed."""

    _of_layer: WeakKeyDictionary[BaseChannelLayer, LimitsInForce] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._changed: Mapping[str, int] = {}
        self._readings: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Future[None]] = (
            WeakKeyDictionary()
        )
        self._fault: type[Exception] | None = None
        self.forget()

    @classmethod
    def here(cls, layer: BaseChannelLayer) -> LimitsInForce:
        """Return the limits of whoever uses a layer in this process."""
        return cls._of_layer.setdefault(layer, cls())

    def forget(self) -> None:
        """Have the next who asks wait for what the database says: something was changed here."""
        self._read_at = self._tried_at = float("-inf")

    async def changed(self) -> Mapping[str, int]:
        """Return the limits that operators have changed, as the last reading found them.

        One of those who ask reads, and the others wait for it only while what is known is old. A
        database that does not answer changes nothing: what was read before holds on.
        """
        if time.monotonic() - self._tried_at >= FRESH_SECONDS:
            reading = self._readings.get(asyncio.get_running_loop())
            if reading is None:
                await self._read_for_all()
            elif time.monotonic() - self._read_at >= _STALE_SECONDS:
                await asyncio.wait([reading], timeout=_PATIENCE_SECONDS)
        return self._changed

    async def admission(self) -> AdmissionLimits:
        """Return the bounds for a prompt that asks for a place now."""
        values, settings = await self.changed(), conf.get()
        return AdmissionLimits(
            values.get("max_waiting", settings.max_waiting),
            values.get("max_per_owner", settings.max_per_owner),
            values.get("max_per_address", settings.max_per_address),
        )

    async def _read_for_all(self) -> None:
        """Read, in whoever's context asks: of a page, the thread of its request is the one that is
        free for it."""
        loop = asyncio.get_running_loop()
        reading = self._readings[loop] = loop.create_future()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._read()
        except TimeoutError:
            self._tried_at = time.monotonic()
        finally:
            del self._readings[loop]
            reading.set_result(None)

    async def _read(self) -> None:
        begun = time.monotonic()
        try:
            rows = await limits.read_all()
        except Exception as error:
            if type(error) is not self._fault:  # once, however long it lasts
                log_fault(logger, error, "The limits that operators have changed are not known.")
            self._fault = type(error)
            self._tried_at = time.monotonic()
            return
        self._fault = None
        values = {name: row.value for name, row in rows.items()}
        self._changed = {name: value for name, value in values.items() if _fits(name, value)}
        self._read_at = self._tried_at = begun


def _fits(name: str, value: int) -> bool:
    """Whether a value is one that this version's setting may have; another version wrote it."""
    least, most = conf.bounds(name)
    return least <= value <= most
