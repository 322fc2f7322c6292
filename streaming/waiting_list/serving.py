"""The model that answers, as workers describe it in their heartbeats."""

from __future__ import annotations

from typing import Any

from channels.layers import BaseChannelLayer


async def model_details(layer: BaseChannelLayer) -> dict[str, Any]:
    """Return the details of the first worker that has loaded a model; empty before."""
    workers = await layer.waiting_list.workers()
    details = (worker.details for worker in workers if worker.details.get("model"))
    return next(details, {})
