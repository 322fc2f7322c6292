"""Operators have failed responses tried again: one, or those selected; nobody gets two."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from streaming.models import Conversation, Message, Response, Status
from streaming.record.retries import retry_id
from streaming.waiting_list.interface import State
from tests.integration.queue_actions.conftest import OPERATOR, VIEWER, Operator, Queue

pytestmark = pytest.mark.django_db(transaction=True)
HISTORY = "/admin/streaming/response/"


@pytest.fixture(autouse=True)
def restored(request: pytest.FixtureRequest) -> None:
    """The list of a server that has started."""
    name = "queue" if "queue" in request.fixturenames else "memory_queue"
    request.getfixturevalue(name).call("restore", [], whole=True)


def failed(
    owner: str = "visitor:a", conversation: Conversation | None = None, **fields: Any
) -> Response:
    given = {"source": fields.pop("source", "chat")}
    conversation = conversation or Conversation.objects.create(owner=owner, **given)
    prompt = fields.pop("prompt", None) or Message.objects.create(
        conversation=conversation, role="user", content="Tell me."
    )
    row: dict[str, Any] = {"error_code": "engine_error", "status": Status.FAILED, **fields}
    return Response.objects.create(
        conversation=conversation,
        prompt=prompt,
        owner=owner,
        params={"max_tokens": 10},
        ordinal=conversation.responses.count() + 1,
        **row,
    )


def test_a_failed_one_is_answered_anew_in_its_owners_place(
    queue: Queue, operator: Operator
) -> None:
    queue.beat(capacity=1)
    row = failed(address="10.0.0.1")
    for _ in range(2):
        operator.act("retry", response_id=str(row.pk))
    assert operator.said == [
        "1 was not tried again: its conversation has gone on, or it is tried again already."
    ]
    [new] = row.conversation.responses.exclude(pk=row.pk)
    assert new.pk == retry_id(row.pk)
    assert (new.prompt_id, new.previous_id) == (row.prompt_id, row.previous_id)
    assert (new.owner, new.address, new.params) == ("visitor:a", "10.0.0.1", row.params)
    assert queue.call("place", str(new.pk)).state is State.WAITING
    [waiting] = queue.look().waiting
    assert waiting.owner == "visitor:a"
    assert queue.call("sweep", 60.0).abandoned == []
    row.refresh_from_db()
    assert row.status == Status.FAILED
    assert operator.log() == [(str(row.pk), str(row.pk), f"Tried again as {new.pk}.")]


def test_where_it_makes_no_sense_it_is_not_tried(memory_queue: Queue, operator: Operator) -> None:
    memory_queue.beat(capacity=9)
    gone_on = failed()
    failed(conversation=gone_on.conversation, prompt=gone_on.prompt, status=Status.COMPLETED)
    rows = {
        "it has not failed.": failed(status=Status.COMPLETED, error_code=""),
        "a program asked for it by the API, and was told that it failed.": failed(source="api"),
        "it would fail again, by the reason that it has.": failed(
            error_code="context_length_exceeded"
        ),
        "its conversation has gone on, or it is tried again already.": gone_on,
        "it is gone.": None,
    }
    ids = [str(row.pk) if row else "8d7f6a52-0000-4000-8000-000000000000" for row in rows.values()]
    operator.act("retry", response_id=ids)
    assert operator.said == [f"1 was not tried again: {reason}" for reason in rows]
    assert memory_queue.look().waiting == []
    for given, said in (("no id", "There is no such response"), ("", "no such response")):
        operator.act("retry", response_id=given)
        assert said in operator.said[0]
    operator.act("retry")
    assert "the form does not say which response" in operator.said[0]
    operator.act("retry", response_id=[str(number) for number in range(201)])
    assert operator.said == ["201 are selected; at most 200 are tried again at once."]


def test_the_selected_are_tried_within_the_limits(
    memory_queue: Queue, operator: Operator, chatstream: Any
) -> None:
    chatstream(max_waiting=2, max_per_owner=1)
    memory_queue.beat(capacity=1)
    rows = [failed(f"visitor:{name}") for name in "aabcd"]
    form = {"action": "retry_selected", "_selected_action": [str(row.pk) for row in rows]}
    page = operator.post(HISTORY, form, follow=True).content.decode()
    said = re.findall(r'<li class="(?:success|warning)">(.*?)</li>', page)
    assert said == [
        "3 responses are tried again. The failed ones stay.",
        "1 was not tried again: 1 response is already open for you, and the limit is 1. "
        "Wait for one to end, or cancel one.",
        "1 was not tried again: The queue is full: 3 responses are open, no more are accepted "
        "right now.",
    ]
    assert [row.owner for row in memory_queue.look().waiting] == [
        "visitor:a", "visitor:b", "visitor:c",
    ]  # fmt: skip
    assert Response.objects.exclude(status=Status.FAILED).count() == 3  # nothing is left of others


def test_only_who_may_is_offered_it(memory_queue: Queue) -> None:
    memory_queue.beat()
    row = failed()
    waits = memory_queue.ask()
    runs = memory_queue.run()
    waits = memory_queue.ask("user:2")
    pages = {str(row.pk): ["retry"], waits: ["move", "cancel"], runs: ["cancel"]}
    for permissions, offers in ((OPERATOR, True), (VIEWER, False)):
        staff = Operator(*permissions)
        for response_id, names in pages.items():
            page = staff.get(f"{HISTORY}{response_id}/change/").content.decode()
            found = re.findall(r'action="/admin/streaming/response/queue/(\w+)/"', page)
            assert found == (names if offers else []), (permissions, response_id)
        text = staff.get(HISTORY).content.decode()
        assert ("Try the selected again" in text) is offers
    page = Operator(*OPERATOR).get(f"{HISTORY}{waits}/change/").content.decode()
    assert "It waits at position 1 of 1." in page
    assert Client().get(f"{HISTORY}{waits}/change/").status_code == 302
