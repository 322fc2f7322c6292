"""The whole of ChatStream before a server process that is not ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e import chat
from tests.support.endings import usage
from tests.support.processes import ServeProcess
from tests.support.transformers_server import TransformersServer

QUESTION = "What is the capital of France?"
STORY = "Write a long story about a lighthouse keeper and the sea."


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersServer]:
    server = TransformersServer(tmp_path_factory.mktemp("upstream"))
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def front(
    upstream: TransformersServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServeProcess]:
    env = {
        "CHATSTREAM_UPSTREAM_URL": upstream.url,
        "CHATSTREAM_UPSTREAM_MODEL": upstream.model,
        "CHATSTREAM_MAX_RUNNING": "1",
    }
    process = ServeProcess(tmp_path_factory.mktemp("front"), env=env)
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.stop()


async def readiness(front: ServeProcess, status: int) -> dict[str, Any]:
    """What `/readyz` says, once it says it with this status."""
    async with asyncio.timeout(chat.PATIENCE), httpx.AsyncClient(timeout=60) as client:
        while (answer := await client.get(f"{front.url}/readyz")).status_code != status:
            await asyncio.sleep(0.2)
        said: dict[str, Any] = answer.json()
        return said


async def test_an_answer_streams(front: ServeProcess) -> None:
    params = {"temperature": 0, "max_tokens": 7, "top_k": 20}
    events = await chat.ask(front.ws_url, QUESTION, params=params)
    done = events[-1]
    assert [event["type"] for event in events].count("response.in_progress") == 1
    assert "".join(event.get("delta", "") for event in events) == done["text"]
    assert "Paris" in done["text"]
    assert (done["status"], done["finish_reason"]) == ("incomplete", "length")
    assert done["usage"] == usage(37, 7)


async def test_a_stop_string_ends_it(front: ServeProcess) -> None:
    params = {"temperature": 0, "max_tokens": 20, "stop": [" France"]}
    done = (await chat.ask(front.ws_url, QUESTION, params=params))[-1]
    assert done["status"] == "completed"
    assert "Paris" not in done["text"]


async def test_cancel_frees_the_place(front: ServeProcess) -> None:
    socket = await chat.open_chat(front.ws_url)
    await chat.send(socket, "response.create", input=STORY, params={"max_tokens": 1000})
    while (event := await chat.receive(socket))["type"] != "response.output_text.delta":
        pass
    await chat.send(socket, "response.cancel", response_id=event["response_id"])
    done = (await chat.events_to_end(socket))[-1]
    await socket.close()
    assert done["status"] == "cancelled"
    short = await chat.ask(front.ws_url, QUESTION, params={"temperature": 0, "max_tokens": 2})
    assert short[-1]["status"] == "incomplete"


async def test_the_server_is_killed_and_comes_back(
    front: ServeProcess, upstream: TransformersServer
) -> None:
    """It cannot go on with an answer, so this one begins anew; a prompt meanwhile waits."""
    params = {"temperature": 0, "max_tokens": 16}
    socket = await chat.open_chat(front.ws_url)
    await chat.send(socket, "response.create", input=STORY, params=params)
    events = [await chat.receive(socket)]
    while events[-1]["type"] != "response.output_text.delta":
        events.append(await chat.receive(socket))
    await asyncio.to_thread(upstream.kill)
    assert "loading" in (await readiness(front, 503))["checks"]["worker"]
    waiting = asyncio.create_task(chat.ask(front.ws_url, QUESTION, params=params))
    await asyncio.to_thread(upstream.start)
    events += await chat.events_to_end(socket)
    await socket.close()

    kinds = [event["type"] for event in events]
    assert kinds.count("response.in_progress") == 2
    again = len(kinds) - kinds[::-1].index("response.in_progress")
    text = "".join(event.get("delta", "") for event in events[again:])
    assert events[-1]["text"] == text
    assert (events[-1]["status"], events[-1]["usage"]["output_tokens"]) == ("incomplete", 16)
    assert "Paris" in (await waiting)[-1]["text"]
    await readiness(front, 200)


def test_no_model_is_loaded_here(front: ServeProcess) -> None:
    assert not front.has_loaded("libtorch")
