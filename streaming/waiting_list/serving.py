"""What the workers say of the model that answers."""

from __future__ import annotations

from typing import Any

from channels.layers import BaseChannelLayer


async def model_details(layer: BaseChannelLayer) -> dict[str, Any]:
    """As the first worker describes it that has loaded one; empty before."""
    workers = await layer.waiting_list.workers()
    details = (worker.details for worker in workers if worker.details.get("model"))
    return next(details, {})
