"""The text comes together whatever is lost, doubled or replayed on the way."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.client.assembly import Assembly, Gap, Numbered
from streaming.client.backlog import AnswerEvent, Backlog
from streaming.protocol import (
    OutputTextDelta,
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
