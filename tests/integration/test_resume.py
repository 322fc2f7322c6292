"""`chatstream:resume`: whatever moment a reader comes back at, the text is whole."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from streaming.lifecycle import reconciler
from streaming.models import Response
from tests.integration.conftest import eventually
from tests.support.endings import ending, is_end
from tests.support.fake_engine import FakeEngine, words
from tests.support.told_items import ToldItems

pytestmark = pytest.mark.django_db(transaction=True)


def text_of(events: list[dict[str, Any]]) -> str:
    """What a reader has who follows the protocol: an answer begins anew at `in_progress`."""
    text = ""
    for event in events:
        if event["type"] == "response.in_progress":
            text = ""
        elif event["type"] == "response.output_text.delta":
            assert event["chatstream"]["offset"] == len(text)
            text += event["delta"]
    return text


async def come_back(client: Any, token: str) -> Any:
    chat = await client()
    await chat.send("chatstream:session", session_token=token)
    await chat.until("chatstream:session")
    return chat


async def test_after_the_end_every_number_yields_the_same(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    token = chat.received[0]["session_token"]
    queued = await chat.ask("stop 25")
    done = await chat.end()
    events = chat.numbered()
    reader = await come_back(client, token)
    for after in range(len(events) + 1):
        await reader.send(
            "chatstream:resume", response_id=queued["response_id"], starting_after=after
        )
        for expected in events[after:]:
            assert await reader.next() == expected
    assert text_of(events) == done["text"] == "".join(words(25))


@pytest.mark.parametrize("number", [10**12 + 1, 10**20 - 1, -1, 1.5, "1"])
async def test_no_event_has_such_a_number(start_worker: Any, client: Any, number: Any) -> None:
    """One of 20 digits, told to a list in Redis, kept it from counting: no answer went on."""
    await start_worker(FakeEngine())
    chat = await client()
    queued = await chat.ask("stop 3")
    resume = {"response_id": queued["response_id"], "starting_after": number}
    await chat.send("chatstream:resume", **resume)
    error = await chat.until("error")
    assert (error["code"], error["param"]) == ("invalid_event", "starting_after")


async def test_a_reader_who_leaves_after_every_event(start_worker: Any, client: Any) -> None:
    """A new socket for every single event, while the answer is being generated."""
    await start_worker(FakeEngine(step_seconds=0.02))
    chat = await client()
    token = chat.received[0]["session_token"]
    queued = await chat.ask("stop 30")
    seen: list[dict[str, Any]] = []
    while not seen or not is_end(seen[-1]):
        reader = await come_back(client, token)
        await reader.send(
            "chatstream:resume", response_id=queued["response_id"], starting_after=len(seen)
        )
        while not (event := await reader.next()).get("sequence_number"):
            assert event["type"] in ("response.queued", "chatstream:queue_position")
        seen.append(event)
        await reader.leave()
    assert [event["sequence_number"] for event in seen] == list(range(1, len(seen) + 1))
    assert text_of(seen) == ending(seen[-1])["text"] == "".join(words(30))
    told = ToldItems()
    for event in seen:
        told.take(event)
    assert told.text == text_of(seen)


async def test_viewers_see_the_same_stream(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    token = chat.received[0]["session_token"]
    queued = await chat.ask("stop 30")
    others = [await come_back(client, token) for _ in range(3)]
    for other in others:
        await other.send("chatstream:resume", response_id=queued["response_id"])
    readers = [chat, *others]
    await asyncio.gather(*(reader.end() for reader in readers))
    streams = [reader.numbered() for reader in readers]
    assert all(stream == streams[0] for stream in streams)


async def test_the_place_is_kept(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine(max_running=1))
    chat = await client()
    token = chat.received[0]["session_token"]
    await chat.ask("go", params={"max_tokens": 1000})
    waiting = [await chat.ask("stop 1") for _ in range(3)]
    await chat.leave()
    back = await come_back(client, token)
    await back.send("chatstream:resume", response_id=waiting[1]["response_id"], starting_after=0)
    queued = await back.until("response.queued")
    assert queued["response_id"] == waiting[1]["response_id"]
    assert (queued["position"], queued["size"]) == (2, 3)
    assert queued["conversation_id"] == waiting[1]["conversation_id"]


async def test_resume_is_refused_to_others(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    chat, stranger = await client(), await client()
    queued = await chat.ask("stop 30")
    await stranger.send("chatstream:resume", response_id=queued["response_id"])
    assert (await stranger.until("error"))["code"] == "forbidden"
    await stranger.send("chatstream:resume", response_id=str(uuid4()))
    assert (await stranger.until("error"))["code"] == "not_found"


async def test_the_row_answers_when_the_log_has_expired(
    start_worker: Any, client: Any, layer: Any
) -> None:
    await start_worker(FakeEngine())
    layer.waiting_list._done.keep_seconds = 0
    chat = await client()
    token = chat.received[0]["session_token"]
    queued = await chat.ask("stop 3")
    done = await chat.end()
    back = await come_back(client, token)
    await back.send("chatstream:resume", response_id=queued["response_id"], starting_after=2)
    again = await back.end()
    assert again["text"] == done["text"]
    assert again["sequence_number"] == 3


@pytest.mark.parametrize("beyond", [0, 1, 7, 10**12])
async def test_a_resume_at_the_end_or_beyond_it_is_told_the_end(
    start_worker: Any, client: Any, beyond: int
) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    token = chat.received[0]["session_token"]
    queued = await chat.ask("stop 3")
    done = await chat.end()
    back = await come_back(client, token)
    after = min(done["sequence_number"] + beyond, 10**12)
    resume = {"response_id": queued["response_id"], "starting_after": after}
    await back.send("chatstream:resume", **resume)
    again = await asyncio.wait_for(back.end(), 10)
    assert again["sequence_number"] == after + 1
    assert again | {"sequence_number": 0} == done | {"sequence_number": 0}


@pytest.mark.parametrize("beyond", [0, 1, 1000, 10**9])
async def test_a_resume_beyond_what_a_running_answer_has_said_goes_on_live(
    start_worker: Any, client: Any, beyond: int
) -> None:
    """In one process nothing that was told is ever lost: such a number was never told."""
    await start_worker(FakeEngine(max_running=1, step_seconds=0.02))
    chat = await client()
    token = chat.received[0]["session_token"]
    queued = await chat.ask("stop 40")
    told = await chat.until("response.output_text.delta")
    back = await come_back(client, token)
    after = told["sequence_number"] + beyond
    resume = {"response_id": queued["response_id"], "starting_after": after}
    await back.send("chatstream:resume", **resume)
    done = await asyncio.wait_for(back.end(), 20)
    assert done["text"] == "".join(words(40))
    mine = back.numbered()
    assert [event["type"] for event in mine].count("response.output_text.delta")
    assert mine[-2]["sequence_number"] + 1 == done["sequence_number"]


async def test_a_resume_of_a_waiting_one_beyond_its_beginning(
    start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine(max_running=1, step_seconds=0.02))
    chat = await client()
    token = chat.received[0]["session_token"]
    running = await chat.ask("go", params={"max_tokens": 1000})
    queued = await chat.ask("stop 5")
    back = await come_back(client, token)
    resume = {"response_id": queued["response_id"], "starting_after": 17}
    await back.send("chatstream:resume", **resume)
    assert (await back.until("response.queued"))["position"] == 1
    await chat.send("response.cancel", response_id=running["response_id"])
    done = await asyncio.wait_for(back.end(), 20)
    assert done["text"] == text_of(back.received) == "".join(words(5))


async def test_an_answer_begins_anew_when_the_list_has_lost_its_memory(
    start_worker: Any, client: Any, layer: Any, monkeypatch: pytest.MonkeyPatch, chatstream: Any
) -> None:
    """As after a Redis without append-only file was killed: nobody hangs, nothing doubles."""
    monkeypatch.setattr(reconciler, "INTERVAL_SECONDS", 0.2)
    chatstream(lease_seconds=0.6, disconnect_grace=5)
    await start_worker(FakeEngine(max_running=1, step_seconds=0.02))
    chat = await client()
    running = await chat.ask("stop 60")
    waiting = await chat.ask("stop 3")
    await chat.until("response.output_text.delta")
    await chat.until("response.output_text.delta")
    layer.waiting_list.__init__(layer.deliver)
    done = {}
    while len(done) < 2:
        event = await chat.end()
        done[event["response_id"]] = event
    mine = [e for e in chat.received if e.get("response_id") == running["response_id"]]
    numbers = [event["sequence_number"] for event in mine if event.get("sequence_number")]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] > 1_000_000
    assert text_of(mine) == done[running["response_id"]]["text"] == "".join(words(60))
    assert done[waiting["response_id"]]["status"] == "completed"

    async def nothing_open() -> bool:
        return not await layer.waiting_list.known([str(r.pk) async for r in Response.objects.all()])

    await eventually(nothing_open)
