"""What programs that were written for other servers send, and what they look at in an answer."""

from __future__ import annotations

import gzip
import json
import logging
from typing import Any
from uuid import UUID

import pytest

from streaming import conf
from streaming.api.answers import ChatCompletion, ErrorBody
from streaming.models import Conversation, Response
from tests.integration.conftest import ChatClient
from tests.integration.http import CHAT, HttpRequest, asking, call, chunks_of, complete
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "https://app.example.org"

HISTORY = [
    {"role": "user", "content": "The secret word is BANANA. " + "x" * 1000},
    {"role": "assistant", "content": "Ok."},
    {"role": "user", "content": "stop 2"},
]


# --- nothing is left out in silence ---


@pytest.mark.parametrize("stream", [False, True])
async def test_a_history_that_does_not_fit_is_refused(start_worker: Any, stream: bool) -> None:
    await start_worker(FakeEngine(context_chars=1000))
    body = {"model": "default", "messages": HISTORY, "stream": stream}
    request, answer = await call("POST", CHAT, body=body)
    assert request.status == 400, answer
    error = ErrorBody.model_validate(answer).error
    assert (error.type, error.code) == ("invalid_request_error", "context_length_exceeded")
    assert error.message.startswith("This model's maximum context length is 1000 tokens")
    row = await Response.objects.aget()
    assert request.headers["x-request-id"] == str(row.pk)


@pytest.mark.parametrize("stream", [False, True])
async def test_turns_are_left_out_where_that_is_asked_for(start_worker: Any, stream: bool) -> None:
    await start_worker(FakeEngine(context_chars=1000))
    body = {"model": "default", "messages": HISTORY, "truncation": "auto", "stream": stream}
    request = await (await HttpRequest("POST", CHAT, body=body).send()).start()
    text = await request.rest()
    assert request.status == 200, text
    last = chunks_of(text)[-1] if stream else json.loads(text)
    assert last["chatstream"]["trimmed_messages"] == 2


async def test_the_websocket_says_what_it_left_out(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine(context_chars=1000))
    chat: ChatClient = await client()
    queued = await chat.ask("x" * 900, params={"max_tokens": 1})
    await chat.end()
    conversation = queued["conversation_id"]
    long = await chat.ask("y" * 990, conversation_id=conversation, params={"max_tokens": 2})
    begun = await chat.until("response.in_progress", response_id=long["response_id"])
    assert begun["response"]["chatstream"]["trimmed_messages"] == 2
    await chat.end()
    await chat.ask(
        "z" * 990,
        conversation_id=conversation,
        params={"max_tokens": 2, "truncation": "disabled"},
    )
    done = await chat.end()
    assert (done["status"], done["error"]["code"]) == ("failed", "context_length_exceeded")


# --- who asks ---

PLACEHOLDERS = ("EMPTY", "***", "sk-1234567890", "anonymous", "none", "ollama", "\xff", "x" * 5000)


async def test_any_word_is_a_visitor_where_visitors_may_ask(
    start_worker: Any, chatstream: Any
) -> None:
    await start_worker(FakeEngine())
    headers = [{"authorization": f"Bearer {word}"} for word in PLACEHOLDERS]
    headers += [{}, {"authorization": ""}, {"authorization": "Bearer"}]
    headers += [{"authorization": "Basic YTpi"}, {"authorization": "sk-1"}]  # a proxy's own; none
    for header in headers:
        request, answer = await call("POST", CHAT, body=asking("stop 1"), headers=header)
        assert request.status == 200, (header, answer)
    owners = {row.owner async for row in Response.objects.all()}
    assert owners == {"address:127.0.0.1"}  # another word is nobody else
    chatstream(anonymous=False)
    for header in headers:
        request, answer = await call("POST", CHAT, body=asking("stop 1"), headers=header)
        assert (request.status, answer["error"]["code"]) == (401, "invalid_api_key")
        assert "`Authorization: Bearer cs-...`" in answer["error"]["message"]


async def test_another_word_is_no_way_around_the_bounds(start_worker: Any, chatstream: Any) -> None:
    chatstream(max_per_owner=2)
    await start_worker(FakeEngine())
    kept = []
    for word in ("EMPTY", "sk-1"):
        body = asking("go", stream=True, max_tokens=1000)
        request = HttpRequest("POST", CHAT, body=body, key=word)
        kept.append(await (await request.send()).start())
    request, answer = await call("POST", CHAT, body=asking("go"), key="sk-2")
    assert (request.status, answer["error"]["chatstream"]["code"]) == (429, "user_limit")
    for one in kept:
        await one.leave()


@pytest.mark.parametrize("word", ["anonymous", "EMPTY", "sk-1", ""])
async def test_any_word_is_a_visitor_on_the_websocket(
    start_worker: Any, chatstream: Any, word: str
) -> None:
    await start_worker(FakeEngine())
    chat = ChatClient(headers=[(b"authorization", f"Bearer {word}".encode())])
    assert (await chat.connect())["session_token"]
    await chat.ask("stop 1")
    assert (await chat.end())["status"] == "completed"
    await chat.leave()
    chatstream(anonymous=False)
    refused = ChatClient(headers=[(b"authorization", f"Bearer {word}".encode())])
    error = await refused.connect()
    assert (error["code"], await refused.close_code()) == ("login_required", 4401)
    assert "Bearer cs-..." in error["message"]


