"""From references to items that the server keeps to the items themselves."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from pydantic import TypeAdapter

from streaming.api.responses import refusals
from streaming.api.responses.items import items_of
from streaming.protocol import ids
from streaming.protocol.request_items import ItemReference, SentItem
from streaming.record import context

_sent: TypeAdapter[SentItem] = TypeAdapter(SentItem)

_KINDS = (
    ids.MESSAGE,
    ids.REASONING,
    ids.FUNCTION_CALL,
    ids.FUNCTION_CALL_OUTPUT,
    ids.COMPACTION,
)


async def resolved(
    given: str | Sequence[SentItem] | None, owner: str
) -> str | list[SentItem] | None:
    """Return an `input` with items in the place of references. Raises ApiError 404 for one that
    names no item of the owner's."""
    if given is None or isinstance(given, str):
        return given
    names = {item.id: turn_key(item.id) for item in given if isinstance(item, ItemReference)}
    if not names:
        return list(given)
    turns = await context.own_turns([key for key in names.values() if key], owner)
    items: list[SentItem] = []
    for number, item in enumerate(given):
        if not isinstance(item, ItemReference):
            items.append(item)
            continue
        turn = turns.get(key) if (key := names[item.id]) else None
        kept = items_of(*turn) if turn else []
        found = next((each for each in kept if each.id == item.id), None)
        if found is None:
            raise refusals.item_not_found(item.id, f"input.{number}.id")
        items.append(_sent.validate_python(found.model_dump(mode="json")))
    return items


def turn_key(name: str) -> UUID | None:
    """Return the key of the turn, or of the response, that an item's id names; None for another
    word."""
    if place := ids.item_place(name):
        return place[0]
    keys = (ids.key_of(name, kind) for kind in _KINDS if name.startswith(f"{kind}_"))
    return next((key for key in keys if key), None)
