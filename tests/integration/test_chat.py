"""The protocol from socket to engine and back, on the memory layer with a fake engine."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from streaming.engine.base import TextDelta
from streaming.models import Conversation, Message, Response, Status
from streaming.record import creation
from tests.integration.conftest import eventually
from tests.support.endings import ending, is_end, usage
from tests.support.fake_engine import FakeEngine, words
from tests.support.told_items import ToldItems

pytestmark = pytest.mark.django_db(transaction=True)


async def row(response_id: str) -> Response:
    return await Response.objects.select_related("prompt", "message").aget(pk=response_id)


async def test_an_answer_from_prompt_to_done(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    greeting = chat.received[0]
    assert greeting["type"] == "chatstream:session"
    assert greeting["model"] == "fake"
    assert greeting["limits"]["context_tokens"] == 4096

    queued = await chat.ask("stop 5", params={"seed": 7, "temperature": 0})
    done = await chat.end()

    assert queued["position"] == 1
    assert done["status"] == "completed"
    assert done["finish_reason"] == "stop"
    assert done["text"] == "".join(words(5))
    assert done["usage"] == usage(1, 5)
    assert 0 <= done["timings"]["queue_ms"] <= done["timings"]["ttft_ms"]
    assert done["timings"]["ttft_ms"] <= done["timings"]["total_ms"]
    assert [event["type"] for event in chat.received[1:3]] == [
        "response.created",
        "response.queued",
    ]
    for event in chat.received[1:3]:
        assert (event["sequence_number"], event["response_id"]) == (0, done["response_id"])
        assert event["response"]["id"] == done["response"]["id"]
        assert (event["response"]["status"], event["response"]["output"]) == ("queued", [])
    mine = chat.numbered()
    assert [event["sequence_number"] for event in mine] == list(range(1, len(mine) + 1))
    assert mine[0]["type"] == "response.in_progress"
    told = ToldItems()
    for event in mine:
        told.take(event)
    assert told.text == done["text"]
    (item,) = done["items"]
    assert (item["type"], item["role"], item["status"]) == ("message", "assistant", "completed")
    kinds = [event["type"] for event in mine]
    assert [kind for kind in kinds if kind != "response.output_text.delta"] == [
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]

    saved = await row(done["response_id"])
    assert saved.status == Status.COMPLETED
    assert saved.params["seed"] == 7
    assert saved.message is not None
    assert saved.message.content == done["text"]
    assert saved.message.parent_id == saved.prompt_id


async def test_the_token_limit_makes_an_answer_incomplete(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    await chat.ask("go", params={"max_tokens": 3})
    done = await chat.end()
    assert (done["status"], done["finish_reason"]) == ("incomplete", "length")
    assert done["text"] == "".join(words(3))


async def test_a_failing_response_fails_alone(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    chat, other = await client(), await client()
    await chat.ask("fail 2")
    await other.ask("stop 10")
    failed = await chat.end()
    assert failed["status"] == "failed"
    assert failed["error"] == {
        "code": "engine_error",
        "message": "The fake engine failed as asked.",
    }
    assert failed["text"] == "".join(words(2))
    assert (await other.end())["status"] == "completed"


async def test_one_open_response_per_conversation_and_its_history(
    start_worker: Any, client: Any
) -> None:
    engine = FakeEngine()
    await start_worker(engine)
    chat = await client()
    first = await chat.ask("stop 30")
    second = await chat.ask("stop 2", conversation_id=first["conversation_id"])
    assert second["position"] is None
    assert second["conversation_id"] == first["conversation_id"]
    done = [await chat.end(), await chat.end()]
    assert [event["response_id"] for event in done] == [first["response_id"], second["response_id"]]
    assert done[1]["usage"]["input_tokens"] == 3  # prompt, answer, prompt
    answered = await row(second["response_id"])
    assert answered.prompt.parent_id == (await row(first["response_id"])).message_id


async def test_several_conversations_run_at_once_on_one_socket(
    start_worker: Any, client: Any
) -> None:
    engine = FakeEngine(max_running=2)
    await start_worker(engine)
    chat = await client()
    await chat.ask("stop 20")
    await chat.ask("stop 20")
    for _ in range(2):
        assert (await chat.end())["text"] == "".join(words(20))
    assert engine.most_running == 2


async def test_cap_bounds_and_positions(start_worker: Any, client: Any, chatstream: Any) -> None:
    chatstream(max_running=2, max_waiting=3)
    engine = FakeEngine(max_running=2, step_seconds=0.03)
    await start_worker(engine)
    chats = [await client() for _ in range(8)]
    await asyncio.gather(*(chat.send("response.create", input="stop 60") for chat in chats))

    async def answer(chat: Any) -> dict[str, Any]:
        while True:
            event = await chat.next()
            if event["type"] == "error":
                return event
            if is_end(event):
                return ending(event)

    ends = await asyncio.gather(*(answer(chat) for chat in chats))
    refused = [end for end in ends if end["type"] == "error"]
    assert [end["code"] for end in refused] == ["queue_full"] * 3
    assert [end["status"] for end in ends if end["type"] != "error"] == ["completed"] * 5
    assert engine.most_running == 2
    assert await Response.objects.acount() == 5
    for chat in chats:
        positions = [e["position"] for e in chat.received if "position" in e]
        assert positions == sorted(positions, reverse=True)
    last = max(chats, key=lambda chat: len([e for e in chat.received if "position" in e]))
    assert [e["position"] for e in last.received if "position" in e][-1] == 1


@pytest.mark.parametrize("moment", ["waiting", "held", "running"])
async def test_cancel(start_worker: Any, client: Any, moment: str) -> None:
    engine = FakeEngine(max_running=1)
    await start_worker(engine)
    chat = await client()
    first = await chat.ask("stop 100000", params={"max_tokens": 1000})
    await chat.until("response.output_text.delta")
    target = first
    if moment == "waiting":
        target = await chat.ask("stop 3")
    elif moment == "held":
        target = await chat.ask("stop 3", conversation_id=first["conversation_id"])
    await chat.send("response.cancel", response_id=target["response_id"])
    done = await chat.end(response_id=target["response_id"])
    assert done["status"] == "cancelled"
    saved = await row(target["response_id"])
    assert saved.status == Status.CANCELLED
    assert saved.text == done["text"]
    if moment == "running":
        assert done["text"]
        assert saved.message is not None
        # its place is free at once
        await chat.ask("stop 1")
        assert (await chat.end())["status"] == "completed"
    else:
        assert done["text"] == ""


async def test_cancel_is_refused_to_others_and_after_the_end(
    start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine())
    chat, stranger = await client(), await client()
    queued = await chat.ask("stop 50")
    await stranger.send("response.cancel", response_id=queued["response_id"], event_id="e1")
    error = await stranger.until("error")
    assert (error["code"], error["event_id"]) == ("forbidden", "e1")
    await stranger.send("response.cancel", response_id=str(uuid4()))
    assert (await stranger.until("error"))["code"] == "not_found"
    assert (await chat.end())["status"] == "completed"
    await chat.send("response.cancel", response_id=queued["response_id"])
    assert (await chat.until("error"))["code"] == "already_done"


async def test_the_same_id_is_the_same_response(start_worker: Any, client: Any) -> None:
    engine = FakeEngine()
    await start_worker(engine)
    chat = await client()
    token = chat.received[0]["session_token"]
    response_id = str(uuid4())
    await chat.ask("stop 4", response_id=response_id)
    done = await chat.end()
    again = await client()
    await again.send("chatstream:session", session_token=token)
    await again.until("chatstream:session")
    await again.send("response.create", response_id=response_id, input="stop 4")
    repeated = await again.end()
    assert repeated == done
    assert await Response.objects.acount() == 1
    stranger = await client()
    await stranger.send("response.create", response_id=response_id, input="stop 4")
    assert (await stranger.until("error"))["code"] == "forbidden"


async def test_a_session_token_is_checked(client: Any, layer: Any) -> None:
    chat = await client()
    await chat.send("chatstream:session", session_token="forged", event_id="x")
    error = await chat.until("error")
    assert (error["code"], error["param"], error["event_id"]) == ("forbidden", "session_token", "x")


async def test_conversations_belong_to_their_owner(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    chat, stranger = await client(), await client()
    queued = await chat.ask("stop 1")
    await stranger.send(
        "response.create", input="stop 1", conversation_id=queued["conversation_id"]
    )
    error = await stranger.until("error")
    assert (error["code"], error["param"]) == ("not_found", "conversation_id")


async def test_without_a_worker_nothing_is_accepted(client: Any, layer: Any) -> None:
    chat = await client()
    assert chat.received[0]["model"] is None
    await chat.send("response.create", input="hello")
    assert (await chat.until("error"))["code"] == "unavailable"
    for model in (Response, Message, Conversation):
        assert await model.objects.acount() == 0


@pytest.mark.parametrize(
    ("frame", "param"),
    [
        (" ", None),
        ("no json", None),
        ("[]", None),
        ("{}", "type"),
        ('{"type": "nonsense"}', "type"),
        ('{"type": "response.create"}', "input"),
        ('{"type": "response.create", "input": ""}', "input"),
        ('{"type": "response.create", "input": "   "}', "input"),
        ('{"type": "response.create", "input": 7}', "input"),
        ('{"type": "response.create", "input": "a\\u0000b"}', "input"),
        ('{"type": "response.create", "input": "\\ud800"}', None),
        ('{"type": "response.create", "input": "x", "response_id": "7"}', "response_id"),
        ('{"type": "response.create", "input": "x", "colour": 1}', "colour"),
        ('{"type": "response.create", "input": "x", "params": []}', "params"),
        (
            '{"type": "response.create", "input": "x", "params": {"max_tokens": 0}}',
            "params.max_tokens",
        ),
        (
            '{"type": "response.create", "input": "x", "params": {"max_tokens": -2}}',
            "params.max_tokens",
        ),
        (
            '{"type": "response.create", "input": "x", "params": {"temperature": -1}}',
            "params.temperature",
        ),
        ('{"type": "response.create", "input": "x", "params": {"temperature": NaN}}', None),
        ('{"type": "response.create", "input": "x", "params": {"top_p": -1}}', "params.top_p"),
        ('{"type": "response.create", "input": "x", "params": {"seed": 1.5}}', "params.seed"),
        (
            json.dumps({"type": "response.create", "input": "x", "params": {"stop": ["a"] * 65}}),
            "params.stop",
        ),
        ('{"type": "response.create", "input": "x", "params": {"stop": [""]}}', "params.stop.0"),
        ('{"type": "response.cancel"}', "response_id"),
        ("[" * 100_000, None),
    ],
)
async def test_malformed_events_are_explained(
    client: Any, start_worker: Any, frame: str, param: str | None
) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    await chat.send_text(frame)
    error = await chat.until("error")
    assert error["code"] == "invalid_event"
    if param:
        assert error["param"] == param
        assert param.split(".")[-1] in error["message"] or param in error["message"]
    await chat.ask("stop 1")
    assert (await chat.end())["status"] == "completed"
    assert await Response.objects.acount() == 1


async def test_the_error_carries_the_event_id_even_of_a_broken_event(
    client: Any, layer: Any
) -> None:
    chat = await client()
    await chat.send_text('{"event_id": "mine", "type": "response.create"}')
    assert (await chat.until("error"))["event_id"] == "mine"
    await chat.send_bytes(b"\x00")
    assert "binary" in (await chat.until("error"))["message"]


async def test_input_length_is_bounded(client: Any, layer: Any, chatstream: Any) -> None:
    chatstream(max_input_chars=10)
    chat = await client()
    await chat.send("response.create", input="x" * 11)
    error = await chat.until("error")
    assert (error["code"], error["param"]) == ("input_too_long", "input")


async def test_owner_limit(client: Any, start_worker: Any, chatstream: Any) -> None:
    chatstream(max_per_owner=2)
    await start_worker(FakeEngine(max_running=1))
    chat = await client()
    await chat.ask("stop 50")
    await chat.ask("stop 50")
    await chat.send("response.create", input="stop 1")
    error = await chat.until("error")
    assert error["code"] == "user_limit"
    assert "2" in error["message"]


async def test_anonymous_use_can_be_switched_off(
    layer: Any, chatstream: Any, django_user_model: Any, client: Any
) -> None:
    from tests.integration.conftest import ChatClient

    chatstream(anonymous=False)
    chat = ChatClient()
    assert (await chat.connect())["code"] == "login_required"
    assert await chat.close_code() == 4401
    user = await sync_to_async(django_user_model.objects.create_user)("ann", password="x")
    signed_in = await client(user=user)
    assert signed_in.received[0]["session_token"] is None


async def test_an_unwatched_response_is_cancelled_wherever_it_stands(
    start_worker: Any, client: Any, chatstream: Any
) -> None:
    engine = FakeEngine(max_running=1, step_seconds=0.05)
    await start_worker(engine)
    chat = await client()
    first = await chat.ask("go", params={"max_tokens": 1000})
    await chat.ask("go", params={"max_tokens": 1000})
    await chat.ask("go", conversation_id=first["conversation_id"])
    await chat.until("response.output_text.delta")
    await chat.leave()
    chatstream(disconnect_grace=0.5)

    async def all_cancelled() -> bool:
        return await Response.objects.filter(status=Status.CANCELLED).acount() == 3

    await eventually(all_cancelled)
    assert not engine.rows
    fresh = await client()
    await fresh.ask("stop 2")
    assert (await fresh.end())["status"] == "completed"


async def test_a_prompt_outlives_a_client_that_left_at_once(
    start_worker: Any, client: Any, layer: Any, monkeypatch: Any, caplog: Any
) -> None:
    """It is in the record, then its client leaves, then it gets its place."""
    recorded, left = asyncio.Event(), asyncio.Event()
    create = creation.create

    async def create_slowly(*args: Any, **options: Any) -> Any:
        created = await create(*args, **options)
        recorded.set()
        await left.wait()
        return created

    async def refuse(group: str, channel: str) -> None:
        raise RuntimeError("as the Redis layer does with a channel that is closed")

    await start_worker(FakeEngine())
    chat = await client()
    monkeypatch.setattr(creation, "create", create_slowly)
    await chat.send("response.create", input="stop 2")
    await recorded.wait()
    await chat.leave()
    monkeypatch.setattr(layer, "group_add", refuse)
    left.set()
    await eventually(lambda: Response.objects.filter(status=Status.COMPLETED).aexists())
    assert "could not be handled" not in caplog.text


async def test_a_watched_response_outlives_the_grace(
    start_worker: Any, client: Any, chatstream: Any, layer: Any
) -> None:
    """Time passes in steps that are shorter than the grace, from one look of its viewer to the
    next: however busy the machine is, it is seen in time."""
    chatstream(disconnect_grace=0.5)
    now = 1000.0
    layer.waiting_list.__init__(layer.deliver, clock=lambda: now)
    await start_worker(FakeEngine())
    chat = await client()
    queued = await chat.ask("go", params={"max_tokens": 1000})

    async def was_looked_at() -> bool:
        return not (await layer.waiting_list.sweep(0.3)).abandoned

    for _ in range(5):
        now += 0.4
        assert not await was_looked_at()
        await eventually(was_looked_at)
    assert (await Response.objects.aget(pk=queued["response_id"])).status == Status.IN_PROGRESS
    now += 0.6
    assert (await layer.waiting_list.sweep(0.5)).abandoned == [queued["response_id"]]


async def test_lost_deliveries_are_repaired_from_the_log(
    start_worker: Any, client: Any, layer: Any
) -> None:
    """Every second group message is dropped, the last one always."""
    count = 0
    deliver = layer.deliver

    def lossy(group: str, message: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        if message.get("last") or (message["type"] == "response.event" and count % 2):
            return
        deliver(group, message)

    layer.waiting_list._publish = layer.deliver = lossy
    await start_worker(FakeEngine())
    chat = await client()
    await chat.ask("stop 40")
    done = await chat.end()
    numbers = [event["sequence_number"] for event in chat.numbered()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert "".join(e["delta"] for e in chat.received if "delta" in e) == done["text"]
    assert count > 3


class NulEngine(FakeEngine):
    """Says U+0000 where others say a word; a model can."""

    def _step(self, row: Any) -> Any:
        for event in super()._step(row):
            is_text = isinstance(event, TextDelta)
            yield TextDelta(event.response_id, "a\x00b", event.tokens) if is_text else event


async def test_an_answer_with_a_nul_ends(start_worker: Any, client: Any) -> None:
    """PostgreSQL cannot store one."""
    await start_worker(NulEngine())
    chat = await client()
    await chat.ask("stop 2")
    done = await chat.end()
    assert (done["status"], done["text"]) == ("completed", "a\ufffdba\ufffdb")
    assert (await row(done["response_id"])).text == done["text"]


async def test_a_ping_is_answered_at_once(
    start_worker: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the event before it waits for a database that is slow."""
    await start_worker(FakeEngine())
    chat = await client()
    slow = asyncio.Event()
    create = creation.create

    async def create_slowly(*args: Any, **kwargs: Any) -> Any:
        await slow.wait()
        return await create(*args, **kwargs)

    monkeypatch.setattr(creation, "create", create_slowly)
    await chat.send("response.create", input="stop 1")
    await chat.send("chatstream:ping", event_id="7")
    assert await chat.next() == {"type": "chatstream:pong", "event_id": "7"}
    await chat.send("chatstream:ping")
    assert await chat.next() == {"type": "chatstream:pong", "event_id": None}
    slow.set()
    await chat.end()


