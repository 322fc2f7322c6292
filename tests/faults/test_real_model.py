"""The real model's worker is killed mid-answer, and nobody can tell from the text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster, own_cluster
from tests.faults.conftest import Ask

PROMPT = "Write a long story about a lighthouse keeper and the sea."
GREEDY = {"temperature": 0, "max_tokens": 80}


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Cluster]:
    env = {
        "CHATSTREAM_ENGINE": "streaming.engine.local.LocalEngine",
        "CHATSTREAM_MAX_RUNNING": "2",
        "CHATSTREAM_LEASE_SECONDS": "5",
    }
    yield from own_cluster(tmp_path, durable=True, **env)


async def test_the_text_is_that_of_an_uninterrupted_answer(real: Cluster, ask: Ask) -> None:
    worker = await asyncio.to_thread(real.start_worker)
    uninterrupted = await ask(real, PROMPT, **GREEDY).end()
    assert len(uninterrupted["text"]) > 150

    for share in (0.2, 0.7):
        reader = ask(real, PROMPT, **GREEDY)
        await reader.words(int(share * uninterrupted["text"].count(" ")))
        assert reader.done is None
        real.kill_worker(worker)
        worker = await asyncio.to_thread(real.start_worker)
        done = await reader.end()
        assert reader.text == done["text"] == uninterrupted["text"]
        assert done["status"] == uninterrupted["status"]
        assert done["usage"] == uninterrupted["usage"]
        assert reader.begun == 1
        assert real.row(reader.id).attempt == 2
