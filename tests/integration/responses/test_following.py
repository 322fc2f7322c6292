"""What a response follows: another response, a conversation; and what it goes on with."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from channels.db import database_sync_to_async

from streaming.engine.base import ChatMessage
from streaming.lifecycle import unstored
from streaming.models import Conversation, Message, Response, Status
from streaming.record.conversations import insert_chain
from streaming.record.creation import create as write
from streaming.record.deletion import discard
from streaming.record.errors import NotFound, StillOpen
from streaming.record.tasks import Items, Regeneration, Requester
from tests.integration.conftest import ChatClient, eventually
from tests.integration.http import HttpRequest, call
from tests.integration.responses.asking import RESPONSES, create, get, open_stream, post, text_of
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

ME = "address:127.0.0.1"


@database_sync_to_async
def a_conversation(*said: str) -> Conversation:
    conversation = Conversation.objects.create(owner=ME, source="api", metadata={})
    if said:
        conversation.tail_id = insert_chain(
            conversation, [ChatMessage("user", text) for text in said]
        )
        conversation.save()
    return conversation


async def context_of(response: dict[str, Any]) -> list[str]:
    _, page = await get(f"{response['id']}/input_items")
    return [item["content"][0]["text"] for item in page["data"]][::-1]


async def test_a_conversation_goes_on(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    conversation = await a_conversation("hello")
    name = f"conv_{conversation.pk.hex}"
    first = await create("stop 1", conversation=name)
    assert first["conversation"] == {"id": name}
    assert first["previous_response_id"] is None
    assert await context_of(first) == ["hello", "stop 1"]
    second = await create("stop 2", conversation={"id": name})
    assert await context_of(second) == ["hello", "stop 1", "w0 ", "stop 2"]
    # What fails leaves nothing behind in it.
    request, _ = await post("fail 1", conversation=name)
    assert request.status == 500
    third = await create("stop 3", conversation=name)
    assert await context_of(third) == [
        "hello", "stop 1", "w0 ", "stop 2", "w0 w1 ", "stop 3",
    ]  # fmt: skip
    # Deleting a response leaves its turns to the conversation.
    assert (await get(third["id"], method="DELETE"))[0] == 200
    fourth = await create("stop 1", conversation=name)
    assert (await context_of(fourth))[-2:] == ["w0 w1 w2 ", "stop 1"]


async def test_a_conversation_whose_last_turn_waits_is_answered(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    name = f"conv_{(await a_conversation('stop 2')).pk.hex}"
    request, answer = await call("POST", RESPONSES, body={"model": "default", "conversation": name})
    assert (request.status, text_of(answer)) == (200, "w0 w1 ")
    request, answer = await call("POST", RESPONSES, body={"model": "default", "conversation": name})
    assert (request.status, answer["error"]["param"]) == (400, "input")


async def test_a_conversation_has_one_open_response(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    name = f"conv_{(await a_conversation()).pk.hex}"
    stream = await open_stream("go", conversation=name, max_output_tokens=5000)
    request, answer = await post("x", conversation=name)
    assert (request.status, answer["error"]["code"]) == (400, "conversation_locked")
    await stream.leave()


async def test_an_open_response_cannot_be_followed(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    running = await create("go", background=True, max_output_tokens=5000)
    request, answer = await post("x", previous_response_id=running["id"])
    assert (request.status, answer["error"]["code"]) == (400, "previous_response_not_found")
    assert "has not ended" in answer["error"]["message"]
    await get(running["id"], method="DELETE")


async def test_what_failed_is_followed_with_what_was_asked(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    request, _ = await post("fail 0")
    assert request.status == 500
    failed = await Response.objects.aget()
    response = await create("stop 1", previous_response_id=f"resp_{failed.pk.hex}")
    assert await context_of(response) == ["fail 0", "stop 1"]


async def test_what_is_refused_a_place_leaves_nothing(start_worker: Any, chatstream: Any) -> None:
    chatstream(max_per_owner=1)
    await start_worker(FakeEngine())
    first = await create("stop 1")
    stream = await open_stream("go", max_output_tokens=5000)
    before = await Message.objects.acount()
    given = [{"role": "user", "content": text} for text in ("a", "b", "c")]
    for fields in ({}, {"previous_response_id": first["id"]}):
        request, answer = await post(given, **fields)
        assert (request.status, answer["error"]["chatstream"]["code"]) == (429, "user_limit")
        assert int(request.headers["retry-after"]) >= 1
    assert await Message.objects.acount() == before
    assert await Conversation.objects.acount() == 2
    await stream.leave()


async def test_what_the_list_refuses_goes_with_all_of_its_messages(layer: Any) -> None:
    """The list may refuse what it had no objection to a moment before."""
    requester = Requester(ME, None, "")
    one = (ChatMessage("user", "a"),)
    row, _ = await write(Items(one), params={}, requester=requester)
    await Response.objects.filter(pk=row.pk).aupdate(status=Status.CANCELLED)
    more = tuple(ChatMessage("user", text) for text in "bcd")
    second, _ = await write(Items(more, previous_id=row.pk), params={}, requester=requester)
    assert await Message.objects.acount() == 4
    await discard(second, messages=3)
    assert [turn.content async for turn in Message.objects.all()] == ["a"]


async def test_an_operators_second_try_keeps_what_was_asked(layer: Any) -> None:
    requester, one = Requester(ME, None, ""), (ChatMessage("user", "a"),)
    asked = {"metadata": {"a": "b"}}
    items = Items(one, instructions="Be brief.", request=asked, background=True)
    row, _ = await write(items, params={}, requester=requester)
    await Response.objects.filter(pk=row.pk).aupdate(status=Status.FAILED)
    again, _ = await write(Regeneration(row.pk), params={}, requester=requester)
    assert again.prompt_id == row.prompt_id
    assert (again.instructions, again.request, again.background) == ("Be brief.", asked, True)


async def test_the_record_follows_nobody_elses(layer: Any) -> None:
    mine, yours = Requester(ME, None, ""), Requester("user:9", None, "")
    one = (ChatMessage("user", "a"),)
    row, _ = await write(Items(one, stored=False), params={}, requester=mine)
    with pytest.raises(NotFound):
        await write(Items(one, previous_id=row.pk), params={}, requester=yours)
    with pytest.raises(NotFound):
        await write(Items(one, previous_id=row.pk), params={}, requester=mine)
    followed = Items(one, previous_id=row.pk, follows_unstored=True)
    with pytest.raises(StillOpen):
        await write(followed, params={}, requester=mine)
    await Response.objects.filter(pk=row.pk).aupdate(status=Status.CANCELLED)
    with pytest.raises(NotFound):
        await write(followed, params={}, requester=yours)
    second, _ = await write(followed, params={}, requester=mine)
    assert second.conversation_id == row.conversation_id


async def test_what_a_dead_process_left_unstored_is_deleted_later(
    layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, one = Requester(ME, None, ""), (ChatMessage("user", "a"),)
    kept, _ = await write(Items(one), params={}, requester=requester)
    left, _ = await write(Items(one, stored=False), params={}, requester=requester)
    running, _ = await write(Items(one, stored=False), params={}, requester=requester)
    ended = Response.objects.filter(pk__in=[kept.pk, left.pk])
    await ended.aupdate(status=Status.COMPLETED)
    duty = unstored.Unstored(layer)
    await duty.go_on()
    assert await Response.objects.acount() == 3  # a socket may go on with it
    monkeypatch.setattr(unstored, "KEPT", timedelta(0))
    await duty.go_on()
    assert await Response.objects.acount() == 3  # not yet
    await unstored.Unstored(layer).go_on()
    left_over = {row.pk async for row in Response.objects.all()}
    assert left_over == {kept.pk, running.pk}
    assert await Conversation.objects.acount() == 2


async def test_a_page_of_items_after_another(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    given = [{"role": "user", "content": f"message {number}"} for number in range(25)]
    response = await create([*given, {"role": "user", "content": "stop 1"}])
    for order in ("asc", "desc"):
        seen: list[str] = []
        after = ""
        while True:
            request = HttpRequest("GET", f"{RESPONSES}/{response['id']}/input_items")
            query = f"limit=7&order={order}&include[]=message.input_image.image_url{after}"
            request.scope["query_string"] = query.encode()
            await (await request.send()).start()
            page = json.loads(await request.rest())
            seen += [item["content"][0]["text"] for item in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        expected = [each["content"] for each in given] + ["stop 1"]
        assert seen == (expected if order == "asc" else expected[::-1])
    for query in ("limit=0", "limit=101", "order=up", "after=msg_1", "include[]=all"):
        request = HttpRequest("GET", f"{RESPONSES}/{response['id']}/input_items")
        request.scope["query_string"] = query.encode()
        await (await request.send()).start()
        answer = json.loads(await request.rest())
        assert request.status == 400
        assert answer["error"]["param"] == query.partition("=")[0], answer


async def test_the_page_and_a_program_are_in_one_room(start_worker: Any, client: Any) -> None:
    """A program follows what somebody with its key said elsewhere, and nobody else's."""
    await start_worker(FakeEngine())
    chat: ChatClient = await client()
    await chat.ask("stop 1")
    row = await Response.objects.aget()

    async def has_ended() -> bool:
        return await Response.objects.filter(pk=row.pk, status=Status.COMPLETED).aexists()

    await eventually(has_ended)
    request, answer = await post("stop 2", previous_response_id=str(row.pk))
    assert (request.status, answer["error"]["code"]) == (400, "previous_response_not_found")
    await Response.objects.filter(pk=row.pk).aupdate(owner=ME)
    await Conversation.objects.all().aupdate(owner=ME)
    followed = await create("stop 2", previous_response_id=str(row.pk))
    assert await context_of(followed) == ["stop 1", "w0 ", "stop 2"]
