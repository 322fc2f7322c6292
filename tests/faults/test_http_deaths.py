"""A worker or the queue dies under an HTTP stream, whose client cannot resume: it need not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx

from tests.faults.cluster import PATIENCE, Cluster
from tests.support.fake_engine import words


async def parts(cluster: Cluster, prompt: str) -> AsyncIterator[str]:
    """The text of a stream as it comes."""
    url = cluster.urls[0].replace("ws://", "http://").replace("/ws/chat/", "/v1/chat/completions")
    message = {"role": "user", "content": prompt}
    body = {"model": "default", "messages": [message], "stream": True, "max_tokens": 1000}
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("POST", url, json=body) as response,
    ):
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                chunk = json.loads(line.removeprefix("data: "))
                assert "error" not in chunk, chunk
                yield chunk["choices"][0]["delta"].get("content") or ""


async def test_a_killed_worker_is_not_noticed(cluster: Cluster) -> None:
    first = await asyncio.to_thread(cluster.start_worker)
    text = ""
    async for part in parts(cluster, "stop 200"):
        text += part
        if first in cluster.workers and text.count(" ") >= 20:
            cluster.kill_worker(first)
            await asyncio.to_thread(cluster.start_worker)
    assert text == "".join(words(200))


async def test_a_queue_without_memory_repeats_nothing(forgetful: Cluster) -> None:
    """The answer begins anew, and says the same: what was sent is not sent again."""
    text, killed = "", False
    async for part in parts(forgetful, "stop 300"):
        text += part
        if not killed and text.count(" ") >= 50:
            killed = True
            await asyncio.to_thread(forgetful.valkey.restart)
    assert killed
    assert text == "".join(words(300))
