"""Operators move what waits, close the queue and reopen it."""

from __future__ import annotations

import uuid

import pytest

from streaming.models import Conversation, Response
from streaming.waiting_list.interface import (
    CLOSED_MESSAGE_CHARS,
    QueueClosed,
)
from tests.integration.queue_actions.conftest import Operator, Queue, asked

pytestmark = pytest.mark.django_db(transaction=True)

# --- the order ---


def test_a_waiting_response_is_moved(queue: Queue, operator: Operator) -> None:
    queue.beat()
    ids = [queue.ask(f"user:{n}") for n in range(3)]
    operator.act("move", front=ids[2])
    assert operator.said == [f"Response {ids[2][:8]} is at the front of the waiting list."]
    assert queue.order() == [ids[2], ids[0], ids[1]]
    operator.act("move", back=ids[0])
    assert operator.said == [f"Response {ids[0][:8]} is at the back of the waiting list."]
    assert queue.order() == [ids[2], ids[1], ids[0]]
    assert operator.log() == [
        (ids[2], ids[2], "Moved to the front of the waiting list."),
        (ids[0], ids[0], "Moved to the back of the waiting list."),
    ]


def test_what_does_not_wait_is_not_moved(queue: Queue, operator: Operator) -> None:
    queue.beat()
    conversation = Conversation.objects.create(owner="user:1")
    running, held = queue.ask("user:1", conversation), queue.ask("user:1", conversation)
    assert queue.run() == running
    ended = queue.ask()
    operator.act("cancel", response_id=ended, confirmed="1")
    for response_id, why in (
        (running, "does not wait any more: it is being answered."),
        (held, "has no place to move from: it waits for the previous answer"),
        (ended, "does not wait any more: it had ended already."),
        (str(uuid.uuid4()), "does not wait any more: it had ended already."),
    ):
        operator.act("move", front=response_id)
        (said,) = operator.said
        assert said.startswith(f"Response {response_id[:8]} {why}")
    unclear = "Nothing was done: the form does not say what to move, or where."
    for fields, said in (
        ({}, unclear),
        ({"front": ended, "back": ended}, unclear),
        ({"front": "nonsense"}, "There is no such response, or it was deleted."),
    ):
        operator.act("move", **fields)
        assert operator.said == [said]
    assert [entry[2] for entry in operator.log()] == ["Cancelled in the live queue."]


def test_several_are_moved_and_moved_back(queue: Queue, operator: Operator) -> None:
    queue.beat()
    ids = [queue.ask(f"user:{n}") for n in range(6)]
    held = str(uuid.uuid4())
    operator.act("move", edge="position", position="2", selected=[ids[4], ids[3], ids[3], held])
    assert operator.said == [
        "2 prompts are moved.",
        "1 of them does not wait in the order, and was not moved.",
    ]
    assert queue.order() == [ids[0], ids[3], ids[4], ids[1], ids[2], ids[5]]
    operator.act("unmove", unmove="1")
    assert operator.said == ["2 prompts are back where they were."]
    assert queue.order() == ids
    operator.act("unmove", unmove="1")
    assert operator.said == ["There is no move to be taken back any more."]
    operator.act("move", edge="front", selected=[ids[2], ids[5]])
    assert queue.order() == [ids[2], ids[5], ids[0], ids[1], ids[3], ids[4]]
    operator.act("move", edge="back", selected=ids[:2])
    assert queue.order() == [ids[2], ids[5], ids[3], ids[4], ids[0], ids[1]]
    # Meanwhile one of them starts, and another prompt comes.
    assert queue.run() == ids[2]
    operator.act("cancel", response_id=ids[0], confirmed="1")
    late = queue.ask("user:9")
    assert queue.order()[-1] == late
    operator.act("unmove", unmove="1")
    assert operator.said == ["1 prompt is back where it was.", "1 does not wait any more."]
    assert queue.order() == [ids[5], ids[1], ids[3], ids[4], late]
    messages = [entry[2] for entry in operator.log() if entry[0] == ids[1]]
    assert messages == [
        "Moved to the back of the waiting list.",
        "Moved back in the waiting list.",
    ]
    assert [row.slot for row in Response.objects.filter(pk__in=[ids[1]])] == [
        slot.text for row in queue.look().waiting if row.response_id == ids[1] if (slot := row.slot)
    ]


@pytest.mark.parametrize("position", ["", "0", "-1", "1.5", "x", "9" * 12])
def test_what_is_no_position_moves_nothing(
    memory_queue: Queue, operator: Operator, position: str
) -> None:
    memory_queue.beat()
    ids = [memory_queue.ask(f"user:{n}") for n in range(2)]
    operator.act("move", edge="position", position=position, selected=ids[1])
    assert operator.said == [f"“{position}” is no position: write a whole number from 1."]
    operator.act("move", edge="front")
    assert operator.said == ["No response is selected."]
    operator.act("move", edge="sideways", selected=ids[1])
    assert operator.said == ["Nothing was done: the form does not say what to move, or where."]
    assert memory_queue.order() == ids
    assert operator.log() == []


# --- the doors ---


def test_the_queue_is_closed_and_reopened(queue: Queue, operator: Operator) -> None:
    queue.beat()
    queue.ask()
    words = "We move house.\r\nBack at noon, für alle. <3"
    page = operator.act("close", close="1", closed_message=f"  {words} ")
    text = asked(page)
    assert "Close the queue to new prompts?" in text
    assert "People are told: “We move house. Back at noon, für alle. <3”" in text
    assert "1 response that is open goes on." in text
    assert "<3”" not in page.content.decode()
    assert queue.look().closed is None
    operator.confirm(page)
    told = words.replace("\r", "")
    assert queue.look().closed == told
    assert operator.said == [f"The queue is closed to new prompts. People are told: “{told}”"]
    with pytest.raises(QueueClosed, match="We move house"):
        queue.ask()
    page = operator.act("close", close="1", closed_message="Another day.")
    assert "It is closed already; this takes the place of: “We move house." in asked(page)
    operator.act("reopen", reopen="1")
    assert operator.said == ["The queue is open again."]
    assert queue.look().closed is None
    operator.act("reopen", reopen="1")
    assert operator.said == ["The queue is open."]
    assert operator.log() == [
        ("", "The queue", f"Closed to new prompts: {told}"),
        ("", "The queue", "Reopened."),
    ]


def test_a_message_that_cannot_be_told(queue: Queue, operator: Operator) -> None:
    empty = "Write what people are told while the queue is closed."
    for message, said in (
        ("", empty),
        (" \r\n ", empty),
        (
            "x" * (CLOSED_MESSAGE_CHARS + 1),
            "The message has 301 characters; at most 300 are allowed.",
        ),
        ("a\x00b", "The message has a character that no text may have."),
    ):
        for confirmed in ({}, {"confirmed": "1"}):
            operator.act("close", close="1", closed_message=message, **confirmed)
            assert operator.said == [said]
    assert queue.look().closed is None
    assert operator.log() == []
