"""Workers before another server: one is killed mid-answer, the next goes on from the text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.cluster import PATIENCE, Cluster, own_cluster
from tests.faults.conftest import Ask
from tests.support.fake_responses import arguments, call, completed, events, text, thought
from tests.support.fake_upstream import Exchange, FakeUpstream, words

KEY = "sk-never-shown-0123456789"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    server = FakeUpstream().start()
    yield server
    server.stop()


@pytest.fixture
def before(tmp_path: Path, upstream: FakeUpstream) -> Iterator[Cluster]:
    env = {
        "CHATSTREAM_ENGINE": "",
        "CHATSTREAM_UPSTREAM_URL": upstream.url,
        "CHATSTREAM_UPSTREAM_KEY": KEY,
        "CHATSTREAM_UPSTREAM_CONTINUES": "yes",
        "LOG_LEVEL": "DEBUG",
    }
    yield from own_cluster(tmp_path, durable=True, **env)


async def talk(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.say("One", " two", " three")
    await exchange.go_on.wait()


async def test_the_next_worker_goes_on(before: Cluster, upstream: FakeUpstream, ask: Ask) -> None:
    upstream.acts.extend([talk, words(" four", " five", completion=2)])
    worker = await asyncio.to_thread(before.start_worker)
    reader = ask(before, "Count", max_tokens=20)
    await reader.words(2)
    before.kill_worker(worker)
    assert await asyncio.to_thread(upstream.exchange(0).left.wait, 30)
    another = await asyncio.to_thread(before.start_worker)
    done = await reader.end()
    assert reader.text == done["text"] == "One two three four five"
    assert reader.begun == 1
    assert done["usage"]["output_tokens"] == 5
    body = upstream.bodies[1]
    assert body["messages"][-1] == {"role": "assistant", "content": "One two three"}
    assert body["max_tokens"] == 17
    assert upstream.exchanges[1].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in worker.output + another.output
    assert not another.has_loaded("libtorch")


# --- items, by Responses ---

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}


async def stream(cluster: Cluster, **fields: Any) -> AsyncIterator[dict[str, Any]]:
    """The events of a response as they come."""
    url = cluster.urls[0].replace("ws://", "http://").replace("/ws/chat/", "/v1/responses")
    body = {"model": "default", "input": "Count", "stream": True, **fields}
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("POST", url, json=body) as response,
    ):
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                yield json.loads(line.removeprefix("data: "))


async def read(before: Cluster, upstream: FakeUpstream, last: str, **fields: Any) -> list[Any]:
    """All events; the worker is killed once this one has come, and another one takes over."""
    upstream.paths = {"/v1/responses"}
    worker = await asyncio.to_thread(before.start_worker)
    said, told = [], ""
    async for event in stream(before, **fields):
        said.append(event)
        told += event.get("delta", "")
        if told.endswith(last) and worker in before.workers:
            before.kill_worker(worker)
            await asyncio.to_thread(before.start_worker)
    numbers = [event["sequence_number"] for event in said if event["sequence_number"]]
    assert numbers == [*range(1, len(numbers) + 1)]
    return said


async def test_items_are_gone_on_with(before: Cluster, upstream: FakeUpstream) -> None:
    """The thought stays, and the text has no seam."""
    begun = [thought("Hm"), text("One", 1), text(" two", 1)]
    upstream.acts.extend(
        [events(*begun, waits=True), events(text(" three"), text(" four"), completed())]
    )
    said = await read(before, upstream, "One two")
    kinds = [event["type"] for event in said]
    assert kinds.count("response.in_progress") == 1
    assert kinds.count("response.output_item.added") == 2
    output = said[-1]["response"]["output"]
    assert [item["content"][0]["text"] for item in output] == ["Hm", "One two three four"]
    assert upstream.bodies[1]["input"][-1]["status"] == "incomplete"


async def test_half_a_call_is_void(before: Cluster, upstream: FakeUpstream) -> None:
    begun = [text("Let me see."), call(1), arguments('{"a', 1)]
    again = [text("Look:"), call(1), arguments('{"a": 1}', 1), completed()]
    upstream.acts.extend([events(*begun, waits=True), events(*again)])
    said = await read(before, upstream, '{"a', tools=[TOOL])
    kinds = [event["type"] for event in said]
    assert kinds.count("response.in_progress") == 2
    first, made = said[-1]["response"]["output"]
    assert first["content"][0]["text"] == "Look:"
    assert (made["call_id"], made["arguments"]) == ("call_1", '{"a": 1}')
    assert [item["type"] for item in upstream.bodies[1]["input"]] == ["message"]
