"""`POST /v1/responses`: in one piece, streamed, followed."""

from __future__ import annotations

from typing import Any

import pytest

from streaming.models import Conversation, Message, Response
from tests.integration.responses.asking import create, events_of, get, open_stream, stream, text_of
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)


async def test_an_answer_in_one_piece(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    response = await create("stop 2", instructions="Be brief.", metadata={"a": "b"})
    assert (response["object"], response["status"]) == ("response", "completed")
    assert text_of(response) == "w0 w1 "
    assert (response["instructions"], response["metadata"]) == ("Be brief.", {"a": "b"})
    assert response["usage"]["output_tokens"] == 2
    assert response["model"] == "fake"
    status, again = await get(response["id"])
    assert (status, again) == (200, response)
    row = await Response.objects.aget()
    assert response["id"] == f"resp_{row.pk.hex}"
    assert row.instructions == "Be brief."


async def test_a_stream_has_every_event_of_the_items(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    events = await stream("stop 2", metadata={"a": "b"})
    kinds = list(dict.fromkeys(event["type"] for event in events))
    assert kinds == [
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    numbers = [event["sequence_number"] for event in events]
    assert numbers == [0, 0, *range(1, len(events) - 1)]
    assert all(e["response"]["metadata"] == {"a": "b"} for e in events if "response" in e)
    assert text_of(events[-1]["response"]) == "w0 w1 "


async def test_a_stream_ends_with_done(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    request = await open_stream("stop 1")
    text = await request.rest()
    assert text.endswith("data: [DONE]\n\n")
    assert request.headers["content-type"].startswith("text/event-stream")
    assert request.headers["x-request-id"] == events_of(text)[0]["response_id"]


async def test_a_response_follows_another(start_worker: Any) -> None:
    engine = FakeEngine()
    await start_worker(engine)
    first = await create("stop 1", instructions="Be brief.")
    second = await create("stop 2", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    assert second["instructions"] is None
    assert second["chatstream"]["conversation_id"] == first["chatstream"]["conversation_id"]
    status, page = await get(f"{second['id']}/input_items")
    texts = [item["content"][0]["text"] for item in page["data"]]
    assert (status, texts) == (200, ["stop 2", "w0 ", "stop 1"])
    assert page["data"][1]["id"] == first["output"][0]["id"]


async def test_items_become_turns(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    given = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "h"}]},
        {
            "type": "message",
            "role": "assistant",
            "phase": "final_answer",
            "content": [{"type": "output_text", "text": "Hi.", "annotations": []}],
        },
        {"type": "message", "role": "user", "content": "stop 1"},
    ]
    response = await create(given)
    turns = [turn async for turn in Message.objects.order_by("created_at")]
    assert [(turn.role, turn.content, turn.reasoning) for turn in turns] == [
        ("system", "Be brief.", ""),
        ("user", "hello", ""),
        ("assistant", "Hi.", "h"),
        ("user", "stop 1", ""),
        ("assistant", "w0 ", ""),
    ]
    _, page = await get(f"{response['id']}/input_items")
    items = page["data"][::-1]
    assert [item["type"] for item in items] == [
        "message", "message", "reasoning", "message", "message",
    ]  # fmt: skip
    assert items[0]["role"] == "developer"
    assert items[3]["phase"] == "final_answer"
    conversation = await Conversation.objects.aget()
    assert conversation.source == Conversation.Source.API
