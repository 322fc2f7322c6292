"""What is left of a turn when one of its items is taken out of a conversation."""

from __future__ import annotations

from typing import Any

from streaming.api.responses.items import items_of, numbered_calls, numbered_items
from streaming.models import Message
from streaming.protocol import ids
from streaming.protocol.items import (
    FunctionCallItem,
    Item,
    MessageItem,
    OutputText,
    Part,
    ReasoningItem,
    Refusal,
)
from streaming.record.context import Turn


def left_without(turn: Turn, item_id: str) -> dict[str, Any] | None:
    """Return the columns of a turn without one of its items: empty if nothing would be left, None
    if it has no such item."""
    message = turn.message
    items = items_of(*turn)
    kept = [item for item in items if item.id != item_id]
    if len(kept) == len(items):
        return None
    if not kept:
        return {}
    return {
        "content": _text(kept),
        "reasoning": _thought(kept),
        "fields": _fields(message, items, kept),
        "removed": sorted({*(message.removed or ()), *_numbers(turn, item_id)}) or None,
    }


def _numbers(turn: Turn, item_id: str) -> list[int]:
    """Return the number by which `Message.removed` names an item; none for one whose id has no
    number."""
    message, response = turn
    if response is not None:
        numbered = numbered_items(message, response)
        return [number for number, item in numbered if item.id == item_id]
    key = ids.wire_id(ids.FUNCTION_CALL, message.pk)
    return [number for number, _ in numbered_calls(message) if f"{key}_{number}" == item_id]


def _text(items: list[Item]) -> str:
    return "".join(part.text for part in _parts(items) if isinstance(part, OutputText))


def _parts(items: list[Item]) -> list[Part]:
    return [part for item in items if isinstance(item, MessageItem) for part in item.content]


def _thought(items: list[Item]) -> str:
    parts = (part for item in items if isinstance(item, ReasoningItem) for part in item.content)
    return "".join(part.text for part in parts)


def _fields(message: Message, items: list[Item], kept: list[Item]) -> dict[str, Any] | None:
    """Return the fields of a turn of the assistant, with the calls that are left."""
    calls = [item for item in items if isinstance(item, FunctionCallItem)]
    left = {item.id for item in kept}
    fields = dict(message.fields or {})
    if not any(isinstance(part, Refusal) for part in _parts(kept)):
        fields.pop("refusal", None)
    told = zip(fields.pop("tool_calls", ()), calls, strict=True)
    if still := [call for call, item in told if item.id in left]:
        fields["tool_calls"] = still
    return fields or None
