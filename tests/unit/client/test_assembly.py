"""The items and texts come together whatever is lost, doubled or replayed on the way."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streaming.client.assembly import Assembly, Gap
from streaming.client.backlog import AnswerEvent, Backlog
from streaming.engine.base import Channel
from streaming.protocol.items import FunctionCallItem
from streaming.protocol.response_events import (
    ENDS,
    FunctionCallArgumentsDelta,
    LaterEvent,
    Numbered,
    OutputTextDelta,
    ReasoningTextDelta,
    RefusalDelta,
    ResponseInProgress,
    ResponseQueuePosition,
    TextExtension,
)
from tests.support.told_items import ToldItems
from tests.unit.client.told import TEXT, THOUGHT, Said, answer, call, refusal

ID = UUID(int=1)
DELTAS = (OutputTextDelta, ReasoningTextDelta, RefusalDelta, FunctionCallArgumentsDelta)


def log_of(parts: list[str], first: int = 1) -> list[Numbered]:
    """All events of an answer that says these parts."""
    return answer([(TEXT, part) for part in parts], ID, first)


def told(events: list[AnswerEvent]) -> ToldItems:
    """What a reader of the events has, who checks that they fit together."""
    items = ToldItems()
    for event in events:
        items.take({**event.model_dump(mode="json"), "sequence_number": 1})
    return items


parts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=12)


@given(parts=parts, data=st.data())
def test_any_delivery_makes_the_same_text(parts: list[str], data: st.DataObject) -> None:
    """Each connection delivers some of what is left, with losses and repeats."""
    check_any_delivery([(TEXT, part) for part in parts], data)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
some_calls = st.lists(st.tuples(st.integers(0, 2), st.text(max_size=9)), min_size=1, max_size=5)


def flat(groups: list[Said | list[tuple[int, str]]]) -> list[Said]:
    """What is said: each group of calls has calls of its own, which are written at once."""
    said: list[Said] = []
    for number, group in enumerate(groups):
        if isinstance(group, list):
            said += [call(3 * number + index, arguments) for index, arguments in group]
        else:
            said.append(group)
    return said


mixed = st.lists(
    st.tuples(st.sampled_from([TEXT, THOUGHT]), texts) | texts.map(refusal) | some_calls,
    max_size=8,
).map(flat)


@given(said=mixed, data=st.data())
def test_any_delivery_makes_the_same_items(said: list[Said], data: st.DataObject) -> None:
    check_any_delivery(said, data)


def check_any_delivery(said: list[Said], data: st.DataObject) -> None:
    log = answer(said, ID)
    assembly, news = Assembly(), []
    while not news or not isinstance(news[-1], ENDS):
        wanted = [event for event in log if event.sequence_number > assembly.sequence]
        count = data.draw(st.integers(1, len(wanted)))
        lossy = data.draw(st.lists(st.sampled_from(wanted[:count]), max_size=6))
        for event in [*lossy, *wanted[:count]]:
            try:
                news += assembly.take(event)
            except Gap as gap:
                assert gap.starting_after == assembly.sequence
            if isinstance(event, ENDS) and event.sequence_number <= assembly.sequence:
                break
    check(assembly, news, said, log)


def check(
    assembly: Assembly, news: list[AnswerEvent], said: list[Said], log: list[Numbered]
) -> None:
    """What was assembled and what was told is what was said, and to the letter what the end has."""
    reader = told(news)
    assert reader.text == assembly.text == joined(said, TEXT)
    assert reader.thought == assembly.reasoning == joined(said, THOUGHT)
    end = log[-1]
    assert isinstance(end, ENDS)
    assert assembly.items == end.response.output
    assert reader.items == [item.model_dump(mode="json") for item in assembly.items]


def joined(said: list[Said], kind: Channel) -> str:
    return "".join(str(content) for each, content in said if each is kind)


@given(said=mixed)
def test_the_items_grow_to_what_they_are_in_the_end(said: list[Said]) -> None:
    """Event by event, without the end: only what is said in it alone is missing."""
    *log, end = answer(said, ID)
    assembly, reader = Assembly(), ToldItems()
    for event in log:
        assembly.take(event)
        reader.take({**event.model_dump(mode="json"), "sequence_number": 1})
        assert [item.model_dump(mode="json") for item in assembly.items] == reader.items
    assert isinstance(end, ENDS)
    assert assembly.items == end.response.output


@given(before=mixed, after=mixed)
def test_an_answer_that_begins_anew(before: list[Said], after: list[Said]) -> None:
    assembly, news = Assembly(), []
    log = answer(after, ID, first=1_000_001)
    for event in [*answer(before, ID)[:-1], *log]:
        news += assembly.take(event)
    check(assembly, news, after, log)


@given(said=mixed, seen=st.integers(0, 40))
def test_the_end_alone_is_enough(said: list[Said], seen: int) -> None:
    log = answer(said, ID)
    assembly, news = Assembly(), []
    for event in [*log[: min(seen, len(log) - 1)], log[-1]]:
        news += assembly.take(event)
    check(assembly, news, said, log)
    begun = [event for event in news if isinstance(event, ResponseInProgress)]
    assert len(begun) == (seen > 0)  # what was received is taken over, and not told twice


@given(said=mixed, seen=st.integers(0, 40))
def test_an_end_by_somebody_else_is_whole(said: list[Said], seen: int) -> None:
    """Of an answer that was cancelled, its items were never ended."""
    log = answer(said, ID, status="cancelled")
    assembly, news = Assembly(), []
    for event in [*log[: min(seen, len(log) - 1)], log[-1]]:
        news += assembly.take(event)
    check(assembly, news, said, log)


@given(before=mixed, said=mixed, seen=st.integers(0, 40))
@example(before=flat([[(0, "")]]), said=flat([[(1, "")]]), seen=2)  # another id alone
def test_an_end_that_contradicts_begins_anew(
    before: list[Said], said: list[Said], seen: int
) -> None:
    """Some came of one answer, then the end of another one, which began anew meanwhile."""
    former, log = answer(before, ID), answer(said, ID, first=1_000_001)
    assembly, news = Assembly(), []
    for event in [*former[: min(seen, len(former) - 1)], log[-1]]:
        news += assembly.take(event)
    check(assembly, news, said, log)


def test_a_wrong_offset_is_no_text() -> None:
    assembly = Assembly()
    begun, added, part, delta, *_ = log_of(["ab"])
    for event in (begun, added, part, delta):
        assembly.take(event)
    assert isinstance(delta, OutputTextDelta)
    wrong = {"sequence_number": 5, "delta": "x", "chatstream": TextExtension(offset=1)}
    with pytest.raises(Gap) as gap:
        assembly.take(delta.model_copy(update=wrong))
    assert gap.value.starting_after == 0
    assert assembly.text == "ab"


def test_calls_that_are_written_at_once() -> None:
    """The end fills in what is missing of each."""
    said = [call(0, '{"a"'), call(1, '{"b"', "other"), call(0, ": 1}", ""), call(1, ": 2}", "")]
    log = answer(said, ID)
    begun = [event for event in log if event.type.endswith("arguments.delta")]
    assembly, news = Assembly(), []
    for event in [*log[: log.index(begun[1]) + 1], log[-1]]:
        news += assembly.take(event)
    assert [type(event) for event in news].count(ResponseInProgress) == 1
    assert [
        (item.name, item.arguments) for item in assembly.items if isinstance(item, FunctionCallItem)
    ] == [("weather", '{"a": 1}'), ("other", '{"b": 2}')]
    check(assembly, news, said, log)


@given(said=mixed, bound=st.integers(1, 4), data=st.data())
async def test_a_backlog_is_bounded_and_whole(
    said: list[Said], bound: int, data: st.DataObject
) -> None:
    """Beyond the bound, and beginnings and ends, there is one delta of each text, however many
    come."""
    place = ResponseQueuePosition(response_id=ID, position=1, size=1)
    log = answer(said, ID)
    backlog, read, others = Backlog(bound), [], 0
    texts = set()
    for event in [place, place, *log]:
        backlog.put(event)
        if isinstance(event, DELTAS):
            texts.add(event.item_id)
        else:
            others += event is not place or not others
        taken = [each for each in read if not isinstance(each, DELTAS)]
        assert len(backlog) <= bound + (others - len(taken)) + len(texts)
        if len(backlog) > 1 and data.draw(st.booleans()):
            read.append(await backlog.get())
    backlog.end()
    while (event := await backlog.get()) is not None:
        read.append(event)
    reader = told(read)
    assert (reader.text, reader.thought) == (joined(said, TEXT), joined(said, THOUGHT))
    assert reader.items == [item.model_dump(mode="json") for item in log[-1].response.output]
    assert isinstance(read[-1], ENDS)


@given(parts=parts, bound=st.integers(1, 4), data=st.data())
async def test_a_backlog_of_one_text_is_bounded(
    parts: list[str], bound: int, data: st.DataObject
) -> None:
    backlog, read = Backlog(bound), []
    for event in log_of(parts):
        backlog.put(event)
        assert len(backlog) <= bound + 7
        if len(backlog) > 1 and data.draw(st.booleans()):
            read.append(await backlog.get())
    backlog.end()
    while (event := await backlog.get()) is not None:
        read.append(event)
    assert told(read).text == "".join(parts)


def test_an_event_of_a_later_version_is_counted_and_not_told() -> None:
    begun, added, *_ = log_of(["ab"])
    later = LaterEvent.model_validate(
        {"type": "response.new", "response_id": str(ID), "sequence_number": 2, "x": 1}
    )
    assembly = Assembly()
    assert assembly.take(begun) == [begun]
    assert assembly.take(later) == []
    added = added.model_copy(update={"sequence_number": 3})
    assert assembly.take(added) == [added]
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
