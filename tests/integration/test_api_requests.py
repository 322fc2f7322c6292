"""What the API refuses, always in OpenAI's shape; who may ask; what the OpenAPI document says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.test import Client

from streaming.api.answers import ErrorBody, Model, ModelList
from streaming.api.requests import MAX_MESSAGES
from streaming.identity import keys
from streaming.models import ApiKey, Conversation, Response
from tests.integration.http import CHAT, HttpRequest, asking, call
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

TEXT_PART = {"type": "text", "text": "a"}


def said(*roles: str, content: Any = "hello") -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role in roles]


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no model": ({"model": None}, "model", "invalid_value"),
    "an empty model": ({"model": ""}, "model", "invalid_value"),
    "no messages": ({"messages": []}, "messages", "invalid_value"),
    "messages of text": ({"messages": "hello"}, "messages", "invalid_value"),
    "too many messages": (
        {"messages": said("user") * (MAX_MESSAGES + 1)},
        "messages",
        "invalid_value",
    ),
    "a tool's message": ({"messages": said("user", "tool")}, "messages.1.role", "invalid_value"),
    "no content": ({"messages": [{"role": "user"}]}, "messages.0.content", ""),
    "null content": (
        {"messages": said("user", content=None)},
        "messages.0.content",
        "invalid_value",
    ),
    "an image": (
        {"messages": said("user", content=[TEXT_PART, {"type": "image_url"}])},
        "messages.0.content",
        "invalid_content",
    ),
    "parts of nothing": (
        {"messages": said("user", content=[])},
        "messages.0.content",
        "invalid_content",
    ),
    "a part without text": (
        {"messages": said("user", content=[{"type": "text"}])},
        "messages.0.content",
        "invalid_content",
    ),
    "a part that is none": (
        {"messages": said("user", content=["a"])},
        "messages.0.content",
        "invalid_content",
    ),
    "too many parts": (
        {"messages": said("user", content=[TEXT_PART] * 101)},
        "messages.0.content",
        "invalid_content",
    ),
    "U+0000": ({"messages": said("user", content="a\0")}, "messages.0.content", "invalid_value"),
    "U+0000 in a part": (
        {"messages": said("user", content=[{"type": "text", "text": "\0"}])},
        "messages.0.content",
        "invalid_value",
    ),
    "too long together": (
        {"messages": said("user", "assistant", content="x" * 32_000) * 4 + said("user")},
        "messages",
        "context_length_exceeded",
    ),
    "too long": (
        {"messages": said("user", content="x" * 32_001)},
        "messages.0.content",
        "context_length_exceeded",
    ),
    "nothing": ({"messages": said("user", content=" ")}, "messages", "invalid_value"),
    "two answers": ({"n": 2}, "n", "unsupported_value"),
    "cold": ({"temperature": -0.1}, "temperature", "invalid_value"),
    "top_p below": ({"top_p": -0.1}, "top_p", "invalid_value"),
    "top_p above": ({"top_p": 1.1}, "top_p", "invalid_value"),
    "top_k below": ({"top_k": -2}, "top_k", "invalid_value"),
    "a broken seed": ({"seed": 1.5}, "seed", "invalid_value"),
    "a long seed": ({"seed": 2**63}, "seed", "invalid_value"),
    "no tokens": ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    "less than no tokens": ({"max_tokens": -2}, "max_tokens", "invalid_value"),
    "no tokens by the new name": (
        {"max_completion_tokens": 0},
        "max_completion_tokens",
        "invalid_value",
    ),
    "another truncation": ({"truncation": "some"}, "truncation", "invalid_value"),
    "both names": (
        {"max_completion_tokens": 4, "max_tokens": 5},
        "max_tokens",
        "invalid_value",
    ),
    "an empty stop": ({"stop": ""}, "stop.0", "invalid_value"),
    "many stops": ({"stop": ["a"] * 65}, "stop", "invalid_value"),
    "stops of numbers": ({"stop": [1]}, "stop.0", "invalid_value"),
    "a word for stream": ({"stream": "perhaps"}, "stream", "invalid_value"),
    "presence": ({"presence_penalty": 0.5}, "presence_penalty", "unsupported_parameter"),
    "frequency": ({"frequency_penalty": -1}, "frequency_penalty", "unsupported_parameter"),
    "logprobs": ({"logprobs": True}, "logprobs", "unsupported_parameter"),
    "tools": ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
    "JSON": (
        {"response_format": {"type": "json_object"}},
        "response_format",
        "unsupported_parameter",
    ),
    "sound": ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_wrong_field_is_named(layer: Any, name: str) -> None:
    change, param, code = REFUSED[name]
    request, answer = await call("POST", CHAT, body={**asking("hello"), **change})
    assert request.status == 400, answer
    error = ErrorBody.model_validate(answer).error
    assert (error.type, error.param) == ("invalid_request_error", param)
    assert error.code == (code or "missing_required_parameter")
    assert len(error.message) < 500
    assert not await Conversation.objects.aexists()


async def test_what_ordinary_clients_send_is_accepted(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    harmless = {
        "n": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "logit_bias": {},
        "logprobs": False,
        "top_logprobs": None,
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "modalities": ["text"],
        "stop": None,
        "seed": None,
        "temperature": 1,
        "top_p": None,
        "stream": None,
        "stream_options": None,
        "max_tokens": None,
        "max_completion_tokens": None,
        "parallel_tool_calls": True,
        "service_tier": "auto",
        "user": "me",
        "metadata": {"a": ["b"]},
        "store": False,
        "reasoning_effort": "low",
        "anything": {"else": 1},
    }
    request, answer = await call("POST", CHAT, body=asking("stop 1", **harmless))
    assert request.status == 200, answer


BROKEN_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half": b'{"model":',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "deep": b'{"a":' * 10_000,
    "not UTF-8": b'{"model":"\xff"}',
    "half a surrogate": b'{"model":"default","messages":[{"role":"user","content":"\\ud800"}]}',
    "NaN": b'{"model":"default","messages":[],"temperature":NaN}',
}


@pytest.mark.parametrize("name", BROKEN_BODIES)
async def test_a_broken_body_is_explained(layer: Any, name: str) -> None:
    request, answer = await call("POST", CHAT, body=BROKEN_BODIES[name])
    assert (request.status, answer["error"]["code"]) == (400, "invalid_json")
    ErrorBody.model_validate(answer)


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large(layer: Any, announced: bool) -> None:
    body = json.dumps(asking("x" * 3_000_000)).encode()
    headers = {"content-length": str(len(body))} if announced else {}
    request, answer = await call("POST", CHAT, body=body, headers=headers)
    assert (request.status, answer["error"]["code"]) == (413, "request_too_large")


async def test_a_form_is_not_served(layer: Any) -> None:
    """A page of another site could send one without asking."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        request, answer = await call(
            "POST", CHAT, body=asking("hello"), headers={"content-type": kind}
        )
        assert (request.status, answer["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CHAT, 405),
        ("DELETE", CHAT, 405),
        ("POST", "/v1/models", 405),
        ("PUT", "/v1/models/fake", 405),
        ("GET", "/v1/", 404),
        ("GET", "/v1/completions", 405),
        ("POST", "/v1/completions/", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("GET", "/v1/docs", 404),
        ("GET", "/v1/models/another/one", 404),
    ],
)
async def test_wrong_addresses_and_methods(layer: Any, method: str, path: str, status: int) -> None:
    request, answer = await call(method, path)
    assert request.status == status
    ErrorBody.model_validate(answer)
    assert status != 405 or request.headers["allow"] in ("GET, HEAD", "POST")


# --- models ---


async def test_the_models(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    _, listed = await call("GET", "/v1/models")
    assert [model.id for model in ModelList.model_validate(listed).data] == ["fake"]
    for name in ("fake", "default"):
        _, model = await call("GET", f"/v1/models/{name}")
        assert Model.model_validate(model).id == "fake"


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("", "SmolLM2-135M-Instruct"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct"),
        ("/srv/models/secret-place/mine", "mine"),
        ("./mine", "mine"),
    ],
)
async def test_without_a_worker_the_settings_name_the_model(
    layer: Any, chatstream: Any, setting: str, name: str
) -> None:
    chatstream(model=setting)
    _, listed = await call("GET", "/v1/models")
    assert [model["id"] for model in listed["data"]] == [name]
    request, _ = await call("GET", f"/v1/models/{name}")
    assert request.status == 200


async def test_an_unknown_model(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    request, answer = await call("POST", CHAT, body={**asking("hello"), "model": "gpt-4o"})
    assert (request.status, answer["error"]["code"]) == (404, "model_not_found")
    assert answer["error"]["param"] == "model"
    assert "fake" in answer["error"]["message"]


# --- who may ask ---


async def test_a_key_is_its_account(start_worker: Any, make_key: Any) -> None:
    await start_worker(FakeEngine())
    secret = await make_key("ada")
    request, _ = await call("POST", CHAT, body=asking("stop 1"), key=secret)
    assert request.status == 200
    user = await User.objects.aget()
    response = await Response.objects.select_related("conversation").aget()
    assert response.owner == f"user:{user.pk}"
    assert response.conversation.user_id == user.pk
    assert (await ApiKey.objects.aget()).last_used_at is not None


@pytest.mark.parametrize("anonymous", [True, False])
async def test_a_wrong_key_opens_nothing(
    layer: Any, chatstream: Any, make_key: Any, anonymous: bool
) -> None:
    chatstream(anonymous=anonymous)
    revoked, inactive = await make_key("ada"), await make_key("bob")
    await database_sync_to_async(keys.revoke)(await ApiKey.objects.aget(user__username="ada"))
    await User.objects.filter(username="bob").aupdate(is_active=False)
    mangled = ("cs-", "cs-x", "CS-" + inactive[3:], f'"{revoked}"', f"Bearer {revoked}", "cs-\xff")
    headers = [{"authorization": f"Bearer {key}"} for key in (revoked, inactive, *mangled)]
    headers += [{"authorization": revoked}]
    if not anonymous:
        headers += [{"authorization": f"Bearer {word}"} for word in ("sk-x", "\xff", "EMPTY")]
        headers += [{"authorization": "Basic YTpi"}]
    for wrong in headers:
        for method, path in (("POST", CHAT), ("GET", "/v1/models"), ("GET", "/v1/models/fake")):
            request, answer = await call(method, path, body=asking("hello"), headers=wrong)
            assert (request.status, answer["error"]["code"]) == (401, "invalid_api_key")
            assert request.headers["www-authenticate"].startswith("Bearer")
            assert "Bearer cs-..." in answer["error"]["message"]
            ErrorBody.model_validate(answer)
    assert not await Conversation.objects.aexists()


async def test_nobody_is_served_only_where_that_is_allowed(layer: Any, chatstream: Any) -> None:
    for header in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer anonymous"}):
        assert (await call("GET", "/v1/models", headers=header))[0].status == 200
    chatstream(anonymous=False)
    for header in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer anonymous"}):
        request, answer = await call("GET", "/v1/models", headers=header)
        assert (request.status, answer["error"]["code"]) == (401, "invalid_api_key")


async def test_a_session_counts_for_nothing(layer: Any, chatstream: Any) -> None:
    chatstream(anonymous=False)

    @database_sync_to_async
    def cookie() -> str:
        browser = Client()
        browser.force_login(User.objects.create(username="ada"))
        return browser.cookies["sessionid"].value

    headers = {"cookie": f"sessionid={await cookie()}"}
    request, _ = await call("POST", CHAT, body=asking("hello"), headers=headers)
    assert request.status == 401


async def test_no_other_site_is_invited(layer: Any) -> None:
    origin = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    request, _ = await call("OPTIONS", CHAT, headers=origin)
    assert request.status == 405
    assert not [name for name in request.headers if name.startswith("access-control")]


async def test_behind_a_proxy_the_owner_is_the_client(start_worker: Any, chatstream: Any) -> None:
    chatstream(trusted_proxies=("127.0.0.1",))
    await start_worker(FakeEngine())
    headers = {"x-forwarded-for": "198.51.100.7"}
    await call("POST", CHAT, body=asking("stop 1"), headers=headers)
    await call("POST", CHAT, body=asking("stop 1"), headers={"x-forwarded-for": "2001:db8::5"})
    owners = [row.owner async for row in Response.objects.order_by("created_at")]
    assert owners == ["address:198.51.100.7", "address:2001:db8::/64"]


# --- the document ---


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(target := part.get("$ref"), str):
            yield target
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


async def test_the_openapi_document(layer: Any, chatstream: Any) -> None:
    request, document = await call("GET", "/v1/openapi.json")
    assert request.status == 200
    assert document["openapi"].startswith("3.1")
    paths = document["paths"]
    conversation, response = "/v1/conversations/{conversation_id}", "/v1/responses/{response_id}"
    assert set(paths) >= {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/conversations",
        conversation,
        f"{conversation}/items",
        f"{conversation}/items/{{item_id}}",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/responses",
        "/v1/responses/compact",
        response,
        f"{response}/cancel",
        f"{response}/input_items",
    }
    for target in references(document):
        part = document
        for step in target.removeprefix("#/").split("/"):
            part = part[step]
    scheme = document["components"]["securitySchemes"]["ApiKeyAuth"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path in paths.values():
        for operation in path.values():
            assert operation["operationId"]
            assert operation["summary"]
            assert operation["security"] == [{"ApiKeyAuth": []}, {}]
            assert {"200", "401"} <= set(operation["responses"])
            for parameter in operation["parameters"]:
                assert parameter["in"] in ("path", "query")
    post = paths["/v1/chat/completions"]["post"]
    body = post["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert body == "#/components/schemas/ChatCompletionRequest"
    fields = document["components"]["schemas"]["ChatCompletionRequest"]["properties"]
    assert {"model", "messages", "stream", "temperature", "stop", "seed"} <= set(fields)
    assert set(post["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert "Retry-After" in post["responses"]["429"]["headers"]
    error = post["responses"]["429"]["content"]["application/json"]["schema"]["$ref"]
    assert error == "#/components/schemas/ErrorBody"
    chunk = document["components"]["schemas"]["ChatCompletionChunk"]["properties"]
    assert "chatstream" in chunk
    chatstream(anonymous=False)
    _, document = await call("GET", "/v1/openapi.json")
    assert document["paths"]["/v1/models"]["get"]["security"] == [{"ApiKeyAuth": []}]


async def test_a_request_that_never_completes_is_no_matter(layer: Any) -> None:
    request = HttpRequest("POST", CHAT)
    await request.send_input({"type": "http.request", "body": b'{"mo', "more_body": True})
    await request.leave()
    assert request.status == 0
