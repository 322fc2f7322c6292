"""Puts the record and the waiting list in agreement.

What the record holds open and the list has lost goes back into the list; what the record has
ended and the list still holds is taken out. Both are idempotent, so several processes may do
it at once: `upkeep` elects one of them to save work, not for safety.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

from channels.layers import BaseChannelLayer

from streaming.lifecycle import accepting, doorbell, ending, recovery
from streaming.lifecycle.titling import SPARE
from streaming.models import Response, Status
from streaming.record import lookups, standing, titles
from streaming.record.endings import Ending
from streaming.waiting_list.interface import EntryRow, WaitingListError

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 10.0


async def reconcile(layer: BaseChannelLayer) -> None:
    """Make one pass: first what the list lacks, then what it has too much."""
    await _put_back(layer)
    await _take_out(layer)


async def _put_back(layer: BaseChannelLayer) -> None:
    if not await layer.waiting_list.is_restored():
        await recovery.restore(layer)
    rows = [row async for row in recovery.open_rows()]
    known = await layer.waiting_list.known([str(row.pk) for row in rows])
    lost = [row for row in rows if str(row.pk) not in known and row.status != Status.ACCEPTING]
    if lost and (count := await recovery.put_back(layer.waiting_list, lost)):
        logger.warning("%d responses were lost by the waiting list and put back.", count)
    accepted: list[UUID] = []
    for row in rows:
        if row.status == Status.ACCEPTING and (str(row.pk) in known or await _admit(layer, row)):
            accepted.append(row.pk)
    if accepted:
        await standing.mark_queued(accepted)
    if rows:
        await doorbell.ring(layer)


async def _admit(layer: BaseChannelLayer, row: Response) -> bool:
    """Ask for the place of a row that is still `accepting`, within the bounds; end it if it is
    refused. Return whether it has one."""
    limits = SPARE if row.owner == titles.OWNER else None
    try:
        await accepting.admit(layer, row, limits)
    except WaitingListError as refused:
        failed = Ending.failed(refused.code, str(refused))
        await ending.end(layer, [str(row.pk)], failed, of=ending.WAITING)
        return False
    return True


async def _take_out(layer: BaseChannelLayer) -> None:
    snapshot = await layer.waiting_list.snapshot()
    entries = (*snapshot.running, *snapshot.waiting)
    for response_id in await lookups.ended_ids([entry.response_id for entry in entries]):
        await ending.settle(layer, response_id)
    await _keep_order(entries)


async def _keep_order(entries: Sequence[EntryRow]) -> None:
    """Write where each stands, if whoever gave it its place died before it was written."""
    slots = {UUID(entry.response_id): entry.slot.text for entry in entries if entry.slot}
    if wrong := await standing.other_slots(slots):
        await standing.keep_slots({pk: slots[pk] for pk in wrong})
