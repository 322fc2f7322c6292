"""What operators order: another place for a response that waits, another capacity for a worker."""

from __future__ import annotations

from collections.abc import Sequence

from channels.layers import BaseChannelLayer

from streaming.lifecycle import recovery
from streaming.waiting_list.interface import WORKERS_GROUP, Edge


async def move(layer: BaseChannelLayer, moves: Sequence[tuple[str, Edge | str]]) -> list[str]:
    """Move waiting responses one after the other, each to an edge or before the response of an id,
    as `WaitingList.move` and `move_before`. Return the ids of those that were moved; then the
    record knows where all stand, too."""
    moved = []
    for response_id, to in moves:
        if isinstance(to, Edge):
            is_moved = await layer.waiting_list.move(response_id, to)
        else:
            is_moved = await layer.waiting_list.move_before(response_id, to)
        if is_moved:
            moved.append(response_id)
    if moved:
        await recovery.keep_slots(layer.waiting_list)
    return moved


async def order_worker(
    layer: BaseChannelLayer,
    worker_id: str,
    *,
    capacity: int | None = None,
    drain: bool | None = None,
) -> bool:
    """Order a worker, as `WaitingList.order`; the worker hears of it now, not at its next beat."""
    known: bool = await layer.waiting_list.order(worker_id, capacity=capacity, drain=drain)
    if known:
        message = {"type": "worker.orders", "worker_id": worker_id}
        await layer.group_send(WORKERS_GROUP, message)
    return known
