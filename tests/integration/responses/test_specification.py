"""What the published compliance suite of Open Responses asks over HTTP, against the facts of the
specification, and against our own models."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from streaming.api.responses.documented import Compaction, ShownResponse
from streaming.engine.upstream import UpstreamEngine
from tests.integration.http import call
from tests.integration.responses.asking import RESPONSES, create, post, stream, text_of
from tests.support.fake_engine import FakeEngine
from tests.support.open_responses import event_faults, faults
from tests.support.tool_server.process import ToolServer

pytestmark = pytest.mark.django_db(transaction=True)

Front = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def server() -> Iterator[ToolServer]:
    server = ToolServer().start()
    yield server
    server.kill()


@pytest.fixture
def front(start_worker: Any, server: ToolServer) -> Front:
    async def start() -> None:
        engine: Any = UpstreamEngine(server.url)
        engine.max_running = 4
        await start_worker(engine)

    return start


def message(role: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content, **fields}


def checked(response: dict[str, Any]) -> dict[str, Any]:
    """The response, which is complete and as the specification says."""
    assert not faults("ResponseResource", response)
    ShownResponse.model_validate(response)
    assert response["status"] == "completed"
    assert response["output"]
    return response


def a_picture() -> str:
    """A white pixel as a data URL."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\xff\xff\xff"))
    data = b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


HISTORIES: dict[str, list[dict[str, Any]]] = {
    "basic": [message("user", "Say hello in exactly 3 words.")],
    "phases": [
        message("assistant", "I should answer with the saved number.", phase="commentary"),
        message("assistant", "The number is four.", phase="final_answer"),
        message("user", "Repeat only the number."),
    ],
    "system": [message("system", "You are a pirate."), message("user", "Say hello.")],
    "turns": [
        message("user", "My name is Alice."),
        message("assistant", "Hello Alice! Nice to meet you."),
        message("user", "What is my name?"),
    ],
    "image": [
        message(
            "user",
            [
                {"type": "input_text", "text": "What do you see?"},
                {"type": "input_image", "image_url": a_picture()},
            ],
        )
    ],
}


async def test_whatever_is_asked(front: Front) -> None:
    await front()
    said = {name: text_of(checked(await create(given))) for name, given in HISTORIES.items()}
    assert said["system"].startswith("Arr!")
    assert said["turns"] == "Your name is Alice."
    assert said["image"].startswith("I see")


async def test_a_tool_is_called(front: Front) -> None:
    await front()
    tool = {
        "type": "function",
        "name": "get_weather",
        "description": "The weather of a place",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
    }
    asked = [message("user", "What's the weather like in San Francisco?")]
    response = checked(await create(asked, tools=[tool], tool_choice="required"))
    assert "function_call" in {item["type"] for item in response["output"]}


@pytest.mark.parametrize("given", ["Count from 1 to 5.", "What's the weather in Paris?", "refuse"])
async def test_each_event_of_a_stream(front: Front, given: str) -> None:
    await front()
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
    events = await stream(given, tools=[tool])
    assert not [fault for event in events for fault in event_faults(event)]
    checked(events[-1]["response"])


async def test_a_compaction(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    given = [
        message("user", "We agreed to launch on Tuesday and notify support first."),
        message("assistant", "Understood. The launch is Tuesday."),
    ]
    body = {"model": "default", "input": given, "prompt_cache_key": "key"}
    request, answer = await call("POST", f"{RESPONSES}/compact", body=body)
    assert request.status == 200, answer
    assert not faults("CompactResource", answer)
    Compaction.model_validate(answer)
    assert [item["type"] for item in answer["output"]] == ["compaction"]
    assert "Tuesday" not in str(answer)
    request, answer = await call("POST", f"{RESPONSES}/compact", body={"input": given})
    assert (request.status, answer["error"]["param"]) == (400, "model")
    assert (await post([*given, message("user", "stop 1")]))[0].status == 200
