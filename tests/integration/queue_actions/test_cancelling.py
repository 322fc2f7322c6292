"""Operators cancel: one, several, all of an owner; each is asked about first."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from streaming.admin import orders
from streaming.models import Conversation, Response, Status
from streaming.waiting_list.interface import (
    State,
)
from tests.integration.queue_actions.conftest import SECRET, Operator, Queue, asked

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_waiting_response_is_asked_about_first(queue: Queue, operator: Operator) -> None:
    queue.beat()
    first, second = queue.ask(), queue.ask()
    page = operator.act("cancel", response_id=first)
    text = asked(page)
    assert "Cancel 1 response?" in text
    assert f"{first[:8]} · waiting · user:1" in text
    assert "it loses its place" in text
    assert (queue.order(), operator.log()) == ([first, second], [])
    operator.confirm(page)
    assert operator.said == [f"Response {first[:8]} is cancelled."]
    assert (queue.status(first), queue.status(second)) == (Status.CANCELLED, Status.QUEUED)
    assert queue.order() == [second]
    (event,) = queue.call("read", first)
    assert '"status":"cancelled"' in event
    assert operator.log() == [(first, first, "Cancelled in the live queue.")]


def test_a_running_response_is_asked_about_first(queue: Queue, operator: Operator) -> None:
    queue.beat()
    response_id = queue.ask("visitor:abc")
    queue.run()
    page = operator.act("cancel", response_id=response_id)
    text = asked(page)
    assert "Cancel 1 response?" in text
    assert f"{response_id[:8]} · running · visitor:abc" in text
    assert "its reader keeps what was written so far" in text
    assert operator.log() == []
    assert queue.call("renew", "host:1", [], 60).cancelled == frozenset()
    operator.confirm(page)
    assert operator.said == [f"Response {response_id[:8]} is cancelled."]
    # Its worker is asked to end it; a list says so at the next renewal.
    assert queue.call("place", response_id).state is State.RUNNING
    assert operator.log() == [(response_id, response_id, "Cancelled in the live queue.")]


def test_several_are_asked_about_and_their_ids_are_frozen(queue: Queue, operator: Operator) -> None:
    queue.beat()
    ids = [queue.ask(f"user:{n}") for n in range(4)]
    over = queue.ask("user:9")
    operator.act("cancel", response_id=over, confirmed="1")
    page = operator.act("cancel", selection="selected", selected=[*ids[:3], over, ids[0]])
    text = asked(page)
    assert "Cancel 3 waiting prompts?" in text
    assert "3 wait: they lose their places" in text
    assert "1 response had ended already." in text
    assert queue.order() == ids
    operator.act("cancel", response_id=ids[1], confirmed="1")  # meanwhile
    operator.confirm(page)
    assert operator.said == ["2 responses are cancelled.", "1 response had ended already."]
    assert queue.order() == ids[3:]
    assert sorted(entry[0] for entry in operator.log()) == sorted([over, *ids[:3]])


def test_all_of_an_owner_are_those_open_at_the_confirmation(
    queue: Queue, operator: Operator
) -> None:
    queue.beat()
    conversation = Conversation.objects.create(owner="user:7", title=SECRET)
    ids = [queue.ask("user:7", conversation) for _ in range(3)]
    other = queue.ask("user:8")
    assert queue.run() == ids[0]
    page = operator.act("cancel", owner="user:7")
    text = asked(page)
    assert "Cancel all 3 open responses of user:7?" in text
    assert "1 is being answered" in text
    assert "2 wait" in text
    late = queue.ask("user:7")
    operator.confirm(page)
    assert operator.said == ["4 responses are cancelled."]
    assert queue.status(late) == Status.CANCELLED
    # The held ones went before the running one: none has taken its place.
    assert {queue.status(held) for held in ids[1:]} == {Status.CANCELLED}
    assert queue.order() == [other]
    assert {entry[0] for entry in operator.log()} == {late, *ids}
    (single,) = [queue.ask("user:5")]
    assert "Cancel 1 open response of user:5?" in asked(operator.act("cancel", owner="user:5"))
    assert queue.status(single) == Status.QUEUED


def test_an_owner_with_nothing_open(memory_queue: Queue, operator: Operator) -> None:
    for owner in ("user:404", "x" * 5000, "a\x00b", "%_", "'; --"):
        operator.act("cancel", owner=owner)
        (said,) = operator.said
        assert said.endswith("has nothing open.")
        assert len(said) < 120


def test_what_had_ended_or_never_was_is_named(memory_queue: Queue, operator: Operator) -> None:
    memory_queue.beat()
    ended = memory_queue.ask()
    operator.act("cancel", response_id=ended, confirmed="1")
    operator.act("cancel", response_id=ended)
    assert operator.said == ["This response had ended already."]
    nothing = "There is no such response, or it was deleted."
    for unknown in (str(uuid.uuid4()), "nonsense", "\x00", "x" * 10_000, "<b>", f"{ended}0"):
        operator.act("cancel", response_id=unknown)
        assert operator.said == [nothing]
    operator.act("cancel", selection="selected", selected=["nonsense", str(uuid.uuid4()), ended])
    assert operator.said == [
        "1 response had ended already.",
        "2 of these responses do not exist, or were deleted.",
    ]
    assert len(operator.log()) == 1


def test_an_id_has_one_spelling(memory_queue: Queue, operator: Operator) -> None:
    memory_queue.beat()
    first = memory_queue.ask()
    page = operator.act(
        "cancel", selection="selected", selected=[first.upper(), first, f" {first} "]
    )
    operator.confirm(page)
    assert operator.said == [f"Response {first[:8]} is cancelled."]
    assert [entry[0] for entry in operator.log()] == [first]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Nothing was done: the form does not say what to cancel."),
        ({"selection": "selected"}, "No response is selected."),
        (
            {"owner": "user:1", "response_id": str(uuid.uuid4())},
            "Nothing was done: the form names one thing and another at once.",
        ),
        (
            {"selection": "selected", "selected": [str(uuid.uuid4()) for _ in range(5001)]},
            "5001 responses are selected; at most 5000 can be cancelled at once.",
        ),
    ],
)
def test_a_cancel_that_says_nothing_clear(
    memory_queue: Queue, operator: Operator, fields: dict[str, Any], said: str
) -> None:
    memory_queue.beat()
    memory_queue.ask()
    operator.act("cancel", **fields)
    assert operator.said == [said]
    assert len(memory_queue.order()) == 1


def test_very_many_at_once(queue: Queue, operator: Operator) -> None:
    """Named up to a number, counted beyond; all of them end, and are written down."""
    queue.beat()
    ids = [queue.ask(f"user:{n % 7}") for n in range(120)]
    strangers = [str(uuid.uuid4()) for _ in range(2000)]
    page = operator.act("cancel", selection="selected", selected=ids + strangers)
    text = asked(page)
    assert "Cancel 120 waiting prompts?" in text
    assert "and 70 more" in text
    assert text.count(" · waiting · ") == orders.MOST_LISTED
    assert "2000 of these responses do not exist" in text
    operator.confirm(page)
    assert operator.said == ["120 responses are cancelled."]
    assert queue.order() == []
    assert Response.objects.filter(status=Status.CANCELLED).count() == 120
    assert sorted(entry[0] for entry in operator.log()) == sorted(ids)


def test_more_of_an_owner_than_one_action_ends(
    memory_queue: Queue, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.admin.selection.MOST_AFFECTED", 2)
    memory_queue.beat()
    for _ in range(3):
        memory_queue.ask("user:3")
    page = operator.act("cancel", owner="user:3")
    assert "1 more is open: do this again for it." in asked(page)
    operator.confirm(page)
    assert operator.said == ["2 responses are cancelled.", "1 more is open: do this again for it."]
    assert len(memory_queue.order()) == 1


def test_all_that_a_search_finds(queue: Queue, operator: Operator) -> None:
    queue.beat()
    running = queue.ask("visitor:Zoe")
    assert queue.run() == running
    ids = [queue.ask("visitor:Zoe"), queue.ask("user:1"), queue.ask("visitor:Zoe")]
    page = operator.act("cancel", found="waiting", q=" ZOE waiting")
    assert "Cancel 2 waiting prompts?" in asked(page)
    late = queue.ask("visitor:Zoe")  # what has come since was not counted, and is not cancelled
    operator.confirm(page)
    assert operator.said == ["2 responses are cancelled."]
    assert set(queue.order()) == {ids[1], late}
    page = operator.act("cancel", found="running", q="zoe")
    assert "Cancel 1 response?" in asked(page)
    operator.act("cancel", found="waiting", q="nobody")
    assert operator.said == ["Nothing is found that could be cancelled."]
    operator.act("cancel", found="workers", q="")
    assert operator.said == ["Nothing was done: the form does not say what to cancel."]
    assert set(queue.order()) == {ids[1], late}
    assert sorted(entry[0] for entry in operator.log()) == sorted([ids[0], ids[2]])
