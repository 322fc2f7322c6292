"""What of a response is published, in which order, and when nobody said that it was."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from streaming.engine.base import Finished, FinishReason, PassedDelta, Started, TextDelta
from streaming.running import Moment, Running


def running() -> Running:
    entry = SimpleNamespace(response_id=str(uuid4()))
    claim: Any = SimpleNamespace(lease=None, entry=entry, tail=0, tokens=())
    return Running(claim)


def take(made: Running, *events: Any) -> None:
    for event in events:
        made.take(event, Moment())


def text(said: str, tokens: int = 1) -> TextDelta:
    return TextDelta("r", said, (-1,) * tokens)


def publish(made: Running) -> list[dict[str, Any]]:
    appends = made.unsaid()
    for append in appends:
        made.said(append)
    return [json.loads(append.event) for append in appends]


def test_what_was_offered_comes_again_as_it_was() -> None:
    """It may be published: under its number nothing longer can be, and none of it is said twice."""
    made = running()
    take(made, Started("r", 3), text("one"))
    first = list(made.unsaid())
    take(made, text(" two"))
    assert list(made.unsaid()) == first
    for append in first:
        made.said(append)
    (event,) = publish(made)
    assert (event["delta"], event["offset"]) == (" two", 3)


def test_an_answer_that_begins_anew_says_so_under_a_number_of_its_own() -> None:
    made = running()
    take(made, Started("r", 3), text("one"))
    first = list(made.unsaid())
    take(made, Started("r", 3, anew=True), text("other"))
    assert list(made.unsaid()) == first
    for append in first:
        made.said(append)
    begun, delta = publish(made)
    assert (begun["type"], delta["delta"], delta["offset"]) == (
        "response.in_progress",
        "other",
        0,
    )
    assert made.tail == 4


def test_text_and_what_is_none_keep_their_order() -> None:
    made = running()
    thoughts = [PassedDelta("r", {"reasoning_content": word}, (-1,)) for word in ("H", "m")]
    call = {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    take(made, Started("r", 3), *thoughts, text("a"), text("b"), PassedDelta("r", call, ()))
    appends = list(made.unsaid())
    assert [append.tokens for append in appends] == [(), (-1,) * 4, (), ()]
    events = publish(made)
    assert [event.get("delta", event.get("fields")) for event in events[1:]] == [
        {"reasoning_content": "Hm"},
        "ab",
        call,
    ]
    take(made, Finished("r", FinishReason.TOOL_CALLS))
    assert made.is_over
    assert made.outcome().text == "ab"
    assert set(made.outcome().passed) == {"reasoning_content", "tool_calls"}
