"""Workers that are killed while they think, and in the answer after it: neither is another one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster, own_cluster
from tests.faults.conftest import Ask
from tests.faults.reader import Reader
from tests.support.fake_engine import thoughts, words
from tests.support.thinking_tokenizers import save_thinking_model


async def whole(reader: Reader, thought: str, text: str) -> None:
    """It is said in one go, every letter once, and kept so."""
    done = await reader.end()
    assert (reader.reasoning, reader.text) == (done["reasoning"], done["text"]) == (thought, text)
    assert reader.begun == 1


async def test_a_worker_that_is_killed_in_a_thought(cluster: Cluster, ask: Ask) -> None:
    """And one that is killed in the answer, by those that take both over."""
    first = await asyncio.to_thread(cluster.start_worker)
    with cluster.held_answers():
        thinks, answers = ask(cluster, "think 150 stop 20"), ask(cluster, "think 9 stop 150")
        async with asyncio.timeout(60):
            while thinks.reasoning.count(" ") < 30 or answers.text.count(" ") < 20:
                await asyncio.sleep(0.02)
        assert thinks.text == ""
        await asyncio.to_thread(cluster.start_worker)
        cluster.kill_worker(first)
    await whole(thinks, thoughts(150), "".join(words(20)))
    await whole(answers, thoughts(9), "".join(words(150)))
    assert thinks.done
    assert thinks.done["usage"]["output_tokens_details"]["reasoning_tokens"] == 150
    assert {cluster.row(reader.id).attempt for reader in (thinks, answers)} == {2}


@pytest.fixture
def thinking(tmp_path: Path) -> Iterator[Cluster]:
    """A tiny model, whose template opens a thought; what it says is noise, but always the same."""
    folder = tmp_path / "model"
    save_thinking_model(folder, layers=2, context=4096)
    env = {
        "CHATSTREAM_ENGINE": "streaming.engine.local.LocalEngine",
        "CHATSTREAM_MODEL": str(folder),
        "CHATSTREAM_CACHE_DIR": str(tmp_path / "cache"),
        "CHATSTREAM_DTYPE": "float32",
        "CHATSTREAM_MAX_RUNNING": "2",
        "CHATSTREAM_MAX_REASONING_TOKENS": "600",
    }
    yield from own_cluster(tmp_path, durable=True, **env)


async def test_a_models_thought_and_answer_are_those_of_an_undisturbed_one(
    thinking: Cluster, ask: Ask
) -> None:
    params = {"temperature": 0, "max_tokens": 600, "ignore_eos": True}
    worker = await asyncio.to_thread(thinking.start_worker)
    undisturbed = await ask(thinking, "What is two plus two?", **params).end()
    thought, text = undisturbed["reasoning"], undisturbed["text"]
    assert min(len(thought), len(text)) > 500
    assert 600 <= undisturbed["usage"]["output_tokens_details"]["reasoning_tokens"] < 610
    for in_thought in (True, False):
        reader = ask(thinking, "What is two plus two?", **params)
        async with asyncio.timeout(60):
            while not (reader.text or (in_thought and len(reader.reasoning) > 100)):
                await asyncio.sleep(0.002)
        thinking.kill_worker(worker)
        assert reader.done is None
        assert in_thought == (reader.text == "")
        worker = await asyncio.to_thread(thinking.start_worker)
        await whole(reader, thought, text)
        assert reader.done
        assert reader.done["usage"] == undisturbed["usage"]
        assert thinking.row(reader.id).attempt == 2
