"""Versions of a turn: what a prompt follows, regenerate, continue, and prompts edited in time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from streaming.engine.base import GenerationRequest
from streaming.models import Conversation, Message, Response
from streaming.pages import turns
from tests.support.fake_engine import FakeEngine, words

pytestmark = pytest.mark.django_db(transaction=True)


class RecordingEngine(FakeEngine):
    """Remembers what it was asked to answer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked: list[list[tuple[str, str]]] = []

    def submit(self, request: GenerationRequest) -> None:
        self.asked.append([(message.role, message.content) for message in request.messages])
        super().submit(request)


def said(count: int) -> tuple[str, str]:
    return ("assistant", "".join(words(count)))


async def answer(chat: Any, text: str | None = None, **fields: Any) -> dict[str, Any]:
    """Ask, and wait for the end: `response.queued` and the last event in one."""
    task = {} if text is None else {"input": text}
    await chat.send("response.create", **task, **fields)
    queued = await chat.until("response.queued")
    done = await chat.end(response_id=queued["response_id"])
    return {**queued, **done}


async def test_a_prompt_follows_the_newest_response_unless_it_names_another(
    start_worker: Any, client: Any
) -> None:
    engine = RecordingEngine()
    await start_worker(engine)
    chat = await client()
    first = await answer(chat, "stop 1")
    conversation = {"conversation_id": first["conversation_id"]}
    second = await answer(chat, "stop 2", **conversation)
    await answer(chat, "stop 3", previous_response_id=first["response_id"])
    await answer(chat, "stop 4", previous_response_id=None, **conversation)
    newest = await answer(chat, "stop 5", **conversation)
    assert engine.asked == [
        [("user", "stop 1")],
        [("user", "stop 1"), said(1), ("user", "stop 2")],
        [("user", "stop 1"), said(1), ("user", "stop 3")],
        [("user", "stop 4")],
        [("user", "stop 4"), said(4), ("user", "stop 5")],
    ]
    assert newest["conversation_id"] == first["conversation_id"]
    row = await Response.objects.aget(pk=second["response_id"])
    assert str(row.previous_id) == first["response_id"]


async def test_a_prompt_may_follow_an_answer_that_is_still_open(
    start_worker: Any, client: Any
) -> None:
    engine = RecordingEngine()
    await start_worker(engine)
    chat = await client()
    first = await answer(chat, "stop 1")
    running = await chat.ask("stop 30", conversation_id=first["conversation_id"])
    held = await chat.ask("stop 2", previous_response_id=running["response_id"])
    after = await chat.ask("stop 3", previous_response_id=held["response_id"])
    assert (held["position"], after["position"]) == (None, None)
    await chat.send("response.cancel", response_id=held["response_id"])
    await chat.end(response_id=after["response_id"])
    # The cancelled one has no answer, and is passed over with its prompt.
    assert engine.asked[-1] == [
        ("user", "stop 1"), said(1), ("user", "stop 30"), said(30), ("user", "stop 3"),
    ]  # fmt: skip


async def test_regenerate_answers_the_same_prompt_again(start_worker: Any, client: Any) -> None:
    engine = RecordingEngine()
    await start_worker(engine)
    chat = await client()
    first = await answer(chat, "stop 1")
    second = await answer(chat, "stop 2", conversation_id=first["conversation_id"])
    again = await answer(chat, regenerates=second["response_id"])
    assert engine.asked[-1] == engine.asked[-2]
    rows = [await Response.objects.aget(pk=one["response_id"]) for one in (second, again)]
    assert rows[0].prompt_id == rows[1].prompt_id
    assert rows[0].previous_id == rows[1].previous_id
    assert await Message.objects.filter(role="user").acount() == 2


