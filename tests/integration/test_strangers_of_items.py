"""Somebody else's responses, conversations, items and files are, on all doors that programs use, as
if they did not exist: read, gone on with, cancelled and deleted they get the same answer.

The addresses of the pages are tried in `test_strangers.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User

from streaming.models import Conversation, Message, Response, StoredFile
from tests.integration.files.conftest import here, storage, url_of
from tests.integration.http import call
from tests.integration.sockets.conftest import socket
from tests.support.fake_engine import FakeEngine

__all__ = ["here", "socket", "storage"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage", "here")]

SECRET = "words of the owner alone"
RESPONSE, CONVERSATION = "/v1/responses/{response}", "/v1/conversations/{conversation}"


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": "default", "input": "stop 1", **fields}


def parts(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "input_text", "text": "say done"}, part]}]


FILE = {"type": "input_file", "file_id": "{file}"}
PICTURE = {"type": "input_image", "file_id": "{file}"}
REFERENCE = {"type": "item_reference", "id": "{item}"}

BODIES: list[dict[str, Any]] = [
    asked(previous_response_id="{response}"),
    asked(previous_response_id="{open}"),
    asked(previous_response_id="{local}"),
    asked(conversation="{conversation}"),
    asked(conversation={"id": "{page}"}),
    asked(input=[REFERENCE]),
    asked(input=[{**REFERENCE, "id": "{prompt}"}]),
    asked(input=parts(FILE)),
    asked(input=parts(PICTURE)),
]

REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", RESPONSE, None),
    ("GET", "/v1/responses/{open}", None),
    ("GET", "/v1/responses/{open}?stream=true", None),
    ("GET", f"{RESPONSE}?stream=true&starting_after=1", None),
    ("GET", f"{RESPONSE}/input_items", None),
    ("POST", f"{RESPONSE}/cancel", None),
    ("POST", "/v1/responses/{open}/cancel", None),
    ("DELETE", RESPONSE, None),
    ("DELETE", "/v1/responses/{open}", None),
    *(("POST", "/v1/responses", body) for body in BODIES),
    ("POST", "/v1/responses/compact", asked(previous_response_id="{response}")),
    ("POST", "/v1/responses/compact", asked(input=[REFERENCE])),
    ("GET", "/v1/files/{file}", None),
    ("GET", "/v1/files/{file}/content", None),
    ("DELETE", "/v1/files/{file}", None),
    ("GET", CONVERSATION, None),
    ("GET", "/v1/conversations/{page}", None),
    ("POST", CONVERSATION, {"metadata": {"mine": "now"}}),
    ("DELETE", CONVERSATION, None),
    ("DELETE", "/v1/conversations/{page}", None),
    ("GET", f"{CONVERSATION}/items", None),
    ("GET", "/v1/conversations/{page}/items", None),
    ("POST", f"{CONVERSATION}/items", {"items": [{"role": "user", "content": "mine"}]}),
    ("GET", f"{CONVERSATION}/items/{{item}}", None),
    ("DELETE", f"{CONVERSATION}/items/{{item}}", None),
    ("GET", "/v1/conversations/{own}/items/{item}", None),
    ("GET", "/v1/conversations/{own}/items/{prompt}", None),
    ("GET", "/v1/conversations/{own}/items?after={item}", None),
    ("DELETE", "/v1/conversations/{own}/items/{item}", None),
    ("DELETE", "/v1/conversations/{own}/items/{prompt}", None),
    ("POST", "/v1/conversations/{own}/items", {"items": parts(FILE)}),
    ("POST", "/v1/conversations", {"items": parts(PICTURE)}),
]

EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("response.create", {"input": "stop 1", "previous_response_id": "{response}"}),
    ("response.create", {"input": "stop 1", "conversation_id": "{page}"}),
    ("response.create", {"regenerates": "{response}"}),
    ("response.create", {"continues": "{response}"}),
    ("response.create", {"input": [{"type": "input_text", "text": "x"}, FILE]}),
    ("response.cancel", {"response_id": "{open}"}),
    ("chatstream:resume", {"response_id": "{response}"}),
    ("chatstream:update", {"response_id": "{open}", "input": "mine"}),
]


def filled(value: Any, names: dict[str, str]) -> Any:
    """The value with ids in the place of their names."""
    text = json.dumps(value)
    for name, id_ in names.items():
        text = text.replace(f"{{{name}}}", id_)
    return json.loads(text)


def without_ids(value: Any) -> Any:
    """An answer without the ids that were asked for."""
    text = json.dumps(value)
    return re.sub(r"[0-9a-f]{32}(_\d+)?|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)


def missing(names: dict[str, str]) -> dict[str, str]:
    """Ids like these of what does not exist."""

    def other(id_: str) -> str:
        key = re.search(r"[0-9a-f]{32}|[0-9a-f-]{36}", id_)
        assert key
        new = uuid4()
        return id_.replace(key[0], str(new) if "-" in key[0] else new.hex)

    return {name: id_ if name == "own" else other(id_) for name, id_ in names.items()}


@database_sync_to_async
def everything() -> list[Any]:
    models = (Conversation, Message, Response, StoredFile)
    own = User.objects.get(username="owner")
    ours = (f"user:{own.pk}",)
    rows = [
        list(model.objects.filter(owner__in=ours).order_by("pk").values("pk"))
        for model in models
        if model is not Message
    ]
    turns = Message.objects.filter(conversation__owner__in=ours).order_by("pk")
    return [*rows, list(turns.values("pk", "content", "parent_id", "removed"))]


@pytest.fixture
async def owned(start_worker: Any, socket: Any, make_key: Any) -> AsyncIterator[dict[str, str]]:
    """Ids of all that an account has, by the names above."""
    await start_worker(FakeEngine(step_seconds=0.02))
    key = await make_key("owner")

    async def post(path: str, body: Any) -> Any:
        request, answer = await call("POST", path, body=body, key=key)
        assert request.status == 200, answer
        return answer

    file = {
        "type": "input_file",
        "filename": "a.txt",
        "file_data": url_of(SECRET.encode(), "text/plain"),
    }
    conversation = await post("/v1/conversations", {"items": [{"role": "user", "content": SECRET}]})
    message = [{"role": "user", "content": [{"type": "input_text", "text": "say done"}, file]}]
    response = await post("/v1/responses", asked(input=message, conversation=conversation["id"]))
    is_open = await post("/v1/responses", asked(input="stop 100000", background=True))
    client = await socket(key=key)
    local = await client.response("stop 1", store=False)
    user = await User.objects.aget(username="owner")
    page = await Conversation.objects.acreate(owner=f"user:{user.pk}", user=user, title=SECRET)
    stored = await StoredFile.objects.aget()
    prompt = await Message.objects.filter(content=SECRET).aget()
    yield {
        "response": response["id"],
        "open": is_open["id"],
        "local": local["id"],
        "conversation": conversation["id"],
        "page": f"conv_{page.pk.hex}",
        "item": response["output"][0]["id"],
        "prompt": f"msg_{prompt.pk.hex}",
        "file": f"file_{stored.pk.hex}",
    }
    # A worker that is stopped lets it run on.
    await call("POST", f"/v1/responses/{is_open['id']}/cancel", key=key)


@pytest.mark.parametrize("kind", ["account", "visitor"])
async def test_a_stranger_finds_nothing_by_http(
    owned: dict[str, str], make_key: Any, kind: str
) -> None:
    key = await make_key("stranger") if kind == "account" else None
    items = [{"role": "user", "content": "mine"}]
    own = (await call("POST", "/v1/conversations", body={"items": items}, key=key))[1]["id"]
    before, names = await everything(), {**owned, "own": own}
    for method, path, body in REQUESTS:
        answers = []
        for ids in (names, missing(names)):
            request, answer = await call(
                method, filled(path, ids), body=body and filled(body, ids), key=key
            )
            # Files of programs are kept for accounts alone.
            is_shut = kind == "visitor" and path.startswith("/v1/files")
            expected = (401,) if is_shut else (400, 404)
            assert request.status in expected, (method, path, body, answer)
            assert SECRET not in json.dumps(answer)
            answers.append((request.status, without_ids(answer)))
        assert answers[0] == answers[1], (method, path, body)
    assert await everything() == before
    is_open = await Response.objects.aget(pk=UUID(owned["open"].removeprefix("resp_")))
    assert is_open.finished_at is None


@pytest.mark.parametrize("kind", ["account", "visitor"])
async def test_a_stranger_finds_nothing_by_the_socket_of_responses(
    owned: dict[str, str], socket: Any, make_key: Any, kind: str
) -> None:
    key = await make_key("stranger") if kind == "account" else None
    before, client = await everything(), await socket(key=key)
    for body in BODIES:
        answers = []
        for ids in (owned, missing(owned)):
            await client.send(type="response.create", **filled(body, ids))
            answers.append(await client.next())
            assert answers[-1]["type"] == "error", (body, answers)
        assert without_ids(answers[0]) == without_ids(answers[1]), body
    assert await everything() == before


async def test_a_stranger_finds_nothing_by_the_chat_socket(
    owned: dict[str, str], client: Any
) -> None:
    """Its `response_id`s are the client's own, so it says that one is taken (`forbidden`)."""
    before, chat = await everything(), await client()
    for type_, fields in EVENTS:
        answers = []
        for ids in (owned, missing(owned)):
            await chat.send(type_, **filled(fields, ids))
            answers.append(await chat.until("error"))
        theirs, nobodys = answers
        if theirs["code"] == "forbidden":
            assert "response_id" in fields
            assert nobodys["code"] == "not_found"
        else:
            assert without_ids(theirs) == without_ids(nobodys), (type_, fields)
    assert await everything() == before


async def test_its_owner_finds_all_of_it(owned: dict[str, str], make_key: Any) -> None:
    """The tries are refused for whom they are made, and for nothing else."""
    key = await make_key("owner")
    for method, path, _ in REQUESTS:
        if method == "GET" and not any(word in path for word in ("own", "stream", "/content")):
            request, answer = await call(method, filled(path, owned), key=key)
            assert request.status == 200, (path, answer)
    for body in BODIES[0], BODIES[3]:
        request, answer = await call("POST", "/v1/responses", body=filled(body, owned), key=key)
        assert request.status == 200, answer
