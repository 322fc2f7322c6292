"""Tools, images, forms and thoughts through a server behind that knows them."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from streaming.engine.upstream import UpstreamEngine
from streaming.models import Message, Response
from tests.integration.responses.asking import create, get, post, stream, text_of
from tests.support.tool_server.process import ToolServer

pytestmark = pytest.mark.django_db(transaction=True)

PARAMETERS = {
    "type": "object",
    "properties": {"location": {"type": "string"}},
    "required": ["location"],
}
TOOL = {"type": "function", "name": "get_weather", "parameters": PARAMETERS}
OTHER = {"type": "function", "name": "get_news", "parameters": PARAMETERS}
ASKED = "What's the weather like in San Francisco?"

Front = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def server() -> Iterator[ToolServer]:
    server = ToolServer().start()
    yield server
    server.kill()


@pytest.fixture
def front(start_worker: Any, server: ToolServer) -> Front:
    """Start a worker before the server."""

    async def start() -> None:
        engine: Any = UpstreamEngine(server.url)
        engine.max_running = 4
        await start_worker(engine)

    return start


async def test_a_tool_is_called_and_its_result_answered(front: Front) -> None:
    await front()
    first = await create(ASKED, tools=[TOOL])
    call = first["output"][-1]
    assert (call["type"], call["name"], call["status"]) == (
        "function_call", "get_weather", "completed",
    )  # fmt: skip
    assert "San Francisco" in json.loads(call["arguments"])["location"]
    assert first["tools"] == [{**TOOL, "description": None, "strict": None}]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "Sunny."}
    second = await create([output], previous_response_id=first["id"], tools=[TOOL])
    assert "Sunny." in text_of(second)
    _, page = await get(f"{second['id']}/input_items")
    kinds = [item["type"] for item in page["data"]]
    assert kinds == ["function_call_output", "function_call", "message"]
    assert page["data"][1] == call
    # The same without what the server keeps: all of it is sent, as items.
    given = [{"role": "user", "content": ASKED}, *first["output"], output]
    assert text_of(await create(given, tools=[TOOL], store=False)) == text_of(second)


async def test_a_call_needs_its_result_and_a_result_its_call(front: Front) -> None:
    await front()
    first = await create(ASKED, tools=[TOOL])
    counts = await Message.objects.acount(), await Response.objects.acount()
    wrong = {"type": "function_call_output", "call_id": "call_9", "output": "?"}
    request, answer = await post([wrong], previous_response_id=first["id"])
    assert (request.status, answer["error"]["param"]) == (400, "input")
    assert "call_9" in answer["error"]["message"]
    request, answer = await post("Never mind.", previous_response_id=first["id"])
    assert (request.status, answer["error"]["param"]) == (400, "input")
    assert first["output"][-1]["call_id"] in answer["error"]["message"]
    assert counts == (await Message.objects.acount(), await Response.objects.acount())


async def test_a_call_is_streamed(front: Front) -> None:
    await front()
    events = await stream(ASKED, tools=[TOOL])
    kinds = [event["type"] for event in events]
    assert "chatstream:passed" not in kinds, events
    pieces = [e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta"]
    call = events[-1]["response"]["output"][-1]
    assert "".join(pieces) == call["arguments"]
    done = next(e for e in events if e["type"] == "response.output_item.done")
    assert done["item"] == call


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", None),
        ({"type": "function", "name": "get_news"}, "get_news"),
        ({"type": "allowed_tools", "tools": [{"type": "function", "name": "get_news"}]}, None),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "get_news"}],
            },
            "get_news",
        ),
    ],
)
async def test_which_tools_may_be_called(front: Front, choice: Any, called: str | None) -> None:
    await front()
    response = await create(ASKED, tools=[TOOL, OTHER], tool_choice=choice)
    names = [item.get("name") for item in response["output"] if item["type"] == "function_call"]
    assert names == ([called] if called else [])
    assert response["tool_choice"] == choice or response["tool_choice"]["mode"] == "auto"
    assert len(response["tools"]) == 2


async def test_a_form_is_kept_to(front: Front) -> None:
    await front()
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form = {"type": "json_schema", "name": "form", "schema": schema, "strict": True}
    response = await create("Fill it in.", text={"format": form})
    assert json.loads(text_of(response)) == {"a": 1}
    assert response["text"]["format"] == {**form, "description": None}


async def test_probabilities_come_where_they_are_included(front: Front) -> None:
    await front()
    include = ["message.output_text.logprobs"]
    events = await stream("Reply with exactly: yes and no", include=include, top_logprobs=2)
    deltas = [e for e in events if e["type"] == "response.output_text.delta"]
    said = [each for event in deltas for each in event["logprobs"]]
    assert said
    part = events[-1]["response"]["output"][-1]["content"][0]
    assert part["logprobs"] == said
    done = next(e for e in events if e["type"] == "response.output_text.done")
    assert done["logprobs"] == said
    whole = await create("Reply with exactly: yes and no", include=include, top_logprobs=2)
    assert whole["output"][-1]["content"][0]["logprobs"] == said


async def test_a_file_is_read(front: Front) -> None:
    await front()
    data = base64.b64encode(b"The number is 42.").decode()
    parts = [
        {"type": "input_text", "text": "What does it say?"},
        {"type": "input_file", "filename": "a.txt", "file_data": data},
    ]
    response = await create([{"role": "user", "content": parts}])
    assert "The number is 42." in text_of(response)
    _, page = await get(f"{response['id']}/input_items")
    listed = page["data"][0]["content"]
    assert [part["type"] for part in listed] == ["input_text", "input_file"]
    assert listed[1]["file_id"].startswith("file_")
    # By its id it is read again; an address is not fetched.
    again = [parts[0], {"type": "input_file", "file_id": listed[1]["file_id"]}]
    assert "The number is 42." in text_of(await create([{"role": "user", "content": again}]))
    fetched = [{"type": "input_file", "file_url": "http://127.0.0.1/a.txt"}]
    request, answer = await post([{"role": "user", "content": fetched}])
    assert (request.status, answer["error"]["param"]) == (400, "input.0.content.0.file_url")