async def test_continue_goes_on_behind_what_was_said(start_worker: Any, client: Any) -> None:
    engine = RecordingEngine()
    await start_worker(engine)
    chat = await client()
    cut = await answer(chat, "go on", params={"max_tokens": 2})
    assert cut["status"] == "incomplete"
    more = await answer(chat, continues=cut["response_id"], params={"max_tokens": 3})
    assert engine.asked[-1] == [("user", "go on"), said(2)]
    row = await Response.objects.select_related("message").aget(pk=more["response_id"])
    assert row.text == more["text"] == "".join(words(3))
    assert row.message is not None
    whole = "".join(words(2) + words(3))
    assert row.message.content == whole
    third = await answer(chat, continues=more["response_id"], params={"max_tokens": 1})
    assert engine.asked[-1] == [("user", "go on"), ("assistant", whole)]
    await answer(chat, "stop 1", previous_response_id=third["response_id"])
    assert engine.asked[-1] == [
        ("user", "go on"), ("assistant", whole + words(1)[0]), ("user", "stop 1"),
    ]  # fmt: skip


@pytest.mark.parametrize("task", ["regenerates", "continues"])
async def test_an_open_answer_is_neither_regenerated_nor_continued(
    task: str, start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine(step_seconds=0.05))
    chat = await client()
    queued = await chat.ask("go")
    await chat.send("response.create", **{task: queued["response_id"]})
    error = await chat.until("error")
    assert (error["code"], error["param"]) == ("invalid_event", task)