async def test_what_is_like_a_key_of_ours_is_no_visitor(layer: Any) -> None:
    for secret in ("cs-wrong", "CS-x", '"cs-x"', "Bearer cs-x"):
        chat = ChatClient(headers=[(b"authorization", f"Bearer {secret}".encode())])
        error = await chat.connect()
        assert (error["code"], await chat.close_code()) == ("login_required", 4401)


async def test_a_word_beside_a_session_is_not_in_its_way(
    start_worker: Any, django_user_model: Any
) -> None:
    """A proxy with a password of its own in front of the page."""
    user = await django_user_model.objects.acreate(username="ada")
    chat = ChatClient(user=user, headers=[(b"authorization", b"Bearer proxy")])
    assert (await chat.connect())["session_token"] is None
    await chat.leave()


# --- parameters ---


async def test_what_other_servers_take_is_taken(start_worker: Any, chatstream: Any) -> None:
    chatstream(max_tokens=5)
    await start_worker(FakeEngine())
    for name in ("max_tokens", "max_completion_tokens"):
        answer = ChatCompletion.model_validate(await complete("go", **{name: 4096}))
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 5
    taken = {"seed": -1, "top_p": 0, "top_k": -1, "temperature": 2.5, "stop": list("abcdefg")}
    for name, value in taken.items():
        await complete("stop 1", **{name: value})
    await complete("stop 1", max_tokens=-1, **taken)
    params = (await Response.objects.order_by("created_at").alast()).params  # type: ignore[union-attr]
    assert (params["temperature"], params["top_k"], params["max_tokens"]) == (0, 0, 5)
    assert params["seed"] >= 0


@pytest.mark.parametrize(
    "roles", [["system"], ["developer"], ["user", "system"], ["system", "system"], ["assistant"]]
)
async def test_any_role_may_have_the_last_word(start_worker: Any, roles: list[str]) -> None:
    await start_worker(FakeEngine())
    messages = [{"role": role, "content": "stop 2"} for role in roles]
    request, answer = await call("POST", CHAT, body={"model": "default", "messages": messages})
    assert request.status == 200, answer
    assert answer["choices"][0]["message"]["content"]
    assert (await Conversation.objects.aget()).title == "stop 2"


async def test_the_websocket_takes_them_too(start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    params = {"seed": -1, "top_p": 0, "top_k": -1, "temperature": 2.5, "stop": list("abcdefg")}
    await chat.ask("stop 1", params={**params, "max_tokens": 10**9})
    assert (await chat.end())["status"] == "completed"
    limit = chat.received[0]["limits"]["max_tokens"]
    assert (await Response.objects.aget()).params["max_tokens"] == limit


# --- other sites' pages ---


async def preflight(path: str, origin: str, method: str = "POST") -> HttpRequest:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization, content-type, x-stainless-os",
    }
    request = await (await HttpRequest("OPTIONS", path, headers=headers).send()).start()
    await request.rest()
    return request


async def test_a_page_that_is_listed_may_ask(start_worker: Any, chatstream: Any) -> None:
    await start_worker(FakeEngine())
    chatstream(cors_origins="https://App.example.org:443/, http://localhost:3000")
    for origin in (PAGE, "http://localhost:3000"):
        asked = await preflight(CHAT, origin)
        assert (asked.status, asked.headers["access-control-allow-origin"]) == (200, origin)
        allowed = asked.headers["access-control-allow-headers"]
        assert {"*", "authorization"} <= set(allowed.split(", "))
        assert "access-control-allow-credentials" not in asked.headers
        request, _ = await call("POST", CHAT, body=asking("stop 1"), headers={"origin": origin})
        assert request.headers["access-control-allow-origin"] == origin
        assert "origin" in request.headers["vary"].lower()
        assert "access-control-allow-credentials" not in request.headers
        assert "x-request-id" in request.headers["access-control-expose-headers"]
    request, _ = await call("POST", CHAT, body=b"{", headers={"origin": PAGE})
    assert (request.status, request.headers["access-control-allow-origin"]) == (400, PAGE)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://app.example.org", f"{PAGE}:8443", "null", f"{PAGE}.evil", ""],
)
async def test_any_other_page_may_not(layer: Any, chatstream: Any, origin: str) -> None:
    chatstream(cors_origins=PAGE)
    asked = await preflight(CHAT, origin)
    assert asked.status == 405
    request, _ = await call("GET", "/v1/models", headers={"origin": origin})
    for headers in (asked.headers, request.headers):
        assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/admin/", "/accounts/login/", "/healthz", "/metrics"])
