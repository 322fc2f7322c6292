"""Conversations that grow: what is read of them, and what it costs the database's thread."""

from __future__ import annotations

from typing import Any, cast
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from streaming.engine.base import ChatMessage, GenerationRequest
from streaming.models import Conversation, Message, Response, Status
from streaming.record import creation, starts
from streaming.record.chain import chain_to
from streaming.record.tasks import History, Requester
from streaming.worker.claiming import Claimer
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)


def grown(*texts: str) -> list[Message]:
    """A conversation of these turns, a prompt first."""
    conversation = Conversation.objects.create(owner="visitor:a")
    chain: list[Message] = []
    for number, text in enumerate(texts):
        role = Message.Role.ASSISTANT if number % 2 else Message.Role.USER
        parent = chain[-1] if chain else None
        chain.append(Message(conversation=conversation, role=role, content=text, parent=parent))
    Message.objects.bulk_create(chain)
    return chain


def asked(prompt: Message, **fields: Any) -> Response:
    return Response.objects.create(
        conversation=prompt.conversation,
        prompt=prompt,
        owner="visitor:a",
        params={"max_tokens": 5, "seed": 1, "stop": []},
        status=Status.QUEUED,
        **fields,
    )


def test_a_short_one_is_read_whole_and_without_its_branches() -> None:
    chain = grown("a", "b", "c", "", "e")
    Message.objects.create(
        conversation=chain[0].conversation, role="user", content="elsewhere", parent=chain[1]
    )
    turns = [ChatMessage("assistant" if n % 2 else "user", t) for n, t in enumerate("abc e")]
    turns[3] = ChatMessage("assistant", "")
    for most in (4, 1000):
        assert chain_to(chain[-1], most) == (turns, 0)
    assert chain_to(chain[0], 0) == (turns[:1], 0)


@pytest.mark.parametrize(
    ("most", "left"),
    [(0, 8), (9, 8), (10, 8), (19, 8), (20, 6), (39, 6), (40, 4), (1000, 0)],
)
def test_a_long_one_is_read_from_its_newest_turn_back(most: int, left: int) -> None:
    chain = grown(*[f"{number:>10}" for number in range(9)])
    turns, left_out = chain_to(chain[-1], most)
    assert left_out == left
    assert [turn.content for turn in turns] == [turn.content for turn in chain[left:]]
    assert turns[0].role == "user"


async def test_an_engine_is_given_no_more_than_could_fit(start_worker: Any, settings: Any) -> None:
    engine = FakeEngine()
    given: list[GenerationRequest] = []
    submit = engine.submit
    engine.submit = lambda request: (given.append(request), submit(request))[1]  # type: ignore[assignment]
    rest: Any = {"has_place": bool, "bell": None, "restore": None}
    claimer = Claimer("w", engine, None, None, None, lease_seconds=9, **rest)  # type: ignore[arg-type]
    assert claimer._most_chars() == 8 * 32_000  # more than 16 for each of 4096 tokens
    settings.CHATSTREAM = {**settings.CHATSTREAM, "max_conversation_chars": 1}
    assert claimer._most_chars() == 16 * 4096


def test_a_conversation_of_a_million_characters_is_not_read_for_its_last_turns() -> None:
    chain = grown(*["word " * 2000] * 301)
    response = asked(chain[-1])
    [work] = starts.start_all.func("worker", [(str(response.pk), 1)], 100_000)
    assert isinstance(work, starts.Work)
    assert sum(len(turn.content) for turn in work.messages) <= 110_000
    assert len(work.messages) + work.left_out == 301
    assert work.messages[0].role == "user"


def test_many_turns_without_an_answer_take_no_statement_each() -> None:
    conversation = Conversation.objects.create(owner="visitor:a")
    chain = grown("first", "answer")
    Message.objects.filter(pk__in=[turn.pk for turn in chain]).update(conversation=conversation)
    previous: Response | None = None
    for number in range(60):
        prompt = Message.objects.create(conversation=conversation, role="user", content="again")
        previous = Response.objects.create(
            conversation=conversation,
            prompt=prompt,
            previous=previous,
            owner="visitor:a",
            params={"max_tokens": 5, "seed": 1, "stop": []},
            status=Status.CANCELLED if number < 59 else Status.QUEUED,
            message=chain[1] if number == 0 else None,
        )
    assert previous is not None
    with CaptureQueriesContext(connection) as captured:
        [work] = starts.start_all.func("worker", [(str(previous.pk), 1)])
    assert isinstance(work, starts.Work), work
    assert [turn.content for turn in work.messages] == ["first", "answer", "again"]
    assert len(captured) < 15


async def test_a_thousand_messages_are_written_by_few_statements(layer: Any) -> None:
    messages = [ChatMessage("user" if n % 2 == 0 else "assistant", f"turn {n}") for n in range(999)]

    def write() -> Response:
        with CaptureQueriesContext(connection) as captured:
            params = {"max_tokens": 5, "seed": 1, "stop": []}
            task, asker = History(tuple(messages)), Requester("visitor:a", None, "")
            made, is_new = creation.create.func(
                task, params=params, requester=asker, response_id=uuid4()
            )
            assert is_new
        inserts = [q["sql"] for q in captured if 'INSERT INTO "streaming_message"' in q["sql"]]
        assert len(inserts) == 1
        return cast(Response, made)

    from asgiref.sync import sync_to_async

    response = await sync_to_async(write)()

    def read() -> Any:
        return starts.start_all.func("worker", [(str(response.pk), 1)])

    [work] = await sync_to_async(read)()
    assert list(work.messages) == messages
    rows = await sync_to_async(lambda: list(Message.objects.order_by("created_at")))()
    assert [row.content for row in rows] == [turn.content for turn in messages]
