"""What hangs is noticed, said and ended: a step of the engine, its start or end, an event loop."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.awaited import ended, eventually, whole_answer
from tests.faults.cluster import FAST, PATIENCE, Cluster
from tests.faults.conftest import Ask
from tests.faults.reader import Reader
from tests.support.fake_engine import words
from tests.support.passing_time import outlast
from tests.support.processes import ManagedProcess, ServeProcess

HANGS = {"CHATSTREAM_HANG_SECONDS": "5", "CHATSTREAM_LEASE_SECONDS": "60"}
"""No lease ends by itself meanwhile: what goes on has been given back."""


def readiness(url: str) -> tuple[int, str]:
    """The status of `/readyz`, and what it says of the workers."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)["checks"]["worker"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["checks"]["worker"]


async def is_told_to_hang(url: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not (found := await asyncio.to_thread(readiness, url))[1].startswith("hangs"):
            await asyncio.sleep(0.1)
    assert found[0] == 503


def of(cluster: Cluster) -> str:
    return cluster.urls[0].replace("ws", "http", 1).removesuffix("/ws/chat/")


def has_said_so(process: ManagedProcess) -> None:
    """Once, and where the step stands."""
    assert process.output.count("has not returned for 5 s") == 1
    assert ", in _hang" in process.output
    assert process.output.count("The worker ended: A step of the engine has not returned") == 1


# First: what a killed worker with a long lease leaves behind is told of before one that loads.
@pytest.mark.parametrize("what", ["start", "close"])
async def test_an_engine_that_hangs_there_does_not_keep_the_process(
    what: str, cluster: Cluster
) -> None:
    env = {**cluster._env, "FAKE_HANG": what}
    worker = ManagedProcess("runworker", "generation", env=env)
    try:
        if what == "close":
            await asyncio.to_thread(worker.wait_for, "serves ")
        else:
            async with asyncio.timeout(PATIENCE):
                while (await asyncio.to_thread(readiness, of(cluster)))[1] != "loading its model":
                    await asyncio.sleep(0.1)
        worker.process.send_signal(signal.SIGTERM)
        assert await ended(worker) == 1
        assert "The worker ended: The engine" in worker.output
    finally:
        worker.process.kill()
        worker.stop()


async def test_another_worker_goes_on_where_the_hung_one_was(cluster: Cluster, ask: Ask) -> None:
    hung = await asyncio.to_thread(cluster.start_worker, **HANGS)
    with cluster.held_answers():
        bystander = ask(cluster, "stop 250")
        await bystander.words(20)
        reader = ask(cluster, "hang 20", max_tokens=60)
        await reader.words(20)
        await is_told_to_hang(of(cluster))
        other = await asyncio.to_thread(cluster.start_worker)
    await whole_answer(bystander, 250)
    done = await reader.end()
    assert reader.text == done["text"] == "".join(words(60))
    assert reader.begun == 1
    for each in (bystander, reader):
        assert cluster.row(each.id).attempt == 2
        assert 0 < cluster.words_by(other, each.id) < 250
    assert await ended(hung) == 1
    has_said_so(hung)


async def test_the_hung_worker_goes_on_if_its_step_returns(
    cluster: Cluster, ask: Ask, tmp_path: Path
) -> None:
    back = tmp_path / "back"
    env = {**HANGS, "CHATSTREAM_HANG_SECONDS": "10", "FAKE_RETURN": str(back)}
    hung = await asyncio.to_thread(cluster.start_worker, **env)
    reader, bystander = ask(cluster, "hang 20", max_tokens=60), ask(cluster, "stop 250")
    await is_told_to_hang(of(cluster))
    back.touch()
    await whole_answer(bystander, 250)
    done = await reader.end()
    assert reader.text == done["text"] == "".join(words(60))
    assert reader.begun == bystander.begun == 1
    assert hung.process.poll() is None
    assert await asyncio.to_thread(readiness, of(cluster)) == (200, "ok")
    assert "it serves again" in hung.output


async def test_a_prompt_that_hangs_three_workers_has_hung_enough(
    cluster: Cluster, ask: Ask
) -> None:
    starts = [
        asyncio.to_thread(cluster.start_worker, CHATSTREAM_HANG_SECONDS="2") for _ in range(4)
    ]
    workers = await asyncio.gather(*starts)
    reader = ask(cluster, "poison 20")
    done = await reader.end(2 * PATIENCE)
    assert (done["status"], done["error"]["code"]) == ("failed", "worker_lost")
    assert reader.text == done["text"] == "".join(words(20))
    await eventually(lambda: sum(worker.process.poll() == 1 for worker in workers) == 3)
    await whole_answer(ask(cluster, "stop 20"), 20)


async def test_who_was_only_paused_does_not_hang(cluster: Cluster, ask: Ask) -> None:
    """For several times as long as it takes to call a step hung, again and again."""
    env = {"CHATSTREAM_HANG_SECONDS": "2", "CHATSTREAM_LEASE_SECONDS": "60"}
    worker = await asyncio.to_thread(cluster.start_worker, **env)
    with cluster.held_answers():
        reader = ask(cluster, "stop 250")
        await reader.words(20)
        for seconds in (5, 5, 5):
            worker.pause()
            await outlast(seconds, "what calls a step hung")
            worker.resume()
            await outlast(0.2, "a few polls of the watch")
    await whole_answer(reader, 250)
    assert worker.process.poll() is None
    assert "hung" not in worker.output
    assert "not returned" not in worker.output
    assert "stood still" not in worker.output
    assert cluster.row(reader.id).attempt == 1


async def test_a_worker_whose_event_loop_hangs_ends(cluster: Cluster, ask: Ask) -> None:
    hung = await asyncio.to_thread(cluster.start_worker, CHATSTREAM_HANG_SECONDS="2")
    bystander = ask(cluster, "stop 250")
    await bystander.words(5)
    reader = ask(cluster, "block")
    assert await ended(hung) == 1
    assert hung.output.count("The event loop has stood still for 2 s") == 1
    assert ", in submit" in hung.output
    await reader.cancel()
    await asyncio.to_thread(cluster.start_worker)
    await whole_answer(bystander, 250)
    assert (await reader.end())["status"] == "cancelled"


# --- embedded ---


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServeProcess]]:
    """Start `manage.py serve` with the fake engine, always on the same database."""
    started: list[ServeProcess] = []
    gate = tmp_path / "gate"
    gate.touch()

    def start(**env: str) -> ServeProcess:
        process = ServeProcess(tmp_path, env={**FAST, "FAKE_GATE": str(gate), **env})
        started.append(process)
        process.wait_until_ready()
        return process

    yield start
    for process in started:
        process.process.kill()
        process.stop()


