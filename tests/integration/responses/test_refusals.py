"""What `/v1/responses` refuses: with a status, a code, and the name of what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from streaming.models import Conversation, Message, Response
from tests.integration.http import call
from tests.integration.responses.asking import RESPONSES, create, get, post
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
DEEP = "[" * 400 + "]" * 400

WRONG: list[tuple[dict[str, Any], str | None, str]] = [
    ({}, "input", "missing_required_parameter"),
    ({"input": []}, "input", "missing_required_parameter"),
    ({"input": 5}, "input", "invalid_value"),
    ({"input": [5]}, "input.0", "invalid_value"),
    ({"input": [{"role": "user"}]}, "input.0.content", "missing_required_parameter"),
    ({"input": [{"role": "robot", "content": "x"}]}, "input.0.role", "invalid_value"),
    ({"input": [{"type": "web_search_call"}]}, "input.0.type", "unsupported_value"),
    ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
     "input.0.content.0.type", "unsupported_value"),
    ({"input": [{"role": "user", "content": [IMAGE]}]},
     "input.0.content.0", "invalid_request_error"),
    ({"input": [{"role": "user", "content": " "}]}, "input.0.content", "invalid_value"),
    ({"input": [{"type": "reasoning", "summary": []}, {"role": "user", "content": "x"}]},
     "input.0", "invalid_value"),
    ({"input": [{"type": "compaction", "encrypted_content": "made up"}]},
     "input.0.encrypted_content", "invalid_encrypted_content"),
    ({"input": [CALL]}, "input.0.type", "unsupported_value"),
    ({"input": [{"id": "msg_1"}]}, "input.0.id", "item_not_found"),
    ({"input": "a\0b"}, "input", "invalid_value"),
    ({"input": "x" * 32_001}, "input", "input_too_long"),
    ({"input": [{"role": "user", "content": "x"}] * 2001}, "input", "invalid_value"),
    ({"input": "x", "tools": [TOOL]}, "tools", "unsupported_parameter"),
    ({"input": "x", "tools": [{"type": "web_search"}]}, "tools.0.type", "unsupported_value"),
    ({"input": "x", "tools": [TOOL, TOOL]}, "tools", "invalid_value"),
    ({"input": "x", "tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}},
     "tool_choice", "invalid_value"),
    ({"input": "x", "tool_choice": {"type": "mcp"}}, "tool_choice.type", "unsupported_value"),
    ({"input": "x", "tool_choice": "required"}, "tool_choice", "invalid_value"),
    ({"input": "x", "text": {"format": {"type": "json_object"}}},
     "text.format", "unsupported_parameter"),
    ({"input": "x", "text": {"format": {"type": "json_schema"}}}, "text.format", "invalid_value"),
    ({"input": "x", "text": {"verbosity": "low"}}, "text.verbosity", "unsupported_parameter"),
    ({"input": "x", "include": ["message.output_text.logprobs"]},
     "include", "unsupported_parameter"),
    ({"input": "x", "include": ["everything"]}, "include", "unsupported_value"),
    ({"input": "x", "top_logprobs": 3}, "include", "unsupported_parameter"),
    ({"input": "x", "presence_penalty": 1}, "presence_penalty", "unsupported_parameter"),
    ({"input": "x", "metadata": {str(n): "" for n in range(17)}}, "metadata", "invalid_value"),
    ({"input": "x", "metadata": {"k" * 65: ""}}, "metadata", "invalid_value"),
    ({"input": "x", "metadata": {"k": "v" * 513}}, "metadata.k", "invalid_value"),
    ({"input": "x", "metadata": {"k": 1}}, "metadata.k", "invalid_value"),
    ({"input": "x", "max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
    ({"input": "x", "temperature": -1}, "temperature", "invalid_value"),
    ({"input": "x", "top_p": 2}, "top_p", "invalid_value"),
    ({"input": "x", "reasoning": {"summary": "detailed"}},
     "reasoning.summary", "unsupported_value"),
    ({"input": "x", "reasoning": {"effort": "huge"}}, "reasoning.effort", "invalid_value"),
    ({"input": "x", "truncation": "middle"}, "truncation", "invalid_value"),
    ({"input": "x", "prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
    ({"input": "x", "store": False, "background": True}, "background", "invalid_value"),
    ({"input": "x", "store": False, "conversation": "conv_1"}, "store", "invalid_value"),
    ({"input": "x", "conversation": "c", "previous_response_id": "r"},
     "previous_response_id", "invalid_value"),
    ({"input": "x", "conversation": "conv_1"}, "conversation", "conversation_not_found"),
    ({"input": "x", "previous_response_id": "resp_1"},
     "previous_response_id", "previous_response_not_found"),
    ({"input": "x", "model": "other"}, "model", "model_not_found"),
    ({"input": "x", "service_tier": "gold"}, "service_tier", "invalid_value"),
    ({"input": "x", "safety_identifier": "x" * 65}, "safety_identifier", "invalid_value"),
]  # fmt: skip


async def test_what_is_wrong_is_named(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    unlike = []
    for fields, param, code in WRONG:
        request, answer = await call("POST", RESPONSES, body={"model": "default", **fields})
        error = answer["error"]
        expected = 404 if code.endswith("not_found") and not code.startswith("prev") else 400
        got = (request.status, error["param"], error["chatstream"]["code"])
        if (*got, error["type"]) != (expected, param, code, "invalid_request_error"):
            unlike.append((fields, error))
    assert not unlike
    assert not await Response.objects.aexists()
    assert not await Conversation.objects.aexists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"input": "\\ud800"}', DEEP.encode()])
async def test_what_is_no_json_is_refused(body: bytes) -> None:
    request, answer = await call("POST", RESPONSES, body=body)
    assert (request.status, answer["error"]["code"]) == (400, "invalid_json"), answer


async def test_half_a_character_is_named() -> None:
    body = b'{"input": [{"role": "user", "content": [{"type": "input_text", "text": "a\\ud83d"}]}]}'
    request, answer = await call("POST", RESPONSES, body=body)
    error = answer["error"]
    assert (request.status, error["param"]) == (400, "input.0.content.0.text")
    assert "half a character" in error["message"]


async def test_what_does_not_exist_is_not_found(start_worker: Any, make_key: Any) -> None:
    await start_worker(FakeEngine())
    anna, ben = await make_key("anna"), await make_key("ben")
    response = await create("stop 1", key=anna)
    for name in (response["id"], "resp_" + "0" * 32, "%00" + "x" * 300):
        for method, path in (
            ("GET", name), ("DELETE", name), ("POST", f"{name}/cancel"),
            ("GET", f"{name}/input_items"),
        ):  # fmt: skip
            status, answer = await get(path, key=ben, method=method)
            assert (status, answer["error"]["code"]) == (404, "response_not_found"), path
    request, answer = await post("x", key=ben, previous_response_id=response["id"])
    assert (request.status, answer["error"]["code"]) == (400, "previous_response_not_found")
    item = {"type": "item_reference", "id": response["output"][0]["id"]}
    given = [item, {"role": "user", "content": "stop 1"}]
    request, answer = await post(given, key=ben)
    assert (request.status, answer["error"]["code"]) == (404, "item_not_found")
    assert (await create(given, key=anna))["status"] == "completed"
    assert (await get(response["id"], key=anna))[0] == 200


async def test_a_result_of_no_call_is_refused_before_anything_is_written(
    start_worker: Any, settings: Any
) -> None:
    await start_worker(FakeEngine())
    first = await create("stop 1")
    before = await Message.objects.acount()
    settings.CHATSTREAM = {**settings.CHATSTREAM, "upstream_url": "http://127.0.0.1:1/v1"}
    output = {"type": "function_call_output", "call_id": "c9", "output": "1"}
    request, answer = await post([output], previous_response_id=first["id"])
    assert request.status == 400, answer
    assert await Message.objects.acount() == before
    assert await Response.objects.acount() == 1


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "", "POST"),
        ("GET", "", "POST"),
        ("POST", "/resp_1", "GET, HEAD, DELETE"),
        ("GET", "/resp_1/cancel", "POST"),
        ("DELETE", "/compact", "POST"),
    ],
)
async def test_a_wrong_method_is_explained(method: str, path: str, allowed: str) -> None:
    request, answer = await call(method, RESPONSES + path)
    assert (request.status, answer["error"]["code"]) == (405, "method_not_allowed")
    assert set(request.headers["allow"].split(", ")) == set(allowed.split(", "))
