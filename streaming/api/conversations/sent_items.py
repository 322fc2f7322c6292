"""The turns that the items of a client are which is building a conversation of them."""

from __future__ import annotations

from collections.abc import Sequence

from channels.layers import get_channel_layer

from streaming.api.errors import ApiError
from streaming.api.responses.contents import Abilities
from streaming.api.responses.turns import turns_of
from streaming.engine.base import ChatMessage
from streaming.protocol.request_items import ItemReference, SentItem
from streaming.waiting_list.serving import model_details


async def turns_sent(items: Sequence[SentItem], owner: str) -> tuple[ChatMessage, ...]:
    """Return the turns that items stand for. Raises ApiError, which names the item, for what is too
    long, or what the model that answers here does not take, if that is known already."""
    for number, item in enumerate(items):
        if isinstance(item, ItemReference):
            text = "The items of a conversation are sent whole, not by reference."
            raise ApiError(400, "unsupported_value", text, f"items.{number}.type")
    details = await model_details(get_channel_layer())
    images, tools = (bool(details.get(f"takes_{what}", True)) for what in ("images", "tools"))
    try:
        return turns_of(items, owner, Abilities(images, tools))
    except ApiError as error:
        param = error.param and error.param.replace("input", "items", 1)
        raise ApiError(error.status, error.code, error.message, param) from None
