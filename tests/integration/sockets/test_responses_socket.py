"""The WebSocket at `/v1/responses`: turn after turn, and what each may go on with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from channels.db import database_sync_to_async

from streaming.engine.base import GenerationRequest
from streaming.identity import keys
from streaming.models import ApiKey, Message, Response
from streaming.sockets import close_codes
from streaming.sockets.responses import answering, consumer
from tests.integration.conftest import eventually
from tests.integration.http import call
from tests.integration.sockets.conftest import ResponsesClient
from tests.support.fake_engine import FakeEngine, words

pytestmark = pytest.mark.django_db(transaction=True)

NOT_FOUND = (400, "previous_response_not_found", "previous_response_id")


class HearingEngine(FakeEngine):
    """A fake engine that remembers what it was asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked: list[list[str]] = []

    def submit(self, request: GenerationRequest) -> None:
        self.asked.append([message.content for message in request.messages])
        super().submit(request)


def text_of(response: Any) -> str:
    return "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
    )


async def test_one_turn_after_the_other(start_worker: Any, socket: Any) -> None:
    await start_worker(FakeEngine())
    client = await socket()
    await client.send(type="response.create", input="stop 3", stream_id="one", metadata={"a": "b"})
    await client.send(type="response.create", input="stop 2", instructions="Be brief.")
    first, second = await client.rest(), await client.rest()
    kinds = [event["type"] for event in first]
    assert kinds[0] == "response.created"
    assert "response.in_progress" in kinds
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert {event["stream_id"] for event in first} == {"one"}
    assert not any("stream_id" in event for event in second)
    numbers = [event["sequence_number"] for event in first if event["sequence_number"]]
    assert numbers == sorted(set(numbers))
    deltas = "".join(
        event["delta"] for event in first if event["type"] == "response.output_text.delta"
    )
    whole = first[-1]["response"]
    assert deltas == text_of(whole) == "".join(words(3))
    assert (whole["metadata"], whole["model"], whole["store"]) == ({"a": "b"}, "fake", True)
    assert second[-1]["response"]["instructions"] == "Be brief."
    request, stored = await call("GET", f"/v1/responses/{whole['id']}")
    assert (request.status, stored) == (200, whole)


async def test_what_is_not_stored_is_gone_on_with_on_its_socket_alone(
    start_worker: Any, socket: Any
) -> None:
    engine = HearingEngine()
    await start_worker(engine)
    client = await socket()
    first = await client.response("stop 2", store=False)
    second = await client.response("stop 1", store=False, previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    assert engine.asked[-1] == ["stop 2", "".join(words(2)), "stop 1"]
    assert (await call("GET", f"/v1/responses/{first['id']}"))[0].status == 404
    other = await socket()
    assert await other.error(store=False, previous_response_id=first["id"]) == NOT_FOUND
    assert (await other.response())["status"] == "completed"
    body = {"input": "stop 1", "previous_response_id": second["id"]}
    assert (await call("POST", "/v1/responses", body=body))[0].status == 400
    await client.leave()

    async def gone() -> bool:
        return not await Response.objects.filter(stored=False).aexists()

    await eventually(gone)
    assert await Message.objects.acount() == 2


async def test_a_failed_turn_forgets_what_it_was_to_follow(start_worker: Any, socket: Any) -> None:
    await start_worker(FakeEngine())
    client = await socket()
    first = (await client.response(store=False))["id"]
    result = {"type": "function_call_output", "call_id": "none", "output": "?"}
    status, _, _ = await client.error([result], store=False, previous_response_id=first)
    assert status == 400
    assert await client.error(store=False, previous_response_id=first) == NOT_FOUND
    kept = (await client.response())["id"]
    assert (await client.error([result], previous_response_id=kept))[0] == 400
    assert (await client.response(previous_response_id=kept))["status"] == "completed"
    failing = (await client.response(store=False))["id"]
    last = (await client.turn("fail 1", store=False, previous_response_id=failing))[-1]
    assert last["type"] == "response.failed"
    assert await client.error(store=False, previous_response_id=failing) == NOT_FOUND


async def test_only_the_newest_are_remembered(
    start_worker: Any, socket: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(answering, "MOST_LOCAL", 2)
    await start_worker(FakeEngine())
    client = await socket()
    made = [(await client.response("stop 1", store=False))["id"] for _ in range(3)]
    assert await client.error(store=False, previous_response_id=made[0]) == NOT_FOUND
    for response_id in made[1:]:
        answer = await client.response(store=True, previous_response_id=response_id)
        assert answer["status"] == "completed"
    assert await Response.objects.filter(stored=False).acount() == 2


async def test_a_warm_up_generates_nothing_and_is_gone_on_with(
    start_worker: Any, socket: Any
) -> None:
    engine = HearingEngine()
    await start_worker(engine)
    client = await socket()
    item = {"role": "user", "content": "stop 4"}
    events = await client.turn([item], generate=False, store=False, metadata={"a": "b"})
    assert [event["type"] for event in events] == ["response.created", "response.completed"]
    warm = events[-1]["response"]
    assert (warm["output"], warm["metadata"], warm["store"]) == ([], {"a": "b"}, False)
    assert not engine.asked
    answer = await client.response("stop 1", previous_response_id=warm["id"])
    assert answer["previous_response_id"] == warm["id"]
    assert engine.asked == [["stop 4", "stop 1"]]
    other = await socket()
    assert await other.error(previous_response_id=warm["id"]) == NOT_FOUND


async def test_warm_ups_are_bounded_together(
    start_worker: Any, socket: Any, chatstream: Any
) -> None:
    await start_worker(FakeEngine())
    chatstream(max_conversation_chars=1000)
    client = await socket()
    warm = await client.response("x" * 600, generate=False, store=False)
    follows = {"generate": False, "store": False, "previous_response_id": warm["id"]}
    assert await client.error("x" * 600, **follows) == (400, "context_length_exceeded", "input")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stream": False}, (400, "unsupported_parameter", "stream")),
        ({"stream_options": {}}, (400, "unsupported_parameter", "stream_options")),
        ({"background": True}, (400, "unsupported_parameter", "background")),
        ({"type": "response.cancel"}, (400, "invalid_value", "type")),
        ({"stream_id": 5}, (400, "invalid_value", "stream_id")),
        ({"generate": "no"}, (400, "invalid_value", "generate")),
        ({"input": [{"type": "web_search_call"}]}, (400, "unsupported_value", "input.0.type")),
        ({"top_p": 9}, (400, "invalid_value", "top_p")),
        ({"model": "another"}, (404, "model_not_found", "model")),
        ({"previous_response_id": "resp_missing_1"}, NOT_FOUND),
        ({"conversation": "conv_1"}, (404, "conversation_not_found", "conversation")),
    ],
)
async def test_what_is_wrong_is_named_and_the_socket_stays(
    start_worker: Any, socket: Any, fields: Any, expected: Any
) -> None:
    await start_worker(FakeEngine())
    client = await socket()
    await client.send(**{"type": "response.create", "input": "stop 1", **fields})
    error = await client.next()
    said = error["error"]
    assert (error["type"], (error["status"], said["code"], said["param"])) == ("error", expected)
    assert said["type"] == "invalid_request_error"
    await client.send_text("{")
    assert (await client.next())["error"]["code"] == "invalid_json"
    await client.send(type="response.steer", input="wait", previous_response_id="resp_1")
    steered = await client.next()
    assert steered["type"] == "response.steer.failed"
    assert steered["error"]["code"] == "steering_not_supported"
    assert steered["steer"] == {"input": "wait", "previous_response_id": "resp_1"}
    assert (await client.response(stream=True, background=False))["status"] == "completed"


