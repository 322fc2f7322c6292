"""The items of a response's output, made of what the record keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from streaming.models import Response, Status
from streaming.protocol import ids
from streaming.protocol.items import (
    FunctionCallItem,
    Item,
    ItemStatus,
    MessageItem,
    OutputText,
    ReasoningItem,
    ReasoningText,
    Refusal,
)
from streaming.record.output import Kind, Output

_PREFIXES: Mapping[Kind, str] = {
    "reasoning": ids.REASONING,
    "message": ids.MESSAGE,
    "refusal": ids.MESSAGE,
    "function_call": ids.FUNCTION_CALL,
}


def items_of_row(row: Response) -> list[Item]:
    """Return the items that a response says. The last one of an answer that was cut is
    `incomplete`."""
    is_whole = row.status not in (Status.INCOMPLETE, Status.CANCELLED, Status.FAILED)
    return output_items(row.pk, Output.of_row(row), "completed" if is_whole else "incomplete")


def output_items(
    response_id: UUID | str, output: Output, last: ItemStatus = "completed"
) -> list[Item]:
    """Return an output's items; `last` is the status of the last one."""
    segments = output.all_segments()
    refusal = output.passed.get("refusal", "")
    calls = {call["index"]: call for call in output.passed.get("tool_calls", ())}
    texts = {"reasoning": output.reasoning, "message": output.text, "refusal": refusal}
    begins = dict.fromkeys(texts, 0)
    items: list[Item] = []
    for number, (kind, size) in enumerate(segments):
        status: ItemStatus = last if number == len(segments) - 1 else "completed"
        if kind == "function_call":
            item: Item = call_item(response_id, number, calls[size], status)
        else:
            begin, begins[kind] = begins[kind], begins[kind] + size
            text = texts[kind][begin : begin + size]
            item = text_item(response_id, number, kind, text, status)
        items.append(item)
    return items


def item_id(response_id: UUID | str, number: int, kind: Kind) -> str:
    """Return the id of the output's item of that number."""
    return ids.wire_id(_PREFIXES[kind], response_id, number)


def text_item(
    response_id: UUID | str, number: int, kind: Kind, text: str | None, status: ItemStatus
) -> MessageItem | ReasoningItem:
    """Return an item of one text; None: it has not begun, and has no part yet."""
    key = item_id(response_id, number, kind)
    if kind == "reasoning":
        thoughts = [] if text is None else [ReasoningText(text=text)]
        return ReasoningItem(id=key, status=status, content=thoughts)
    part = Refusal(refusal=text or "") if kind == "refusal" else OutputText(text=text or "")
    return MessageItem(
        id=key, status=status, role="assistant", content=[] if text is None else [part]
    )


def call_item(
    response_id: UUID | str, number: int, call: Mapping[str, Any], status: ItemStatus
) -> FunctionCallItem:
    """Return the item of a call in OpenAI's Chat form."""
    key = item_id(response_id, number, "function_call")
    return FunctionCallItem(
        id=key,
        call_id=call_id(key, call),
        name=call["function"].get("name", ""),
        arguments=call["function"].get("arguments", ""),
        status=status,
    )


def call_id(key: str, call: Mapping[str, Any]) -> str:
    """Return the id by which a call's result names it: the server's, else one made of `key`."""
    return str(call.get("id") or f"call_{key.partition('_')[2]}")
