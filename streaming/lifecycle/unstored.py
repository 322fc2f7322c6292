"""Deletes responses that are not to be stored, where the process that answered them died first."""

from __future__ import annotations

import time
from datetime import timedelta

from channels.layers import BaseChannelLayer
from django.utils import timezone

from streaming.lifecycle import forgetting
from streaming.record import responses

KEPT = timedelta(minutes=65)
"""Longer than a socket lives that may go on with one."""

_LOOK_SECONDS = 300.0
_SEEN = timedelta(days=2)
"""The first look of a process finds older ones, too."""

_AT_ONCE = 200


class Unstored:
    """What one process does about it, every few minutes."""

    def __init__(self, layer: BaseChannelLayer) -> None:
        self._layer = layer
        self._next_look = 0.0
        self._found_older = False

    async def go_on(self) -> None:
        """Delete what is left over, if it is time to look."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        now = timezone.now()
        since = now - _SEEN if self._found_older else None
        found = await responses.unstored(since, now - KEPT, _AT_ONCE)
        for response_id in found:
            await forgetting.forget_response(self._layer, str(response_id))
        if len(found) < _AT_ONCE:
            self._found_older = True
        else:
            self._next_look = 0.0
