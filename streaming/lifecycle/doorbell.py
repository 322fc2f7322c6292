"""The doorbell: it tells idle workers that something waits."""

from __future__ import annotations

import contextlib

from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer

DOORBELL = "generation"
"""The named channel that says "something waits"."""


async def ring(layer: BaseChannelLayer) -> None:
    """Ring; a bell that nobody hears is no loss, since the workers also look by themselves."""
    with contextlib.suppress(ChannelFull):
        await layer.send(DOORBELL, {"type": "claim"})
