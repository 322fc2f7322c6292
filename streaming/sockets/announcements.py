"""What all users are told now, read once for all sockets of a process."""

from __future__ import annotations

import logging
import time
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer

from streaming.protocol.server_events import Announcement
from streaming.record import announcements
from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

FRESH_SECONDS = 1.0


class CurrentAnnouncement:
    """The announcement of now, read at most once a second."""

    _of_layer: WeakKeyDictionary[BaseChannelLayer, CurrentAnnouncement] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._known: Announcement | None = None
        self._read_at = float("-inf")
        self._fault: type[Exception] | None = None

    @classmethod
    def here(cls, layer: BaseChannelLayer) -> CurrentAnnouncement:
        """Return what the clients of this process are told who use a layer."""
        return cls._of_layer.setdefault(layer, cls())

    async def get(self) -> Announcement | None:
        """Return what all users are told now, None for nothing.

        A database that does not answer changes nothing: what was known before goes on.
        """
        if time.monotonic() - self._read_at < FRESH_SECONDS:
            return self._known
        self._read_at = time.monotonic()  # a crowd that is greeted together does not read it, too
        try:
            row = await announcements.current()
        except Exception as error:
            if type(error) is not self._fault:  # once, however long it lasts
                log_fault(logger, error, "What all users are told could not be read.")
            self._fault = type(error)
            return self._known
        self._fault = None
        read = row and Announcement(id=row.pk, text=row.text, level=row.level, ends_at=row.ends_at)
        if read != self._known:  # the same object else, which thousands of sockets compare quickly
            self._known = read
        return self._known
