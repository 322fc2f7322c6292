"""What of a response is published, in which order, and when nobody said that it was."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from streaming.engine.base import (
    Channel,
    Finished,
    FinishReason,
    PassedDelta,
    Started,
    TextDelta,
)
from streaming.lifecycle.published import Published
from streaming.models import Response, Status
from streaming.record.output import Output, Segment
from streaming.system.transitions import InvalidTransition
from streaming.worker.running import Running, RunningPhase
from streaming.worker.transcript import EventTime


def running() -> Running:
    entry = SimpleNamespace(response_id=str(uuid4()))
    claim: Any = SimpleNamespace(lease=None, entry=entry, last_sequence=0, tokens=())
    made = Running(claim)
    made.start(Response(pk=entry.response_id, conversation_id=uuid4(), created_at=timezone.now()))
    made.mark_submitted()
    return made


def take(made: Running, *events: Any) -> None:
    for event in events:
        made.take(event, EventTime())


def text(said: str, tokens: int = 1) -> TextDelta:
    return TextDelta("r", said, (-1,) * tokens)


def publish(made: Running) -> list[dict[str, Any]]:
    appends = made.unpublished()
    for append in appends:
        made.mark_published(append)
    return [json.loads(append.event) for append in appends]


def deltas(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["type"].endswith(".delta")]


def test_what_was_offered_comes_again_as_it_was() -> None:
    """It may be published: under its number nothing longer can be, and none of it is said twice."""
    made = running()
    take(made, Started("r", 3), text("one"))
    first = list(made.unpublished())
    take(made, text(" two"))
    assert list(made.unpublished()) == first
    for append in first:
        made.mark_published(append)
    (event,) = publish(made)
    assert (event["delta"], event["chatstream"]["offset"]) == (" two", 3)


def test_an_answer_that_begins_anew_says_so_under_a_number_of_its_own() -> None:
    made = running()
    take(made, Started("r", 3), text("one"))
    first = list(made.unpublished())
    take(made, Started("r", 3, anew=True), text("other"))
    assert list(made.unpublished()) == first
    for append in first:
        made.mark_published(append)
    begun, item, _, delta = publish(made)
    assert (begun["type"], item["output_index"]) == ("response.in_progress", 0)
    assert (delta["delta"], delta["chatstream"]["offset"]) == ("other", 0)
    assert made.last_sequence == 8


def thought(said: str, tokens: int = 1) -> TextDelta:
    return TextDelta("r", said, (-1,) * tokens, Channel.REASONING)


def test_text_thought_and_what_is_none_keep_their_order() -> None:
    made = running()
    call = {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    said = [thought("H"), thought("m"), text("a"), text("b"), PassedDelta("r", call, ())]
    take(made, Started("r", 3), *said, thought(" so"), text("c"))
    appends = list(made.unpublished())
    first, *others = [append.tokens for append in appends if append.tokens]
    assert (first, others) == ((-1,) * 6, [])  # once, and with the first of them
    events = publish(made)
    assert [
        (event["delta"], event.get("chatstream", {}).get("offset")) for event in deltas(events)
    ] == [("Hm", 0), ("ab", 0), ("{}", None), (" so", 2), ("c", 2)]
    added = [each["item"]["type"] for each in events if each["type"].endswith("item.added")]
    assert added == ["reasoning", "message", "function_call", "reasoning", "message"]
    take(made, Finished("r", FinishReason.TOOL_CALLS))
    assert not made.can_end  # the last item is not done
    publish(made)
    assert made.can_end
    said = made.outcome().output
    assert (said.text, said.reasoning, set(said.passed)) == ("abc", "Hm so", {"tool_calls"})
    assert said.segments == (
        ("reasoning", 2), ("message", 2), ("function_call", 0), ("reasoning", 3), ("message", 1),
    )  # fmt: skip


def test_how_long_it_thought_is_known_as_it_thinks_and_in_the_end() -> None:
    made = running()
    heard = [
        (10.0, Started("r", 3)),
        (11.0, thought("H")),
        (12.0, thought("m")),
        (13.5, text("a")),
        (15.0, thought("!")),
        (15.25, PassedDelta("r", {"tool_calls": []}, (-1,))),
        (16.0, thought("")),
        (16.5, Finished("r", FinishReason.STOP)),
    ]
    for at, event in heard:
        made.take(event, EventTime(at))
    thoughts = [each for each in deltas(publish(made)) if "reasoning" in each["type"]]
    assert [each["chatstream"]["reasoning_ms"] for each in thoughts][:2] == [1000, 2500]
    assert made.outcome().output.reasoning_ms == 3250


def test_a_thought_goes_on_after_a_crash_as_it_was_told() -> None:
    made = running()
    made.take(Started("r", 3), EventTime(10.0))
    made.take(thought("One"), EventTime(10.0))
    made.take(thought(" two"), EventTime(12.0))
    events = [append.event for append in made.unpublished()]
    claim: Any = SimpleNamespace(lease=None, entry=made.claim.entry, last_sequence=4, tokens=(1, 2))
    again = Running(claim)
    again.start(made.row)
    again.mark_submitted()
    again.resume(Published.of(events))
    again.take(Started("r", 3), EventTime(50.0))
    again.take(thought(" three"), EventTime(50.0))
    again.take(text("So"), EventTime(51.0))
    again.cut_short()
    events += [append.event for append in again.unpublished()]
    publish(again)
    outcome = again.outcome()
    segments = (Segment("reasoning", 13), Segment("message", 2))
    assert outcome.output == Output("So", "One two three", 3000, segments=segments)
    assert (outcome.completion_tokens, outcome.reasoning_tokens) == (4, 3)
    told = deltas([json.loads(event) for event in events])
    assert [each["chatstream"]["offset"] for each in told] == [0, 7, 0]
    assert Published.of(events) == Published(replace(outcome.output, reasoning_ms=2000))


def test_what_begins_anew_has_thought_nothing() -> None:
    made = running()
    take(made, Started("r", 3), thought("Hm"), text("a"))
    publish(made)
    take(made, Started("r", 3, anew=True), text("b"), Finished("r", FinishReason.STOP))
    events = publish(made)
    output = Output("b", segments=(Segment("message", 1),))
    assert made.outcome().output == Published.of(map(json.dumps, events)).output == output


def test_its_phases_follow_each_other() -> None:
    made = running()
    with pytest.raises(InvalidTransition, match="is GENERATING and cannot become ENDING"):
        made.begin_ending()
    take(made, Started("r", 3), text("a"), Finished("r", FinishReason.STOP))
    assert (made.phase, made.can_end) == (RunningPhase.FINISHED, False)  # "a" is not published
    publish(made)
    assert made.can_end
    made.begin_ending()
    assert (made.phase, made.can_end) == (RunningPhase.ENDING, False)


def test_the_engine_is_asked_to_end_only_what_it_has() -> None:
    claimed = Running(running().claim)
    assert not claimed.cancel()
    assert claimed.is_cancelled
    claimed.mark_submitted()
    assert not claimed.is_unheeded(0)
    assert claimed.cancel()
    assert claimed.is_unheeded(-1)
    assert not claimed.is_unheeded(60)
    take(claimed, Finished("r", FinishReason.CANCELLED))
    assert not claimed.cancel()
    assert not claimed.is_unheeded(-1)


def test_one_that_takes_too_long_has_failed_unless_it_ended_by_itself() -> None:
    for reason, status in (
        (FinishReason.CANCELLED, Status.FAILED),
        (FinishReason.STOP, Status.COMPLETED),
    ):
        made = running()
        assert made.time_out()
        take(made, Started("r", 3), Finished("r", reason))
        assert made.outcome().status is status
