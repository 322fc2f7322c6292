"""The turns that the items of a client are which is building a conversation of them."""

from __future__ import annotations

from collections.abc import Sequence

from channels.layers import get_channel_layer

from streaming.api.errors import ApiError
from streaming.api.responses.creating import asking_of
from streaming.api.responses.turns import turns_of
from streaming.engine.base import ChatMessage
from streaming.protocol.request_items import ItemReference, SentItem
from streaming.record.tasks import Requester


async def turns_sent(items: Sequence[SentItem], requester: Requester) -> tuple[ChatMessage, ...]:
    """Return the turns that items stand for; files in them are stored. Raises ApiError, which names
    the item, for what is too long, or what the model that answers here does not take."""
    for number, item in enumerate(items):
        if isinstance(item, ItemReference):
            text = "The items of a conversation are sent whole, not by reference."
            raise ApiError(400, "unsupported_value", text, f"items.{number}.type")
    try:
        return await turns_of(items, await asking_of(get_channel_layer(), requester))
    except ApiError as error:
        param = error.param and error.param.replace("input", "items", 1)
        raise ApiError(error.status, error.code, error.message, param) from None
