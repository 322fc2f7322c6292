"""Pages of a conversation's items, read turn by turn from where a page begins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from streaming.api.conversations.resources import ItemList
from streaming.api.errors import ApiError
from streaming.api.responses import refusals
from streaming.api.responses.items import items_of
from streaming.api.responses.references import turn_key
from streaming.protocol.items import Item
from streaming.record import context, conversation_items

_TURNS_AT_ONCE = 100


async def page(
    conversation_id: UUID | None, owner: str, *, after: str | None, limit: int, order: str
) -> ItemList:
    """Return at most `limit` items, the newest first for the order `desc`, those behind the item
    `after`. Raises RecordError, and ApiError for an item that is not there."""
    keys = await conversation_items.path(conversation_id, owner)
    if order == "asc":
        keys = keys[::-1]
    if after is not None:
        at = await _turn_of(after, owner)
        if at is None or at not in keys:
            raise _not_after(after)
        keys = keys[keys.index(at) :]
    found: list[Item] = []
    is_behind = after is None
    async for item in _items(keys, newest_first=order == "desc"):
        if is_behind:
            found.append(item)
        is_behind = is_behind or item.id == after
        if len(found) > limit:
            break
    if not is_behind:
        raise _not_after(after or "")
    return ItemList.of(found[:limit], has_more=len(found) > limit)


async def item_of(conversation_id: UUID | None, owner: str, item_id: str) -> tuple[UUID, Item]:
    """Return one item of a conversation, and the key of its turn. Raises RecordError, and ApiError
    if it is not there."""
    keys = await conversation_items.path(conversation_id, owner)
    at = await _turn_of(item_id, owner)
    for turn in await context.turns([at] if at and at in keys else []):
        for item in items_of(*turn):
            if item.id == item_id:
                return turn.message.pk, item
    raise refusals.item_not_found(item_id, "item_id")


async def _turn_of(item_id: str, owner: str) -> UUID | None:
    """Return the key of the turn that an item's id names; None if it can name none."""
    key = turn_key(item_id)
    return key and (await conversation_items.turn_of_response(key, owner) or key)


async def _items(keys: Sequence[UUID], *, newest_first: bool) -> AsyncIterator[Item]:
    for begin in range(0, len(keys), _TURNS_AT_ONCE):
        for turn in await context.turns(keys[begin : begin + _TURNS_AT_ONCE]):
            items = items_of(*turn)
            for item in reversed(items) if newest_first else items:
                yield item


def _not_after(item_id: str) -> ApiError:
    text = f"There is no item with the id {item_id[:100]!r} among these."
    return ApiError(400, "invalid_value", text, "after")
