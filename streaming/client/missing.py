"""The events that are missing between what was received of an answer and its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streaming.client.growing import GrowingItem, text_of
from streaming.protocol.items import (
    FunctionCallItem,
    Item,
    MessageItem,
    OutputText,
    Part,
    ReasoningItem,
    ReasoningText,
    Refusal,
)
from streaming.protocol.response_events import (
    ENDS,
    ContentPartAdded,
    ContentPartDone,
    FunctionCallArgumentsDelta,
    FunctionCallArgumentsDone,
    Numbered,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
    ReasoningTextDelta,
    ReasoningTextDone,
    RefusalDelta,
    RefusalDone,
    ResponseInProgress,
    TextExtension,
)


def missing_events(
    received: Mapping[int, GrowingItem], end: ENDS, lengths: tuple[int, int]
) -> list[Numbered]:
    """Return what is to be told before `end`, to whoever has the items `received`, by their index.

    `lengths`: code points of text and of thought that were received. If the end says something
    else than what was received, the answer begins anew with a `ResponseInProgress`.
    """
    whole = end.response.output
    items = [growing.item for growing in received.values()]
    # Text of no item that is known here cannot be told from what is missing.
    if lengths == _lengths(items) and _is_beginning(received, whole):
        return list(_Filler(end, *lengths).fill(received))
    began = ResponseInProgress(
        response_id=end.response_id,
        sequence_number=end.sequence_number,
        response=end.response.model_copy(update={"status": "in_progress", "output": []}),
        prompt_tokens=end.response.usage.input_tokens if end.response.usage else 0,
    )
    return [began, *_Filler(end, 0, 0).fill({})]


def _is_beginning(received: Mapping[int, GrowingItem], whole: list[Item]) -> bool:
    """Return whether the items received may become those of the end by what is added at the end
    of the last one: else text would have to be put before other text."""
    if any(index >= len(whole) for index in received):
        return False
    last = max(received, default=-1)
    for index in range(last + 1):
        if index not in received:
            return False
        known, item = received[index], received[index].item
        if (item.type, item.id) != (whole[index].type, whole[index].id):
            return False
        mine, all_of_them = _texts(item), _texts(whole[index])
        is_call = isinstance(item, FunctionCallItem)  # of which several may be written at once
        is_done = known.is_done or (index < last and not is_call)
        if mine != all_of_them if is_done else not _begins(mine, all_of_them, known.done_parts):
            return False
    return True


def _begins(mine: list[tuple[str, str]], whole: list[tuple[str, str]], done: set[int]) -> bool:
    """Return whether texts are the first ones of `whole`, the last of them perhaps a part of it."""
    if not mine:
        return True
    *before, (kind, text) = mine
    last = len(before)
    if last >= len(whole) or before != whole[:last] or kind != whole[last][0]:
        return False
    return whole[last][1] == text if last in done else whole[last][1].startswith(text)


def _lengths(items: list[Item]) -> tuple[int, int]:
    """Return the code points of text and of thought in items."""
    said = [part for item in items for part in _texts(item)]
    text, thought = (
        sum(len(text) for kind, text in said if kind == its_kind)
        for its_kind in ("output_text", "reasoning_text")
    )
    return text, thought


def _texts(item: Item) -> list[tuple[str, str]]:
    """Return what an item says, part by part: its kind and its text."""
    if isinstance(item, FunctionCallItem):
        return [("id", item.call_id), ("call", item.name), ("arguments", item.arguments)]
    if isinstance(item, MessageItem | ReasoningItem):
        return [(part.type, text_of(part)) for part in item.content]
    return []


class _Filler:
    """Makes the events of what is missing; all have the number of the end."""

    def __init__(self, end: ENDS, text_length: int, thought_length: int) -> None:
        self._end = end
        self._identity: dict[str, Any] = {
            "response_id": end.response_id,
            "sequence_number": end.sequence_number,
        }
        self._text_length, self._thought_length = text_length, thought_length

    def fill(self, received: Mapping[int, GrowingItem]) -> Iterator[Numbered]:
        """Yield the events of all items that are not whole."""
        for index, item in enumerate(self._end.response.output):
            known = received.get(index)
            if known and known.is_done:
                continue
            if known is None:
                yield OutputItemAdded(output_index=index, item=_begun(item), **self._identity)
            if isinstance(item, FunctionCallItem):
                yield from self._fill_arguments(index, item, known)
            elif isinstance(item, MessageItem | ReasoningItem):
                for number, part in enumerate(item.content):
                    yield from self._fill_part(index, item.id, number, part, known)
            yield OutputItemDone(output_index=index, item=item, **self._identity)

    def _fill_arguments(
        self, index: int, item: FunctionCallItem, known: GrowingItem | None
    ) -> Iterator[Numbered]:
        place: dict[str, Any] = {"item_id": item.id, "output_index": index, **self._identity}
        before = known.item.arguments if known and isinstance(known.item, FunctionCallItem) else ""
        if rest := item.arguments[len(before) :]:
            yield FunctionCallArgumentsDelta(delta=rest, **place)
        yield FunctionCallArgumentsDone(name=item.name, arguments=item.arguments, **place)

    def _fill_part(
        self, index: int, item_id: str, number: int, part: Part, known: GrowingItem | None
    ) -> Iterator[Numbered]:
        if known and number in known.done_parts:
            return
        place: dict[str, Any] = {
            "item_id": item_id, "output_index": index, "content_index": number, **self._identity
        }  # fmt: skip
        before = known.part(number) if known else None
        if before is None:
            yield ContentPartAdded(part=_emptied(part), **place)
        text = text_of(part)
        rest = text[len(text_of(before)) if before else 0 :]
        match part:
            case OutputText():
                if rest:
                    extension = TextExtension(offset=self._text_length)
                    self._text_length += len(rest)
                    yield OutputTextDelta(delta=rest, chatstream=extension, **place)
                yield OutputTextDone(text=text, **place)
            case ReasoningText():
                if rest:
                    timings = self._end.response.chatstream.timings
                    extension = TextExtension(
                        offset=self._thought_length,
                        reasoning_ms=(timings and timings.reasoning_ms) or 0,
                    )
                    self._thought_length += len(rest)
                    yield ReasoningTextDelta(delta=rest, chatstream=extension, **place)
                yield ReasoningTextDone(text=text, **place)
            case Refusal():
                if rest:
                    yield RefusalDelta(delta=rest, **place)
                yield RefusalDone(refusal=text, **place)
        yield ContentPartDone(part=part, **place)


def _begun(item: Item) -> Item:
    """Return an item as it is when it begins."""
    if isinstance(item, FunctionCallItem):
        return item.model_copy(update={"arguments": "", "status": "in_progress"})
    if isinstance(item, MessageItem | ReasoningItem):
        return item.model_copy(update={"content": [], "status": "in_progress"})
    return item


def _emptied(part: Part) -> Part:
    """Return a part as it is when it begins."""
    if isinstance(part, Refusal):
        return part.model_copy(update={"refusal": ""})
    if isinstance(part, OutputText | ReasoningText):
        return part.model_copy(update={"text": ""})
    return part