async def test_nothing_but_the_api_is_open(layer: Any, chatstream: Any, path: str) -> None:
    chatstream(cors_origins="*")
    asked = await preflight(path, PAGE, "GET")
    request = await (await HttpRequest("GET", path, headers={"origin": PAGE}).send()).start()
    await request.rest()
    for headers in (asked.headers, request.headers):
        assert not [name for name in headers if name.startswith("access-control")]
    assert (await preflight(CHAT, PAGE)).headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize(
    "value", ["app.example.org", "https://a/b", "https://a@b", "https://*.a", "ws://a", "null"]
)
def test_what_is_no_origin_is_named(value: str) -> None:
    (fault,) = conf.faults({"cors_origins": value})
    assert fault.startswith("CHATSTREAM_CORS_ORIGINS=")
    assert value in fault


# --- the host's name ---


async def test_an_unknown_host_is_told_the_remedy(layer: Any, monkeypatch: Any) -> None:
    lines: list[str] = []
    host = {"host": 'chat.example"><b>'}
    note = lambda text, *values: lines.append(text % values)  # noqa: E731
    monkeypatch.setattr(logging.getLogger("streaming.deployment.hosts"), "warning", note)
    for _ in range(50):
        request, answer = await call("GET", "/v1/models", headers=host)
        assert (request.status, answer["error"]["code"]) == (400, "host_not_allowed")
        assert "ALLOWED_HOSTS" in answer["error"]["message"]
        assert request.headers["x-request-id"]
    page = HttpRequest("GET", "/", headers={**host, "accept-language": "ja"})
    text = await (await (await page.send()).start()).rest()
    assert page.status == 400
    assert "ALLOWED_HOSTS" in text
    assert 'lang="ja"' in text
    assert "<b>" not in text
    assert len(lines) <= 6  # no flood
    assert all("ALLOWED_HOSTS is" in line for line in lines)


async def test_monitors_ask_for_health(layer: Any, start_worker: Any) -> None:
    host = {"host": "10.0.0.7:8000"}
    request, answer = await call("GET", "/health", headers=host)
    assert (request.status, answer["status"]) == (503, "unready")
    assert request.headers["retry-after"]
    await start_worker(FakeEngine())
    request, answer = await call("GET", "/health", headers=host)
    assert (request.status, answer) == (200, {"status": "ok"})


# --- what every answer has ---


async def test_every_answer_has_the_id_of_its_request(start_worker: Any, chatstream: Any) -> None:
    await start_worker(FakeEngine())
    requests = [
        ("POST", CHAT, {"body": asking("stop 1")}, 200),
        ("POST", CHAT, {"body": b"{"}, 400),
        ("POST", CHAT, {"body": asking("x"), "key": "cs-x"}, 401),
        ("GET", "/v1/nothing", {}, 404),
        ("DELETE", "/v1/models", {}, 405),
        ("POST", "/v1/openapi.json", {}, 405),
        ("POST", CHAT, {"body": asking("x" * 3_000_000)}, 413),
        ("GET", "/v1/models", {}, 200),
        ("GET", "/v1/openapi.json", {}, 200),
    ]
    seen = set()
    for method, path, options, status in requests:
        request, answer = await call(method, path, **options)
        assert request.status == status, answer
        seen.add(UUID(request.headers["x-request-id"]))
        if status >= 400:
            ErrorBody.model_validate(answer)
    assert len(seen) == len(requests)
    given = {"x-request-id": "7f.a:b-c_1"}
    request, _ = await call("GET", "/v1/models", headers=given)
    assert request.headers["x-request-id"] != "7f.a:b-c_1"
    chatstream(trusted_proxies="127.0.0.1")
    request, _ = await call("POST", CHAT, body=asking("stop 1"), headers=given)
    assert request.headers["x-request-id"] == "7f.a:b-c_1"
    assert await Response.objects.filter(pk=request.headers["x-response-id"]).aexists()
    for insane in ("a b", "x" * 129, "a\x00", "é", ""):
        request, _ = await call("GET", "/v1/models", headers={"x-request-id": insane})
        UUID(request.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/default", "/v1/openapi.json"])
async def test_head_is_get_without_its_body(start_worker: Any, path: str) -> None:
    await start_worker(FakeEngine())
    asked, answer = await call("GET", path)
    head = await (await HttpRequest("HEAD", path).send()).start()
    assert await head.rest() == ""
    assert (head.status, asked.status) == (200, 200)
    assert head.headers["content-type"] == asked.headers["content-type"]
    length = len(json.dumps(answer).encode())
    assert abs(int(head.headers["content-length"]) - length) < length


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "gzip, gzip"])
async def test_a_compressed_body_is_refused_by_name(layer: Any, encoding: str) -> None:
    body = gzip.compress(json.dumps(asking("stop 1")).encode())
    request, answer = await call("POST", CHAT, body=body, headers={"content-encoding": encoding})
    assert (request.status, answer["error"]["code"]) == (415, "unsupported_content_encoding")
    assert request.headers["accept-encoding"] == "identity"


async def test_an_identity_is_no_encoding(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    headers = {"content-encoding": "identity"}
    request, _ = await call("POST", CHAT, body=asking("stop 1"), headers=headers)
    assert request.status == 200
