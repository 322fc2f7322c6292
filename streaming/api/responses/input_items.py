"""The items that a response was asked over, page by page."""

from __future__ import annotations

from typing import Any, Literal

from streaming.api.errors import ApiError
from streaming.api.responses.items import items_of
from streaming.api.responses.references import turn_key
from streaming.models import Response
from streaming.protocol.items import Item
from streaming.record import context

Order = Literal["asc", "desc"]


async def page(row: Response, *, limit: int, order: Order, after: str | None) -> dict[str, Any]:
    """Return up to `limit` items of a response's input, those that it follows among them, as
    OpenAI's lists are; `after` is the id of the item before them. Raises ApiError for another."""
    keys = await context.keys_before(row)
    if order == "asc":
        keys.reverse()
    begin = 0
    if after is not None:
        begin = await _place_of(after, keys)
    found: list[Item] = []
    is_behind = after is None
    at = begin
    while at < len(keys) and len(found) <= limit:
        for turn in await context.turns(keys[at : at + limit + 1]):
            items = items_of(*turn)
            for item in items if order == "asc" else reversed(items):
                if is_behind:
                    found.append(item)
                is_behind = is_behind or item.id == after
        at += limit + 1
    if not is_behind:
        raise _not_after(after or "")
    shown = [item.model_dump(mode="json") for item in found[:limit]]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(found) > limit,
    }


async def _place_of(after: str, keys: list[Any]) -> int:
    """Return the number of the turn that an item belongs to."""
    key = turn_key(after)
    if key in keys:
        return keys.index(key)
    for at in range(0, len(keys), 200) if key else ():  # it is named by the response that said it
        for number, turn in enumerate(await context.turns(keys[at : at + 200])):
            if turn.response is not None and turn.response.pk == key:
                return at + number
    raise _not_after(after)


def _not_after(after: str) -> ApiError:
    text = f"There is no item with the id {after[:100]!r} among these."
    return ApiError(400, "invalid_value", text, "after")
