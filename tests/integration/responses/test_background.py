"""Responses that go on without a reader, and what is read of them later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streaming.models import Conversation, Message, Response, Status
from tests.integration.conftest import eventually
from tests.integration.http import HttpRequest
from tests.integration.responses.asking import (
    RESPONSES,
    create,
    events_of,
    get,
    open_stream,
    post,
    text_of,
)
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

KEPT = ("response.output_text.delta", "response.completed")


async def ended(response_id: str) -> dict[str, Any]:
    """Poll a response until it has ended."""

    async def look() -> Any:
        status, answer = await get(response_id)
        assert status == 200
        return answer if answer["status"] not in ("queued", "in_progress") else None

    response: dict[str, Any] = await eventually(look)
    return response


async def test_it_is_told_at_once_and_read_later(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    response = await create("stop 3", background=True)
    assert (response["status"], response["background"]) == ("queued", True)
    assert response["output"] == []
    assert text_of(await ended(response["id"])) == "w0 w1 w2 "


async def test_nobody_needs_to_watch_it(start_worker: Any, chatstream: Any, layer: Any) -> None:
    chatstream(disconnect_grace=0.5)
    await start_worker(FakeEngine(max_running=1))
    running = await create("go", background=True, max_output_tokens=150)
    waiting = await create("stop 1", background=True)
    await asyncio.sleep(1)
    assert (await ended(running["id"]))["status"] == "incomplete"
    assert (await ended(waiting["id"]))["status"] == "completed"


async def test_what_is_not_in_the_background_ends_with_its_reader(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    request = await open_stream("go", max_output_tokens=5000)
    await request.until("output_text.delta")
    await request.leave()

    async def is_cancelled() -> bool:
        row = await Response.objects.aget()
        return row.status == Status.CANCELLED

    await eventually(is_cancelled)


async def test_a_stream_in_the_background_is_resumed(start_worker: Any) -> None:
    await start_worker(FakeEngine(step_seconds=0.02))
    request = await open_stream("stop 60", background=True)
    begun = events_of((await request.until("output_text.delta")).rpartition("\n\n")[0] + "\n\n")
    await request.leave()
    response_id, seen = begun[0]["response"]["id"], begun[-1]["sequence_number"]
    path = f"{RESPONSES}/{response_id}"
    resumed = HttpRequest("GET", path)
    resumed.scope["query_string"] = f"stream=true&starting_after={seen}".encode()
    await (await resumed.send()).start()
    rest = events_of(await resumed.rest())
    assert [e["sequence_number"] for e in rest] == list(range(seen + 1, seen + 1 + len(rest)))
    said = "".join(e["delta"] for e in (*begun, *rest) if e["type"].endswith("text.delta"))
    assert rest[-1]["type"] == "response.completed"
    assert said == text_of(rest[-1]["response"])


async def resumed(response_id: str, query: str) -> list[dict[str, Any]]:
    request = HttpRequest("GET", f"{RESPONSES}/{response_id}")
    request.scope["query_string"] = query.encode()
    await (await request.send()).start()
    text = await request.rest()
    assert request.status == 200, text
    assert text.endswith("data: [DONE]\n\n")
    return events_of(text)


async def test_an_ended_one_is_replayed_and_without_its_log_ends_alone(
    start_worker: Any, layer: Any
) -> None:
    await start_worker(FakeEngine())
    response = await create("stop 2")
    whole = await resumed(response["id"], "stream=true")
    assert [e["type"] for e in whole[:2]] == ["response.created", "response.in_progress"]
    numbers = [event["sequence_number"] for event in whole[1:]]
    assert numbers == list(range(1, len(whole)))
    assert whole[-1]["response"] == response
    again = await resumed(response["id"], "stream=true&starting_after=4")
    assert again == whole[5:]
    last = await resumed(response["id"], f"stream=true&starting_after={len(whole)}")
    assert [event["type"] for event in last] == ["response.completed"]


async def test_one_that_runs_is_cancelled(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    response = await create("go", background=True, max_output_tokens=5000)

    async def runs() -> bool:
        return (await get(response["id"]))[1]["status"] == "in_progress"

    await eventually(runs)
    status, answer = await get(f"{response['id']}/cancel", method="POST")
    assert (status, answer["status"]) == (200, "cancelled")
    assert answer["incomplete_details"] == {"reason": "cancelled"}
    status, again = await get(f"{response['id']}/cancel", method="POST")
    assert (status, again) == (200, answer)


async def test_one_that_runs_is_deleted(start_worker: Any) -> None:
    engine = FakeEngine()
    await start_worker(engine)
    response = await create("go", background=True, max_output_tokens=5000)

    async def runs() -> bool:
        return bool(engine.rows)

    await eventually(runs)
    status, answer = await get(response["id"], method="DELETE")
    assert (status, answer["deleted"], answer["id"]) == (200, True, response["id"])
    assert (await get(response["id"]))[0] == 404

    async def is_gone() -> bool:
        return not (engine.rows or await Response.objects.aexists())

    await eventually(is_gone)
    assert not await Conversation.objects.aexists()


async def test_what_follows_a_deleted_one_keeps_what_it_follows(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    first = await create("stop 1")
    second = await create("stop 2", previous_response_id=first["id"])
    assert (await get(first["id"], method="DELETE"))[0] == 200
    third = await create("stop 3", previous_response_id=second["id"])
    _, page = await get(f"{third['id']}/input_items")
    texts = [item["content"][0]["text"] for item in page["data"]]
    assert texts == ["stop 3", "w0 w1 ", "stop 2", "w0 ", "stop 1"]
    _, answer = await post("x", previous_response_id=first["id"])
    assert answer["error"]["code"] == "previous_response_not_found"
    for each in (second, third):
        assert (await get(each["id"], method="DELETE"))[0] == 200
    assert not await Message.objects.aexists()


# --- what is not stored ---


async def test_what_is_not_stored_is_gone_when_it_was_read(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    response = await create("stop 1", store=False)
    assert (response["store"], text_of(response)) == (False, "w0 ")

    async def is_gone() -> bool:
        return not await Conversation.objects.aexists()

    assert (await get(response["id"]))[0] == 404
    await eventually(is_gone)
    stored = await create("stop 1")
    request = await open_stream(
        "go", store=False, previous_response_id=stored["id"], max_output_tokens=5000
    )
    await request.until("output_text.delta")
    assert await Response.objects.acount() == 2
    await request.leave()

    async def one_is_left() -> bool:
        return await Response.objects.acount() == 1 and await Message.objects.acount() == 2

    await eventually(one_is_left)
    _, answer = await post("x", previous_response_id=response["id"])
    assert answer["error"]["code"] == "previous_response_not_found"


# --- a crowd ---


async def test_thirty_at_once(start_worker: Any, chatstream: Any) -> None:
    chatstream(max_waiting=10, max_per_owner=0, max_per_address=0)
    engine = FakeEngine(max_running=2, step_seconds=1)
    await start_worker(engine)
    asked = await asyncio.gather(*(post("stop 10", background=True) for _ in range(30)))
    accepted = [answer for request, answer in asked if request.status == 200]
    refused = [(request, answer) for request, answer in asked if request.status != 200]
    assert (len(accepted), len(refused)) == (12, 18)
    for request, answer in refused:
        assert (request.status, answer["error"]["chatstream"]["code"]) == (429, "queue_full")
        assert int(request.headers["retry-after"]) >= 1
    assert {answer["status"] for answer in accepted} == {"queued"}
    last = await Response.objects.order_by("created_at").alast()
    assert last
    reading = asyncio.create_task(resumed(str(last.pk), "stream=true"))
    engine.step_seconds = 0.03
    told = [
        event["position"]
        for event in await reading
        if event["type"] in ("response.queued", "chatstream:queue_position")
    ]
    assert told == sorted(told, reverse=True)
    assert len(set(told)) > 1
    for answer in accepted:
        assert (await ended(answer["id"]))["status"] == "completed"