async def reads(server: ServeProcess, prompt: str, **params: Any) -> Reader:
    return Reader([server.ws_url], prompt, **params).start()


@pytest.mark.parametrize("how", ["cancelled", "generation_timeout"])
async def test_nobody_waits_for_a_hung_step_of_the_embedded_worker(
    how: str, serve: Callable[..., ServeProcess]
) -> None:
    """Long before it is noticed, and whether the response hangs it or its neighbour does."""
    limit = "8" if how == "generation_timeout" else "600"
    server = await asyncio.to_thread(serve, CHATSTREAM_GENERATION_TIMEOUT=limit)
    readers = [await reads(server, "hang 20"), await reads(server, "stop 5000")]
    for reader in readers:
        await reader.words(1)
    await readers[0].words(20)
    for reader in readers:
        if how == "cancelled":
            await reader.cancel()
        done = await reader.end(30)
        code = done["error"] and done["error"]["code"]
        assert (done["status"], code) in (("cancelled", None), ("failed", how))
        assert done["text"] == reader.text
    assert readers[0].text == "".join(words(20))
    assert await asyncio.to_thread(server.stop) == 1  # its thread is there still
    assert "The worker ended: The engine did not end." in server.output


async def test_a_hung_server_says_so_ends_and_goes_on(serve: Callable[..., ServeProcess]) -> None:
    server = await asyncio.to_thread(serve, **HANGS, CHATSTREAM_MAX_RUNNING="2")
    bystander, hangs = await reads(server, "stop 400"), await reads(server, "hang 20")
    waits = await reads(server, "stop 30")
    await waits.accepted.wait()
    await hangs.words(20)
    await is_told_to_hang(server.url)
    await hangs.cancel()
    assert (await hangs.end(15))["status"] == "cancelled"
    assert await ended(server) == 1
    has_said_so(server)
    again = await asyncio.to_thread(serve, **HANGS)
    for reader in (bystander, waits):
        reader._urls = [again.ws_url]
    for reader, count in ((bystander, 400), (waits, 30)):
        done = await reader.end()
        assert (done["status"], done["text"]) == ("completed", "".join(words(count)))
        assert reader.text == done["text"]
    assert await asyncio.to_thread(again.stop) == 0


async def test_a_prompt_that_hangs_the_server_each_time_is_given_up(
    serve: Callable[..., ServeProcess],
) -> None:
    """Though every server begins with an empty list."""
    server = await asyncio.to_thread(serve, CHATSTREAM_HANG_SECONDS="2")
    reader = await reads(server, "poison 5")
    for _ in range(3):
        assert await ended(server) == 1
        server = await asyncio.to_thread(serve, CHATSTREAM_HANG_SECONDS="2")
        reader._urls = [server.ws_url]
    done = await reader.end()
    assert (done["status"], done["error"]["code"]) == ("failed", "worker_lost")
    assert server.process.poll() is None


async def test_a_server_whose_event_loop_hangs_ends(serve: Callable[..., ServeProcess]) -> None:
    server = await asyncio.to_thread(serve, CHATSTREAM_HANG_SECONDS="2")
    reader = await reads(server, "block")
    assert await ended(server) == 1
    assert "The event loop has stood still for 2 s" in server.output
    assert ", in submit" in server.output
    await reader.stop()
