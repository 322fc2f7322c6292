"""Requests to `/v1/responses` as no client of good will makes them, or at a bad moment."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from streaming.api.responses import sealing
from streaming.api.responses.shown import Shown
from streaming.api.responses.turns import packed
from streaming.engine.base import ChatMessage
from streaming.models import Message, Response
from streaming.protocol import ids
from streaming.record import context
from streaming.waiting_list.interface import QueueFull
from tests.integration.http import call
from tests.integration.responses.asking import create, get, post
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)


async def test_an_empty_conversation_outlives_a_refusal(
    start_worker: Any, layer: Any, monkeypatch: Any
) -> None:
    await start_worker(FakeEngine())

    async def refuse(*given: Any, **fields: Any) -> None:
        raise QueueFull("The waiting list is full.")

    _, conversation = await call("POST", "/v1/conversations", body={"metadata": {"a": "b"}})
    with monkeypatch.context() as patched:
        patched.setattr(layer.waiting_list, "enqueue", refuse)
        request, _ = await post("stop 1", conversation=conversation["id"])
        assert request.status == 429
    assert not await Message.objects.aexists()
    request, found = await call("GET", f"/v1/conversations/{conversation['id']}")
    assert (request.status, found) == (200, conversation)
    answer = await create("stop 1", conversation=conversation["id"])
    assert answer["conversation"] == {"id": conversation["id"]}


async def test_what_is_sealed_is_taken_as_it_was_written(start_worker: Any) -> None:
    """The cipher reads past characters that are none of its own."""
    await start_worker(FakeEngine())
    await create("stop 1")
    owner = (await Response.objects.aget()).owner
    sealed = sealing.seal("compaction", owner, packed([ChatMessage("user", "hello")]))
    prompt = {"role": "user", "content": "stop 1"}
    for altered in (f"{sealed[:9]}\0{sealed[9:]}", f"{sealed} ", f"{sealed}=\0", f"\n{sealed}"):
        request, answer = await post([{"type": "compaction", "encrypted_content": altered}, prompt])
        assert (request.status, answer["error"]["code"]) == (400, "invalid_encrypted_content")
    assert await create([{"type": "compaction", "encrypted_content": sealed}, prompt])


async def test_items_are_not_listed_after_one_that_is_none(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    response = await create("stop 1")
    _, page = await get(f"{response['id']}/input_items")
    key = page["data"][0]["id"].removeprefix("msg_")
    status, answer = await get(f"{response['id']}/input_items?after=rs_{key}")
    assert (status, answer["error"]["param"]) == (400, "after")


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/v1/conversations"])
async def test_an_infinite_number_is_no_json(path: str) -> None:
    """What is passed on to a model's server, such as a schema, is kept as JSON before."""
    request, answer = await call("POST", path, body=b'{"tools": [{"parameters": {"x": -1e999}}]}')
    assert (request.status, answer["error"]["code"]) == (400, "invalid_json"), answer


async def test_what_short_items_stand_for_is_bounded(
    start_worker: Any, chatstream: Any, monkeypatch: Any
) -> None:
    """Sealed texts are compressed: a request of some kilobytes may stand for gigabytes."""
    await start_worker(FakeEngine())
    await create("stop 1")
    chatstream(max_conversation_chars=1000)
    owner = (await Response.objects.aget()).owner
    opened: list[str] = []
    real = sealing.opened

    def count(kind: sealing.Kind, whose: str, sealed: str) -> Any:
        opened.append(kind)
        return real(kind, whose, sealed)

    monkeypatch.setattr(sealing, "opened", count)
    long = packed([ChatMessage("user", "x" * 600)])
    many = packed([ChatMessage("assistant", "")] * 6000)
    for kind, value, code in (
        ("compaction", long, "context_length_exceeded"),
        ("compaction", many, "input_too_long"),
        ("reasoning", "x" * 600, "input_too_long"),
    ):
        opened.clear()
        item = {"type": kind, "encrypted_content": sealing.seal(kind, owner, value)}
        request, answer = await post([item] * 50)
        assert (request.status, answer["error"]["chatstream"]["code"]) == (400, code)
        assert opened == [kind] * 2


def test_notes_of_an_ended_response_are_shown_once() -> None:
    """Who reads from the middle of the log gets the events of what the row has already."""
    note = {"type": "url_citation", "url": "https://example.org"}
    now = timezone.now()
    ended = Response(
        status="completed", created_at=now, finished_at=now, passed={"annotations": [note]}
    )
    shown = Shown(ended)
    assert shown.event({"type": "chatstream:passed", "fields": {"annotations": [note]}}) is None
    assert shown.resource()["chatstream"]["passed"] == {"annotations": [note]}


async def test_a_refusal_is_a_turn_of_its_conversation(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    _, conversation = await call("POST", "/v1/conversations", body={})
    prompt = 'play [["refusal", "I will not."]]'
    refused = await create(prompt, conversation=conversation["id"])
    items = f"/v1/conversations/{conversation['id']}/items"
    _, page = await call("GET", f"{items}?order=asc")
    asked, said = page["data"]
    assert asked["content"][0]["text"] == prompt
    assert said == refused["output"][0]
    assert said["content"] == [{"type": "refusal", "refusal": "I will not."}]
    for follows in ({"conversation": conversation["id"]}, {"previous_response_id": refused["id"]}):
        followed = await create("stop 1", **follows)
        row = await Response.objects.aget(pk=ids.key_of(followed["id"], ids.RESPONSE))
        before = await context.said_until(row)
        assert [turn.content for turn in before] == [prompt, "I will not.", "stop 1", "w0 "]
        await get(followed["id"], method="DELETE")
    reference = {"type": "item_reference", "id": said["id"]}
    assert (await create([reference, {"role": "user", "content": "stop 1"}]))["output"]
    await call("DELETE", f"{items}/{said['id']}")
    _, page = await call("GET", f"{items}?order=asc")
    assert said["id"] not in [item["id"] for item in page["data"]]