async def test_a_complete_answer_has_no_more_to_come(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    done = await answer(chat, "stop 1")
    await chat.send("response.create", continues=done["response_id"])
    error = await chat.until("error")
    assert (error["code"], error["param"]) == ("invalid_event", "continues")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"input": "a", "regenerates": str(uuid4())},
        {"regenerates": str(uuid4()), "continues": str(uuid4())},
        {"regenerates": str(uuid4()), "previous_response_id": None},
    ],
)
async def test_exactly_one_task(fields: dict[str, Any], start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    await chat.send("response.create", **fields)
    error = await chat.until("error")
    assert error["code"] == "invalid_event"
    assert await Conversation.objects.acount() == 0


@pytest.mark.parametrize("param", ["previous_response_id", "regenerates", "continues"])
async def test_an_earlier_response_must_be_known_and_of_the_conversation(
    param: str, start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    here, there = await answer(chat, "go", params={"max_tokens": 1}), await answer(chat, "stop 1")
    task = {"input": "b"} if param == "previous_response_id" else {}
    await chat.send("response.create", **task, **{param: str(uuid4())})
    error = await chat.until("error")
    assert (error["code"], error["param"]) == ("not_found", param)
    elsewhere = {"conversation_id": there["conversation_id"]}
    await chat.send("response.create", **task, **{param: here["response_id"]}, **elsewhere)
    error = await chat.until("error")
    assert (error["code"], error["param"]) == ("invalid_event", param)
    assert await Response.objects.acount() == 2


async def test_a_regeneration_the_list_refuses_leaves_the_first_answer(
    start_worker: Any, client: Any, chatstream: Any
) -> None:
    chatstream(max_waiting=0)
    await start_worker(FakeEngine(max_running=1, step_seconds=0.05))
    chat = await client()
    done = await answer(chat, "stop 1")
    await chat.ask("go")
    await chat.send("response.create", regenerates=done["response_id"])
    assert (await chat.until("error"))["code"] == "queue_full"
    row = await Response.objects.select_related("prompt").aget(pk=done["response_id"])
    assert row.prompt.content == "stop 1"


async def test_a_waiting_prompt_is_edited_and_keeps_its_place(
    start_worker: Any, client: Any
) -> None:
    engine = RecordingEngine(max_running=1, step_seconds=0.02)
    await start_worker(engine)
    busy, chat = await client(), await client()
    running = await busy.ask("go")
    queued = await chat.ask("stop 2")
    await chat.send("chatstream:update", response_id=queued["response_id"], input="stop 3")
    updated = await chat.until("chatstream:updated")
    assert updated["input"] == "stop 3"
    conversation = await Conversation.objects.aget(pk=queued["conversation_id"])
    assert conversation.title == "stop 3"
    await busy.send("response.cancel", response_id=running["response_id"])
    done = await chat.end()
    assert engine.asked[-1] == [("user", "stop 3")]
    assert done["text"] == "".join(words(3))


async def test_too_late_empty_and_long_edits_are_refused(
    start_worker: Any, client: Any, chatstream: Any
) -> None:
    chatstream(max_input_chars=20)
    await start_worker(FakeEngine(max_running=1, step_seconds=0.02))
    chat = await client()
    running = await chat.ask("go")
    await chat.until("response.in_progress")
    held = await chat.ask("stop 1", conversation_id=running["conversation_id"])
    for response_id, text, code in (
        (running["response_id"], "stop 1", "already_started"),
        (held["response_id"], "  ", "invalid_event"),
        (held["response_id"], "x" * 21, "input_too_long"),
        (str(uuid4()), "stop 1", "not_found"),
    ):
        await chat.send("chatstream:update", response_id=response_id, input=text)
        assert (await chat.until("error"))["code"] == code
    row = await Response.objects.select_related("prompt").aget(pk=held["response_id"])
    assert row.prompt.content == "stop 1"


async def test_the_prompt_of_another_answer_is_not_edited(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine(max_running=1, step_seconds=0.02))
    busy, chat = await client(), await client()
    done = await answer(chat, "stop 1")
    await busy.ask("go")
    await chat.send("response.create", regenerates=done["response_id"])
    again = await chat.until("response.queued")
    await chat.send("chatstream:update", response_id=again["response_id"], input="stop 9")
    assert (await chat.until("error"))["code"] == "invalid_event"


async def test_nobody_else_may_touch_a_response(start_worker: Any, client: Any) -> None:
    """Every event that names a response, by somebody it does not belong to."""
    await start_worker(FakeEngine(max_running=1, step_seconds=0.02))
    owner, stranger, busy = await client(), await client(), await client()
    cut = await answer(owner, "go", params={"max_tokens": 2})
    await busy.ask("go")
    waiting = await owner.ask("stop 3")
    before = await sync_to_async(list)(Response.objects.order_by("pk").values())
    mine = {"response_id": waiting["response_id"]}
    tries: list[tuple[str, dict[str, Any]]] = [
        ("response.cancel", mine),
        ("chatstream:resume", mine),
        ("chatstream:resume", {"response_id": cut["response_id"]}),
        ("chatstream:update", {**mine, "input": "owned"}),
        ("response.create", {**mine, "input": "owned"}),
        ("response.create", {"input": "owned", "conversation_id": cut["conversation_id"]}),
        ("response.create", {"input": "owned", "previous_response_id": cut["response_id"]}),
        ("response.create", {"regenerates": cut["response_id"]}),
        ("response.create", {"continues": cut["response_id"]}),
    ]
    for type_, fields in tries:
        await stranger.send(type_, **fields)
        error = await stranger.until("error")
        assert error["code"] in ("forbidden", "not_found"), (type_, fields)
    assert await sync_to_async(list)(Response.objects.order_by("pk").values()) == before
    assert {event["type"] for event in stranger.received} == {"chatstream:session", "error"}


async def test_the_newest_turn_is_the_last_one_that_came_whatever_the_clock_says(
    start_worker: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is set back, and a second web process whose clock is behind."""
    await start_worker(FakeEngine())
    chat = await client()
    now, behind = timezone.now, timedelta(0)
    monkeypatch.setattr("django.utils.timezone.now", lambda: now() - behind)
    asked: list[str] = []
    conversation: dict[str, str] = {}
    for _ in range(4):
        queued = await chat.ask("stop 1", **conversation)
        await chat.end()
        asked.append(queued["response_id"])
        conversation = {"conversation_id": queued["conversation_id"]}
        behind += timedelta(hours=1)
    rows = [await Response.objects.aget(pk=response_id) for response_id in asked]
    assert [row.created_at for row in rows] == sorted(
        (row.created_at for row in rows), reverse=True
    )
    assert [str(row.previous_id) for row in rows] == ["None", *asked[:-1]]
    kept = await Conversation.objects.aget(pk=conversation["conversation_id"])
    assert str(await sync_to_async(turns.newest)(kept)) == asked[-1]
    window = await sync_to_async(turns.window)(kept)
    assert [str(turn.response_id) for turn in window.turns] == asked
