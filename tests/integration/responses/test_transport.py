"""The HTTP of `/v1/responses`: long waits, other sites' pages, HEAD; and what is included."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streaming.api.responses import reading, views
from streaming.models import Response
from tests.integration.conftest import eventually
from tests.integration.http import HttpRequest, call
from tests.integration.responses.asking import RESPONSES, create, stream, text_of
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)


HISTORY = [
    {"role": "user", "content": "x" * 90},
    {"role": "assistant", "content": "y"},
    {"role": "user", "content": "stop 1"},
]


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let seconds of silence be short ones."""
    monkeypatch.setattr(views, "SILENT_SECONDS", 0.05)
    monkeypatch.setattr(reading, "KEEP_ALIVE_SECONDS", 0.05)


@pytest.mark.parametrize(("asked", "status"), [("stop 30", "completed"), ("fail 30", "failed")])
async def test_a_plain_request_that_waits_long_is_kept_open(
    start_worker: Any, monkeypatch: pytest.MonkeyPatch, asked: str, status: str
) -> None:
    """JSON may begin with white space. The HTTP status is sent by then; the response has its
    own."""
    hurry(monkeypatch)
    await start_worker(FakeEngine(step_seconds=0.02))
    body = {"model": "default", "input": asked}
    request = await (await HttpRequest("POST", RESPONSES, body=body).send()).start()
    assert (request.status, request.headers["content-type"]) == (200, "application/json")
    text = await request.rest()
    assert text.startswith("\n")
    response = json.loads(text)
    assert response["status"] == status
    assert text_of(response)
    assert (response["error"] is None) == (status == "completed")


async def test_a_client_that_leaves_a_long_wait_cancels(
    start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    engine = FakeEngine()
    await start_worker(engine)
    body = {"model": "default", "input": "go", "max_output_tokens": 5000}
    request = await (await HttpRequest("POST", RESPONSES, body=body).send()).start()
    await request.part()
    await request.leave()
    row = await Response.objects.aget()

    async def is_over() -> bool:
        return await Response.objects.filter(pk=row.pk, status="cancelled").aexists()

    await eventually(is_over)


async def test_what_fails_at_once_has_a_status_in_a_stream_too(start_worker: Any) -> None:
    await start_worker(FakeEngine(context_chars=50))
    body = {"model": "default", "input": HISTORY, "stream": True}
    request, answer = await call("POST", RESPONSES, body=body)
    assert (request.status, answer["error"]["code"]) == (400, "context_length_exceeded")


async def test_what_fails_later_is_told_in_the_stream(start_worker: Any) -> None:
    await start_worker(FakeEngine(step_seconds=0.05))
    events = await stream("fail 30")
    last = events[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["code"] == "engine_error"
    assert last["response"]["status"] == "failed"
    assert last["response"]["output"][0]["status"] == "incomplete"


async def test_turns_are_left_out_where_that_is_asked_for(start_worker: Any) -> None:
    await start_worker(FakeEngine(context_chars=50))
    response = await create(HISTORY, truncation="auto")
    assert response["chatstream"]["trimmed_messages"] == 2
    assert response["truncation"] == "auto"


async def test_head_and_other_sites(start_worker: Any, chatstream: Any) -> None:
    chatstream(cors_origins=("https://app.example.org",))
    await start_worker(FakeEngine())
    response = await create("stop 1")
    headers = {"origin": "https://app.example.org"}
    path = f"{RESPONSES}/{response['id']}"
    request = await (await HttpRequest("HEAD", path, headers=headers).send()).start()
    assert await request.rest() == ""
    assert request.status == 200
    assert request.headers["access-control-allow-origin"] == "https://app.example.org"
    assert request.headers["cache-control"] == "no-store"
    assert request.headers["x-request-id"]


async def test_a_thought_is_an_item_and_sealed_where_asked_for(start_worker: Any) -> None:
    await start_worker(FakeEngine(thinks=True))
    include = ["reasoning.encrypted_content"]
    events = await stream("think 2 stop 1", include=include, reasoning={"effort": "low"})
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [item["type"] for item in done] == ["reasoning", "message"]
    assert done[0]["content"][0]["text"] == "t0 t1 "
    assert done[0]["encrypted_content"]
    response = events[-1]["response"]
    assert response["reasoning"] == {"effort": "low", "summary": None}
    assert response["usage"]["output_tokens_details"]["reasoning_tokens"] == 2
    thought = response["output"][0]
    # A client may keep the sealed one alone.
    sent = {"type": "reasoning", "summary": [], "encrypted_content": thought["encrypted_content"]}
    given = [{"role": "user", "content": "hi"}, sent, response["output"][1]]
    await create([*given, {"role": "user", "content": "stop 1"}])
    row = await Response.objects.select_related("prompt__parent").aget(prompt__content="stop 1")
    assert row.prompt.parent
    assert row.prompt.parent.reasoning == "t0 t1 "


async def test_deltas_are_padded_where_asked_for(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    events = await stream("stop 3", stream_options={"include_obfuscation": True})
    deltas = [event for event in events if event["type"].endswith(".delta")]
    assert deltas
    assert all(len(each["delta"] + each["obfuscation"]) % 32 == 0 for each in deltas)
    assert not any("obfuscation" in event for event in await stream("stop 3"))


async def test_the_document_describes_it(start_worker: Any) -> None:
    _, document = await call("GET", "/v1/openapi.json")
    paths = {path for path in document["paths"] if "responses" in path}
    assert paths == {
        "/v1/responses",
        "/v1/responses/compact",
        "/v1/responses/{response_id}",
        "/v1/responses/{response_id}/cancel",
        "/v1/responses/{response_id}/input_items",
    }
    body = document["paths"]["/v1/responses"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    name = schema["$ref"].rpartition("/")[2]
    properties = document["components"]["schemas"][name]["properties"]
    assert {"input", "tools", "background"} <= set(properties)
