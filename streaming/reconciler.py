"""Puts the record and the waiting list in agreement.

What the record holds open and the list has lost goes back into the list; what the record has
ended and the list still holds is taken out. Both are idempotent, so several processes may do
it at once: `upkeep` elects one of them to save work, not for safety.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from channels.layers import BaseChannelLayer
from django.utils import timezone

from streaming import record, responses
from streaming.models import Response, Status
from streaming.protocol import ErrorDetail, ProtocolError

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 10.0
_ROWS = 500


async def reconcile(layer: BaseChannelLayer) -> None:
    """One pass."""
    await _put_back(layer)
    await _take_out(layer)


async def _put_back(layer: BaseChannelLayer) -> None:
    # A young `accepting` row is on its way into the list, and may yet be refused.
    rows = await record.open_rows(timezone.now() - timedelta(seconds=INTERVAL_SECONDS), _ROWS)
    known = await layer.waiting_list.known([str(row.pk) for row in rows])
    accepted: list[UUID] = []
    for row in rows:
        if str(row.pk) not in known:
            if not await _admit(layer, row):
                continue
            logger.warning("Response %s was lost by the waiting list and put back.", row.pk)
        if row.status == Status.ACCEPTING:
            accepted.append(row.pk)
    if accepted:
        await record.mark_queued(accepted)
    if rows:
        await responses.ring(layer)


async def _admit(layer: BaseChannelLayer, row: Response) -> bool:
    """Whether a row that the list does not know has a place now."""
    if row.status != Status.ACCEPTING:
        return await responses.readmit(layer, str(row.pk)) is not None  # else it has ended since
    try:
        # Nobody was told yet that it is accepted: the bounds hold for it.
        await responses.enqueue(layer, row, created=False)
    except ProtocolError as refused:
        error = ErrorDetail(code=refused.code, message=refused.message)
        await record.end_waiting(row.pk, Status.FAILED, error)
        return False
    return True


async def _take_out(layer: BaseChannelLayer) -> None:
    snapshot = await layer.waiting_list.snapshot()
    held = [entry.response_id for entry in (*snapshot.running, *snapshot.waiting)]
    for response_id in await record.ended(held):
        await responses.withdraw_ended(layer, response_id)
