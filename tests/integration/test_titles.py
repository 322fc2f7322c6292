"""Titles by the model: asked for where nobody waits, once for a conversation, in nobody's way."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from streaming.lifecycle import accepting, forgetting, reconciler
from streaming.lifecycle.params import resolve
from streaming.lifecycle.titling import Titling
from streaming.models import Conversation, Message, Response, Status
from streaming.protocol.sampling_params import Params
from streaming.record import titles
from streaming.waiting_list.interface import AdmissionLimits
from streaming.worker import queue_worker
from tests.integration.conftest import eventually
from tests.support.endings import is_end
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def settled(chatstream: Any, monkeypatch: Any) -> None:
    chatstream(titles="model")
    monkeypatch.setattr(queue_worker, "TITLE_SECONDS", 0.05)
    monkeypatch.setattr(titles, "_question", lambda prompt, answer: 'say Title: "A fine day."')


async def title_of(conversation_id: str) -> str:
    return (await Conversation.objects.aget(pk=conversation_id)).title


async def ask(chat: Any, text: str, **fields: Any) -> str:
    queued = await chat.ask(text, **fields)
    await chat.end()
    return queued["conversation_id"]


async def test_the_first_answer_has_a_title_made(
    start_worker: Any, client: Any, layer: Any
) -> None:
    engine = FakeEngine(max_running=2)
    await start_worker(engine)
    chat = await client()
    asked = await ask(chat, "stop 3")

    async def is_named() -> bool:
        return await title_of(asked) == "A fine day"

    await eventually(is_named)
    await eventually(is_alone)
    # Once: neither for the second answer nor again.
    await Conversation.objects.filter(pk=asked).aupdate(title="stop 3")
    await ask(chat, "stop 2", conversation_id=asked)
    first = await Response.objects.filter(conversation=asked).order_by("ordinal").afirst()
    assert first
    assert await titles.next_untitled([first.conversation_id]) is None
    ends = [event for event in chat.received if is_end(event)]
    assert len(ends) == 2  # nothing of it was told to the reader


async def is_alone() -> bool:
    """Nothing of what was asked for a title is left."""
    return await Conversation.objects.acount() == 1


@pytest.mark.parametrize("running", [1, 2])
async def test_it_takes_no_last_place(
    start_worker: Any, client: Any, layer: Any, running: int
) -> None:
    """With one place there is none to spare; of two, one is a person's next."""
    engine = FakeEngine(max_running=running)
    await start_worker(engine)
    chat = await client()
    if running == 2:
        await chat.ask("go", params={"max_tokens": 1000})
    asked = await ask(chat, "stop 3")
    assert not await Titling(layer).go_on()
    assert await title_of(asked) == "stop 3"
    assert not await Conversation.objects.filter(source="name").aexists()


async def test_the_waiting_list_refuses_it_in_one_go(layer: Any, start_worker: Any) -> None:
    """Whatever was seen before: the list decides, and nothing is left of what was refused."""
    await start_worker(FakeEngine(max_running=1))
    row = await answered("hello")
    titling = Titling(layer)
    titling._has_room = lambda: asyncio.sleep(0, result=True)  # type: ignore[method-assign]
    assert not await titling.go_on()
    assert await Conversation.objects.acount() == 1
    assert await title_of(row.conversation_id) == "hello"


async def answered(prompt: str, **fields: Any) -> Response:
    """A conversation with its first answer."""
    values = {"owner": "visitor:1", "title": prompt, **fields}
    conversation = await Conversation.objects.acreate(**values)
    asked = await Message.objects.acreate(conversation=conversation, role="user", content=prompt)
    said = await Message.objects.acreate(
        conversation=conversation, role="assistant", content="yes", parent=asked
    )
    return await Response.objects.acreate(
        conversation=conversation, prompt=asked, message=said, owner=conversation.owner,
        status=Status.COMPLETED, text="yes", finished_at=timezone.now(),
    )  # fmt: skip


async def test_who_has_no_title_made() -> None:
    await answered("renamed", title="By hand")
    await answered("a program's", source="api")
    await answered("the server's", source="name")
    old = await answered("old")
    long_ago = timezone.now() - timedelta(hours=1)
    await Response.objects.filter(pk=old.pk).aupdate(created_at=long_ago)
    failed = await answered("failed")
    await Response.objects.filter(pk=failed.pk).aupdate(status=Status.FAILED)
    assert await titles.next_untitled(()) is None
    right = await answered("right")
    assert await titles.next_untitled(()) == right
    assert await titles.next_untitled([right.conversation_id]) is None
    assert await titles.write(right, {}) is not None
    assert await titles.write(right, {}) is None  # one at most
    assert await titles.next_untitled(()) is None


async def test_what_is_asked_for_a_title_leaves_the_queue_with_the_conversation(layer: Any) -> None:
    row = await answered("hello")
    asking = await titles.write(row, resolve(Params(), {}))
    assert asking
    await accepting.accept_own(layer, asking, AdmissionLimits(9, 9))
    assert await layer.waiting_list.known([str(asking.pk)])
    found = Conversation.objects.filter(pk=row.conversation_id)
    assert await sync_to_async(forgetting.forget)(found) == 1
    assert not await Response.objects.aexists()
    assert not await layer.waiting_list.known([str(asking.pk)])


async def test_a_title_that_a_process_died_over_takes_no_last_place(
    layer: Any, start_worker: Any
) -> None:
    """The row is written, and the waiting list was not asked yet."""
    await start_worker(FakeEngine(max_running=1))
    row = await answered("hello")
    asking = await titles.write(row, resolve(Params(), {}))
    assert asking
    long_ago = timezone.now() - timedelta(hours=1)
    await Response.objects.filter(pk=asking.pk).aupdate(created_at=long_ago)
    await reconciler.reconcile(layer)
    await eventually(is_alone)
    assert await title_of(row.conversation_id) == "hello"


async def test_a_title_by_hand_stays_and_a_deleted_one_takes_all_along() -> None:
    first, second = await answered("one"), await answered("two")
    for row in (first, second):
        asking = await titles.write(row, {})
        assert asking is not None
        await Response.objects.filter(pk=asking.pk).aupdate(status=Status.COMPLETED, text="Made")
    await Conversation.objects.filter(pk=first.conversation_id).aupdate(title="By hand")
    gone = Conversation.objects.filter(pk=second.conversation_id)
    await sync_to_async(forgetting.forget)(gone)
    assert await Message.objects.acount() == 3
    assert await titles.take_up() == 1
    assert await title_of(first.conversation_id) == "By hand"
    assert await Conversation.objects.acount() == 1


async def test_the_setting_says_whether(
    start_worker: Any, client: Any, chatstream: Any, monkeypatch: Any
) -> None:
    async def fail(titling: Any) -> bool:
        raise AssertionError("nobody wants one")

    chatstream(titles="prompt")
    monkeypatch.setattr(Titling, "go_on", fail)
    worker = await start_worker(FakeEngine(max_running=3))
    await ask(await client(), "stop 3")
    await worker._upkeep.title()


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ('\n  **Title: "Bread & water."**\nmore', "Bread & water"),
        ("題名：「京都の旅」", "京都の旅"),
        ("# A\0 B", "A B"),
        ("x" * 81, ""),
        ("\n \n", ""),
        ('""', ""),
    ],
)
def test_what_is_a_title(text: str, title: str) -> None:
    assert titles.title_in(text) == title
