"""Titles by the model, through the queue, and in nobody's way.

One is asked for only where nobody waits and a second place is free, which the waiting list checks
in the script that gives the place: whoever asks next begins at once. Who is to have one is looked
for in the record, again and again: what a process that died has left is taken up by the next.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from uuid import UUID

from channels.layers import BaseChannelLayer

from streaming.lifecycle import accepting, list_lock
from streaming.lifecycle.params import resolve
from streaming.protocol.sampling_params import Params
from streaming.protocol.thinking_params import ThinkingParams
from streaming.record import titles
from streaming.waiting_list.interface import AdmissionLimits, WaitingListError

logger = logging.getLogger(__name__)

SPARE = AdmissionLimits(max_waiting=-1, max_per_owner=1)
"""A place is given only where another one is left, and to one title at a time."""

_TOKENS = 24
_REMEMBERED = 1_000


class Titling:
    """What one process has asked for already: a title that did not come is not asked for again."""

    def __init__(self, layer: BaseChannelLayer) -> None:
        self._layer = layer
        self._asked: OrderedDict[UUID, None] = OrderedDict()

    async def go_on(self) -> bool:
        """Take up the titles that have come, and ask for one if there is room; return whether one
        was asked for."""
        await titles.take_up()
        if not await self._has_room():
            return False
        row = await titles.next_untitled(self._asked)
        if row is None:
            return False
        params = resolve(
            Params(max_tokens=_TOKENS, temperature=0.0),
            {},
            thinking=ThinkingParams(reasoning_effort="none"),
        )
        asking = await titles.write(row, params)
        if asking is None:
            return False
        try:
            await accepting.accept_own(self._layer, asking, SPARE)
        except WaitingListError as error:
            logger.debug("No place for a title: %s", error)
            return False
        self._remember(row.conversation_id)
        return True

    async def _has_room(self) -> bool:
        """Whether it is worth asking; the list itself decides."""
        if list_lock.refusal(self._layer):
            return False
        load = await self._layer.waiting_list.load()
        return not load.waiting and len(load.running) + 1 < sum(load.capacities.values())

    def _remember(self, conversation_id: UUID) -> None:
        self._asked[conversation_id] = None
        if len(self._asked) > _REMEMBERED:
            self._asked.popitem(last=False)
