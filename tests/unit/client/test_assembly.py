"""The text comes together whatever is lost, doubled or replayed on the way."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.client.assembly import Assembly, Gap, Numbered
from streaming.client.backlog import AnswerEvent, Backlog
from streaming.protocol.server_events import (
    LaterEvent,
    OutputTextDelta,
    ReasoningTextDelta,
    ResponseDone,
    ResponseInProgress,
    ResponseQueuePosition,
    Timings,
    Usage,
)

ID = UUID(int=1)


def log_of(parts: list[str], first: int = 1) -> list[Numbered]:
    """All events of an answer that says these parts."""
    log: list[Numbered] = [
        ResponseInProgress(response_id=ID, sequence_number=first, prompt_tokens=1)
    ]
    offset = 0
    for number, part in enumerate(parts, first + 1):
        log.append(
            OutputTextDelta(response_id=ID, sequence_number=number, delta=part, offset=offset)
        )
        offset += len(part)
    log.append(
        ResponseDone(
            response_id=ID,
            sequence_number=first + len(parts) + 1,
            status="completed",
            finish_reason="stop",
            text="".join(parts),
            usage=Usage(prompt_tokens=1, completion_tokens=1),
            timings=Timings(queue_ms=1, ttft_ms=1, total_ms=1),
        )
    )
    return log


def told(events: list[AnswerEvent]) -> str:
    """The text as a reader of the events has it."""
    text = ""
    for event in events:
        if isinstance(event, ResponseInProgress):
            text = ""
        elif isinstance(event, OutputTextDelta):
            assert event.offset == len(text)
            text += event.delta
    return text


parts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=12)


@given(parts=parts, data=st.data())
def test_any_delivery_makes_the_same_text(parts: list[str], data: st.DataObject) -> None:
    """Each connection delivers some of what is left, with losses and repeats."""
    log = log_of(parts)
    assembly, news = Assembly(), []
    while not news or not isinstance(news[-1], ResponseDone):
        wanted = [event for event in log if event.sequence_number > assembly.sequence]
        count = data.draw(st.integers(1, len(wanted)))
        lossy = data.draw(st.lists(st.sampled_from(wanted[:count]), max_size=6))
        for event in [*lossy, *wanted[:count]]:
            try:
                news += assembly.take(event)
            except Gap as gap:
                assert gap.starting_after == assembly.sequence
            if isinstance(event, ResponseDone) and event.sequence_number <= assembly.sequence:
                break
    assert told(news) == assembly.text == "".join(parts)


@given(before=parts, after=parts)
def test_an_answer_that_begins_anew(before: list[str], after: list[str]) -> None:
    assembly, news = Assembly(), []
    for event in [*log_of(before)[:-1], *log_of(after, first=1_000_001)]:
        news += assembly.take(event)
    assert told(news) == assembly.text == "".join(after)


@given(parts=parts, seen=st.integers(0, 12))
def test_the_end_alone_is_enough(parts: list[str], seen: int) -> None:
    log = log_of(parts)
    assembly, news = Assembly(), []
    for event in [*log[: min(seen, len(log) - 1)], log[-1]]:
        news += assembly.take(event)
    assert told(news) == assembly.text == "".join(parts)


def test_a_wrong_offset_is_no_text() -> None:
    assembly = Assembly()
    for event in log_of(["ab"])[:2]:
        assembly.take(event)
    with pytest.raises(Gap) as gap:
        assembly.take(OutputTextDelta(response_id=ID, sequence_number=3, delta="x", offset=1))
    assert gap.value.starting_after == 0
    assert assembly.text == "ab"


@given(parts=parts, bound=st.integers(1, 4), data=st.data())
async def test_a_backlog_is_bounded_and_whole(
    parts: list[str], bound: int, data: st.DataObject
) -> None:
    place = ResponseQueuePosition(response_id=ID, position=1, size=1)
    backlog, read = Backlog(bound), []
    for event in [place, place, *log_of(parts)]:
        backlog.put(event)
        assert len(backlog) <= bound + 3
        if len(backlog) > 1 and data.draw(st.booleans()):
            read.append(await backlog.get())
    backlog.end()
    while (event := await backlog.get()) is not None:
        read.append(event)
    assert told(read) == "".join(parts)
    assert isinstance(read[-1], ResponseDone)


Mixed = list[tuple[type[OutputTextDelta] | type[ReasoningTextDelta], str]]
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
mixed = st.lists(st.tuples(st.sampled_from([OutputTextDelta, ReasoningTextDelta]), texts))


def joined(parts: Mixed, kind: type) -> str:
    return "".join(text for each, text in parts if each is kind)


def mixed_log(parts: Mixed, first: int = 1) -> list[Numbered]:
    """All events of an answer that thinks and says these parts."""
    begun, *_, done = log_of([], first)
    log, said = [begun], {OutputTextDelta: "", ReasoningTextDelta: ""}
    for number, (kind, text) in enumerate(parts, first + 1):
        offset = len(said[kind])
        log.append(kind(response_id=ID, sequence_number=number, delta=text, offset=offset))
        said[kind] += text
    end = {
        "sequence_number": first + len(parts) + 1,
        "text": said[OutputTextDelta],
        "reasoning": said[ReasoningTextDelta],
    }
    return [*log, done.model_copy(update=end)]


def thought(events: list[AnswerEvent]) -> str:
    """The thought as a reader of the events has it."""
    text = ""
    for event in events:
        if isinstance(event, ResponseInProgress):
            text = ""
        elif isinstance(event, ReasoningTextDelta):
            assert event.offset == len(text)
            text += event.delta
    return text


@given(before=mixed, parts=mixed, seen=st.integers(0, 9))
def test_thought_and_text_come_together_apart(before: Mixed, parts: Mixed, seen: int) -> None:
    """Those of an answer that began anew, of which some came, and then its end."""
    log = mixed_log(parts, first=1_000_001)
    assembly, news = Assembly(), []
    for event in [*mixed_log(before)[:-1], *log[: min(seen, len(log) - 1)], log[-1]]:
        news += assembly.take(event)
    assert told(news) == assembly.text == joined(parts, OutputTextDelta)
    assert thought(news) == assembly.reasoning == joined(parts, ReasoningTextDelta)


@given(parts=mixed, bound=st.integers(1, 4), data=st.data())
async def test_a_backlog_of_both_is_bounded(parts: Mixed, bound: int, data: st.DataObject) -> None:
    backlog, read = Backlog(bound), []
    for event in mixed_log(parts):
        backlog.put(event)
        assert len(backlog) <= bound + 3
        if len(backlog) > 1 and data.draw(st.booleans()):
            read.append(await backlog.get())
    backlog.end()
    while (event := await backlog.get()) is not None:
        read.append(event)
    assert told(read) == joined(parts, OutputTextDelta)
    assert thought(read) == joined(parts, ReasoningTextDelta)


def test_an_event_of_a_later_version_is_counted_and_not_told() -> None:
    begun, said, _ = log_of(["ab"])
    later = LaterEvent.model_validate(
        {"type": "response.new", "response_id": str(ID), "sequence_number": 2, "x": 1}
    )
    assembly = Assembly()
    assert assembly.take(begun) == [begun]
    assert assembly.take(later) == []
    said = said.model_copy(update={"sequence_number": 3})
    assert assembly.take(said) == [said]
    with pytest.raises(Gap):
        assembly.take(later.model_copy(update={"sequence_number": 5}))


async def test_an_error_comes_after_what_was_read() -> None:
    backlog = Backlog()
    backlog.put(log_of([])[0])
    backlog.end(KeyError("lost"))
    assert isinstance(await backlog.get(), ResponseInProgress)
    for _ in range(2):
        with pytest.raises(KeyError):
            await backlog.get()
    waiting = asyncio.create_task(Backlog().get())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