@pytest.mark.parametrize(
    ("ping", "param"),
    [
        ('{"type": "chatstream:ping", "event_id": 7}', "event_id"),
        ('{"type": "chatstream:ping", "also": "this"}', "also"),
        ('{"type": "chatstream:ping"', None),
    ],
)
async def test_a_ping_that_is_none(client: Any, layer: Any, ping: str, param: str | None) -> None:
    chat = await client()
    await chat.send_text(ping)
    error = await chat.next()
    assert (error["type"], error["code"]) == ("error", "invalid_event")
    assert error["param"] == param


async def test_an_odd_ping_is_one(client: Any, layer: Any) -> None:
    chat = await client()
    await chat.send_text('{"type": "chatstream\\u003aping"}')
    assert (await chat.next())["type"] == "chatstream:pong"
    await chat.send_text('{"type": "chatstream:ping"}' + " " * 600)
    assert (await chat.next())["type"] == "chatstream:pong"


async def test_pings_are_counted_as_events(client: Any, layer: Any, chatstream: Any) -> None:
    chatstream(max_events_per_second=1)
    chat = await client()
    for _ in range(20):
        await chat.send("chatstream:ping")
    said = [(await chat.next())["type"] for _ in range(20)]
    assert said.count("chatstream:pong") < 10
    assert "error" in said
