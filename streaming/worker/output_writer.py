"""From what an engine says to the events of an output's items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from streaming.engine.base import Channel
from streaming.engine.passed import add, whole_of
from streaming.lifecycle.items import call_id, call_item, item_id, text_item
from streaming.protocol import response_events as events
from streaming.protocol.items import ItemStatus, OutputText, ReasoningText, Refusal
from streaming.record.output import Kind, Output, Segment

_CONTENTS: Mapping[Channel, Kind] = {Channel.TEXT: "message", Channel.REASONING: "reasoning"}


class Part(NamedTuple):
    """Something that an engine said: text of a channel, or, of the channel None, fields that are no
    text; and the seconds that it had thought by then."""

    channel: Channel | None
    content: str | Mapping[str, Any]
    thought_seconds: float = 0.0


class OutputWriter:
    """Writes the items of one answer, in the order in which the engine says them.

    One item of text, thought or refusal is open at a time. Calls stay open to the end: a server may
    go on with one after it has said something else.

    `said`: what an earlier attempt has published, of which the items numbered in `open_items` are
    not done.
    """

    def __init__(
        self, response_id: UUID, said: Output | None = None, open_items: Iterable[int] = ()
    ) -> None:
        said = said or Output()
        self._id = response_id
        self._passed: dict[str, Any] = {}
        add(self._passed, said.passed)
        self._segments = list(said.segments)
        self._open = list(open_items)
        self._logprobs: list[dict[str, Any]] = []  # of the text that comes next
        self._calls = {call["index"]: call["index"] for call in said.passed.get("tool_calls", ())}
        """The number of a call by the index that its server gives it."""
        self._texts: dict[Kind, list[str]] = {
            "message": [said.text] if said.text else [],
            "reasoning": [said.reasoning] if said.reasoning else [],
        }
        self._lengths: dict[Kind, int] = {
            "message": len(said.text),
            "reasoning": len(said.reasoning),
        }

    @property
    def is_open(self) -> bool:
        """Whether an item is not done."""
        return bool(self._open)

    def said(self, thought_seconds: float) -> Output:
        """Return all that was written, by when it had thought so long."""
        text, reasoning = self._whole("message"), self._whole("reasoning")
        ms = round(1000 * thought_seconds) if reasoning else None
        return Output(text, reasoning, ms, self._passed, tuple(self._segments))

    def write(self, parts: Iterable[Part]) -> Iterator[events.ResponseEvent]:
        """Yield the events of what was said. Parts of one channel that follow each other become one
        delta."""
        for channel, group in groupby(parts, lambda part: part.channel):
            some = list(group)
            if channel is None:
                yield from self._fields(whole_of(part.content for part in some))  # type: ignore[misc]
            else:
                text = "".join(part.content for part in some)  # type: ignore[misc]
                yield from self._text(_CONTENTS[channel], text, some[-1].thought_seconds)
        if self._logprobs:
            yield from self._text("message", "", 0.0)

    def close(self, status: ItemStatus) -> Iterator[events.ResponseEvent]:
        """Yield the events that end what is open; the last item becomes `status`."""
        last = len(self._segments) - 1
        while self._open:
            number = self._open.pop(0)
            yield from self._done(number, status if number == last else "completed")

    # --- texts ---

    def _text(
        self, kind: Kind, text: str, thought_seconds: float
    ) -> Iterator[events.ResponseEvent]:
        yield from self._begin(kind)
        number = self._open_text()
        assert number is not None
        key, offset = item_id(self._id, number, kind), self._lengths[kind]
        self._texts[kind].append(text)
        self._lengths[kind] += len(text)
        self._grow(number, text)
        place = {"response_id": self._id, "item_id": key, "output_index": number}
        if kind == "message":
            logprobs, self._logprobs = self._logprobs, []
            yield events.OutputTextDelta(
                **place,
                content_index=0,
                delta=text,
                logprobs=logprobs,
                chatstream=events.TextExtension(offset=offset),
            )
        else:
            ms = round(1000 * thought_seconds)
            extension = events.TextExtension(offset=offset, reasoning_ms=ms)
            yield events.ReasoningTextDelta(
                **place, content_index=0, delta=text, chatstream=extension
            )

    def _begin(self, kind: Kind) -> Iterator[events.ResponseEvent]:
        """Yield what opens an item of text, if none of this kind is open."""
        open_text = self._open_text()
        if open_text is not None and self._segments[open_text].kind == kind:
            return
        yield from self._close_text()
        number = self._open_item(Segment(kind, 0))
        item = text_item(self._id, number, kind, None, "in_progress")
        yield events.OutputItemAdded(response_id=self._id, output_index=number, item=item)
        yield events.ContentPartAdded(
            response_id=self._id,
            item_id=item.id,
            output_index=number,
            content_index=0,
            part=_part(kind, ""),
        )

    def _open_text(self) -> int | None:
        """Return the number of the open item that is no call."""
        texts = (each for each in self._open if self._segments[each].kind != "function_call")
        return next(texts, None)

    def _close_text(self) -> Iterator[events.ResponseEvent]:
        if (number := self._open_text()) is not None:
            self._open.remove(number)
            yield from self._done(number, "completed")

    def _grow(self, number: int, text: str) -> None:
        kind, size = self._segments[number]
        self._segments[number] = Segment(kind, size + len(text))

    def _open_item(self, segment: Segment) -> int:
        self._segments.append(segment)
        self._open.append(len(self._segments) - 1)
        return self._open[-1]

    # --- what is no text of a channel ---

    def _fields(self, fields: Mapping[str, Any]) -> Iterator[events.ResponseEvent]:
        """Yield the events of a part of what `engine.passed` describes."""
        self._logprobs += fields.get("logprobs", {}).get("content", ())
        if text := fields.get("refusal"):
            yield from self._refuse(text)
        for call in fields.get("tool_calls", ()):
            yield from self._call(call)
        rest = {
            name: value
            for name, value in fields.items()
            if name not in ("logprobs", "refusal", "tool_calls")
        }
        add(self._passed, rest)
        if tokens := fields.get("logprobs", {}).get("refusal"):  # no event has a place for them
            rest["logprobs"] = {"refusal": tokens}
        if rest:
            yield events.PassedDelta(response_id=self._id, fields=rest)

    def _refuse(self, text: str) -> Iterator[events.ResponseEvent]:
        yield from self._begin("refusal")
        add(self._passed, {"refusal": text})
        number = self._open_text()
        assert number is not None
        self._grow(number, text)
        yield events.RefusalDelta(
            response_id=self._id,
            item_id=item_id(self._id, number, "refusal"),
            output_index=number,
            content_index=0,
            delta=text,
        )

    def _call(self, part: Mapping[str, Any]) -> Iterator[events.ResponseEvent]:
        """Yield the events of a part of a call. Calls are numbered in the order in which they
        begin, whatever their server counts."""
        function = part.get("function", {})
        is_new = part["index"] not in self._calls
        if is_new:
            yield from self._close_text()
            index = self._calls[part["index"]] = len(self._calls)
            number = self._open_item(Segment("function_call", index))
            key = item_id(self._id, number, "function_call")
            begun = {"index": index, "id": call_id(key, part), "type": "function"}
            begun["function"] = {"name": function.get("name", ""), "arguments": ""}
            add(self._passed, {"tool_calls": [begun]})
            item = call_item(self._id, number, begun, "in_progress")
            yield events.OutputItemAdded(response_id=self._id, output_index=number, item=item)
        index = self._calls[part["index"]]
        number = self._segments.index(Segment("function_call", index))
        add(self._passed, {"tool_calls": [{"index": index, "function": function}]})
        if arguments := function.get("arguments"):
            yield events.FunctionCallArgumentsDelta(
                response_id=self._id,
                item_id=item_id(self._id, number, "function_call"),
                output_index=number,
                delta=arguments,
            )

    # --- ends ---

    def _done(self, number: int, status: ItemStatus) -> Iterator[events.ResponseEvent]:
        kind, size = self._segments[number]
        key = item_id(self._id, number, kind)
        place = {"response_id": self._id, "item_id": key, "output_index": number}
        if kind == "function_call":
            call = self._passed["tool_calls"][size]
            called = call_item(self._id, number, call, status)
            yield events.FunctionCallArgumentsDone(
                **place, name=called.name, arguments=called.arguments
            )
            yield events.OutputItemDone(response_id=self._id, output_index=number, item=called)
            return
        text = self._text_of(number)
        match kind:
            case "message":
                yield events.OutputTextDone(**place, content_index=0, text=text)
            case "reasoning":
                yield events.ReasoningTextDone(**place, content_index=0, text=text)
            case _:
                yield events.RefusalDone(**place, content_index=0, refusal=text)
        yield events.ContentPartDone(**place, content_index=0, part=_part(kind, text))
        item = text_item(self._id, number, kind, text, status)
        yield events.OutputItemDone(response_id=self._id, output_index=number, item=item)

    def _text_of(self, number: int) -> str:
        """Return the text of the newest item of its kind."""
        kind, size = self._segments[number]
        whole = self._passed.get("refusal", "") if kind == "refusal" else self._whole(kind)
        return whole[len(whole) - size :]

    def _whole(self, kind: Kind) -> str:
        if len(self._texts[kind]) > 1:
            self._texts[kind] = ["".join(self._texts[kind])]
        return self._texts[kind][0] if self._texts[kind] else ""


def _part(kind: Kind, text: str) -> OutputText | ReasoningText | Refusal:
    match kind:
        case "reasoning":
            return ReasoningText(text=text)
        case "refusal":
            return Refusal(refusal=text)
        case _:
            return OutputText(text=text)
