"""From the turns of the record to the items that they came as."""

from __future__ import annotations

from itertools import count
from typing import Any

from pydantic import TypeAdapter

from streaming.api.responses.turns import COMPACTION
from streaming.lifecycle.items import items_of_row, output_items
from streaming.models import Message, Response, Status
from streaming.protocol import ids
from streaming.protocol.items import (
    CompactionItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputText,
    Item,
    MessageItem,
    OutputText,
    Part,
    ReasoningItem,
    ReasoningText,
    Refusal,
)
from streaming.record.output import Output

_parts: TypeAdapter[list[Part]] = TypeAdapter(list[Part])


def items_of(message: Message, response: Response | None = None) -> list[Item]:
    """Return the items that a turn stands for, oldest first, without those that were taken out of
    it; `response`: whose answer it is."""
    fields = message.fields or {}
    if COMPACTION in fields:
        return _compaction(message, fields[COMPACTION])
    if response is not None:
        return [item for _, item in numbered_items(message, response)]
    if message.role == Message.Role.ASSISTANT:
        return _answer(message, fields)
    if message.role == Message.Role.TOOL:
        return [_result(message, fields)]
    role = "developer" if fields.get("author") == "developer" else message.role
    content = _parts_of(message) or [InputText(text=message.content)]
    item = {"id": _id(ids.MESSAGE, message), "status": "completed", "role": role}
    return [MessageItem.model_validate({**item, "content": content})]


def numbered_items(message: Message, response: Response) -> list[tuple[int, Item]]:
    """Return the items of an answer with their numbers, without those that were taken out. One that
    goes on with another answer has the text of both."""
    items = items_of_row(response)
    if response.continues_id:
        output = Output(message.content, message.reasoning, passed=response.passed or {})
        is_whole = response.status == Status.COMPLETED
        items = output_items(response.pk, output, "completed" if is_whole else "incomplete")
    removed = message.removed or ()
    return [(number, item) for number, item in enumerate(items) if number not in removed]


def numbered_calls(message: Message) -> list[tuple[int, dict[str, Any]]]:
    """Return the calls of a client's turn with their numbers, which stay the same when others are
    taken out."""
    removed = message.removed or ()
    numbers = (number for number in count() if number not in removed)
    return list(zip(numbers, (message.fields or {}).get("tool_calls", ()), strict=False))


def _compaction(message: Message, sealed: str) -> list[Item]:
    """One item stands for several turns, the first of which has it."""
    if not sealed:
        return []
    return [CompactionItem(id=_id(ids.COMPACTION, message), encrypted_content=sealed)]


def _answer(message: Message, fields: dict[str, Any]) -> list[Item]:
    found: list[Item] = []
    if message.reasoning:
        thought = ReasoningText(text=message.reasoning)
        key = _id(ids.REASONING, message)
        found.append(ReasoningItem(id=key, status="completed", content=[thought]))
    calls, refusal = fields.get("tool_calls", ()), fields.get("refusal")
    said: list[Part] = [OutputText(text=message.content)] if message.content else []
    said += [Refusal(refusal=refusal)] if refusal else []
    if not (said or calls or message.reasoning or message.removed):
        said = [OutputText(text="")]
    if said:
        found.append(
            MessageItem(
                id=_id(ids.MESSAGE, message),
                status="completed",
                role="assistant",
                content=said,
                phase=fields.get("phase"),
            )
        )
    for number, call in numbered_calls(message):
        function = call["function"]
        found.append(
            FunctionCallItem(
                id=f"{_id(ids.FUNCTION_CALL, message)}_{number}",
                call_id=str(call["id"]),
                name=function.get("name", ""),
                arguments=function.get("arguments", ""),
                status="completed",
            )
        )
    return found


def _result(message: Message, fields: dict[str, Any]) -> Item:
    return FunctionCallOutputItem(
        id=_id(ids.FUNCTION_CALL_OUTPUT, message),
        call_id=str(fields.get("tool_call_id", "")),
        output=_parts_of(message) or message.content,
        status="completed",
    )


def _parts_of(message: Message) -> list[Part]:
    return _parts.validate_python(message.parts or [])


def _id(kind: str, message: Message) -> str:
    return ids.wire_id(kind, message.pk)