async def test_who_may_enter(
    layer: Any, socket: Any, make_key: Any, chatstream: Any, start_worker: Any
) -> None:
    await start_worker(FakeEngine())
    secret = await make_key("ada")
    client = await socket(key=secret)
    owned = await client.response()
    assert await (await socket()).error(previous_response_id=owned["id"]) == NOT_FOUND
    for key in ("cs-wrong", None):
        chatstream(anonymous=False)
        stranger = await socket(key=key)
        error = await stranger.next()
        assert (error["status"], error["error"]["code"]) == (401, "invalid_api_key")
        assert await stranger.close_code() == close_codes.LOGIN_REQUIRED
    key = await ApiKey.objects.aget()
    await database_sync_to_async(keys.revoke)(key)
    await client.send(type="response.create", input="stop 1")
    assert (await client.next())["error"]["code"] == "invalid_api_key"


async def test_pages_of_other_sites_are_kept_out(layer: Any) -> None:
    assert not await ResponsesClient(headers={"origin": "https://evil.example"}).connect()


async def test_sockets_are_counted(layer: Any, socket: Any, chatstream: Any) -> None:
    chatstream(max_sockets=2)
    for _ in range(2):
        await socket()
    third = await socket()
    error = await third.next()
    assert (error["status"], error["error"]["code"]) == (429, "rate_limit_exceeded")
    assert await third.close_code() == close_codes.TOO_MANY


async def test_a_socket_lasts_an_hour(layer: Any, socket: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(consumer, "LIMIT_SECONDS", 0.2)
    client = await socket()
    error = await client.next()
    assert error["type"] == "error"
    assert error["status"] == 400
    assert error["error"]["code"] == "websocket_connection_limit_reached"
    assert await client.close_code() == close_codes.GOING_AWAY


async def test_a_stored_response_goes_on_without_its_socket(start_worker: Any, socket: Any) -> None:
    engine = FakeEngine(step_seconds=0.02)
    await start_worker(engine)
    client = await socket()
    await client.send(type="response.create", input="stop 30")
    created = (await client.next())["response"]["id"]
    await client.leave()

    async def ended() -> Any:
        _, response = await call("GET", f"/v1/responses/{created}")
        return response if response["status"] not in ("queued", "in_progress") else None

    assert (await eventually(ended))["status"] == "completed"


async def test_what_is_not_stored_ends_with_its_socket(start_worker: Any, socket: Any) -> None:
    await start_worker(FakeEngine(step_seconds=0.02))
    client = await socket()
    await client.send(type="response.create", input="stop 1000", store=False)
    while (await client.next())["type"] != "response.output_text.delta":
        pass
    await client.leave()

    async def gone() -> bool:
        return not await Response.objects.aexists()

    await eventually(gone)


async def test_too_much_at_once_is_refused(start_worker: Any, socket: Any) -> None:
    await start_worker(FakeEngine(step_seconds=0.05))
    client = await socket()
    await client.send(type="response.create", input="stop 100", store=False)
    await client.next()
    for _ in range(40):
        await client.send_text(json.dumps({"type": "response.create", "input": "x"}))
    while (event := await client.next())["type"] != "error":
        pass
    assert (event["status"], event["error"]["code"]) == (429, "rate_limit_exceeded")
