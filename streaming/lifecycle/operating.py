"""What operators order: another place for a response that waits, another capacity for a worker."""

from __future__ import annotations

from channels.layers import BaseChannelLayer

from streaming.lifecycle import recovery
from streaming.waiting_list.interface import WORKERS_GROUP, Edge


async def move(layer: BaseChannelLayer, response_id: str, edge: Edge) -> bool:
    """Move a waiting response, as `WaitingList.move`; when this returns, the record knows, too."""
    moved: bool = await layer.waiting_list.move(response_id, edge)
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
