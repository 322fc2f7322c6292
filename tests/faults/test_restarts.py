"""A restart is not a reshuffle: who waited stands where they stood, whoever comes back first."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.cluster import FAST, Cluster
from tests.faults.reader import Reader
from tests.support.fake_engine import words
from tests.support.passing_time import outlast
from tests.support.processes import ManagedProcess
from tests.support.valkey import free_port, start_or_skip


def order_of_starts(database: Path) -> list[str]:
    """The ids of all responses that ever began, in the order in which they did."""
    with sqlite3.connect(database, timeout=30) as file:
        rows = file.execute(
            "SELECT id FROM streaming_response WHERE started_at IS NOT NULL ORDER BY started_at"
        ).fetchall()
    return [row[0] for row in rows]


def names(readers: Sequence[Reader]) -> list[str]:
    return [reader.id.replace("-", "") for reader in readers]


async def stop_all(readers: Sequence[Reader]) -> None:
    for reader in readers:
        await reader.stop()


async def ask_in_turn(urls: list[str], *prompts: str) -> list[Reader]:
    readers = []
    for number, prompt in enumerate(prompts):
        readers.append(Reader(urls, prompt, seed=number).start())
        async with asyncio.timeout(60):
            await readers[-1].accepted.wait()
    return readers


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_server_that_is_killed_begins_again_where_it_stood(
    tmp_path: Path, how: signal.Signals
) -> None:
    database, gate, loaded = tmp_path / "db.sqlite3", tmp_path / "gate", tmp_path / "loaded"
    port = free_port()
    environment = {
        **FAST,
        "DATABASE_URL": f"sqlite:///{database}",
        "CHATSTREAM_MAX_RUNNING": "1",
        "FAKE_GATE": str(gate),
        "FAKE_LOAD": str(loaded),
    }

    def serve(until: str) -> ManagedProcess:
        server = ManagedProcess("serve", "--port", str(port), env=environment)
        server.wait_for(until)
        return server

    loaded.touch()
    server = await asyncio.to_thread(serve, "^Ready:")
    urls = [f"ws://127.0.0.1:{port}/ws/chat/"]
    readers = await ask_in_turn(urls, "stop 20", "stop 3", "stop 4", "stop 5")
    try:
        await readers[0].words(5)
        await outlast(1, "the writing of places into the record")
        for reader in readers:
            reader.leave()
        await asyncio.to_thread(server.stop, how)
        loaded.unlink()  # people are back before the model is
        server = await asyncio.to_thread(serve, "Chat page")
        readers += await ask_in_turn(urls, "stop 6")
        for reader in reversed(readers[:4]):  # the one who was next comes last
            connections = reader.connections
            reader.come_back()
            async with asyncio.timeout(60):
                while reader.connections == connections:
                    await asyncio.sleep(0.05)
            await outlast(0.5, "the answer to a resume")
        loaded.touch()
        gate.touch()
        done = [await reader.end() for reader in readers]
        assert [each["text"] for each in done] == [
            "".join(words(count)) for count in (20, 3, 4, 5, 6)
        ]
        assert order_of_starts(database) == names(readers)
    finally:
        await stop_all(readers)
        await asyncio.to_thread(server.stop, signal.SIGKILL)


async def test_a_queue_that_lost_its_memory_begins_again_where_it_stood(tmp_path: Path) -> None:
    """A Valkey that keeps no file, and newcomers who are there at once when it is back."""
    valkey = start_or_skip(durable=False)
    cluster = Cluster(tmp_path, valkey, CHATSTREAM_MAX_RUNNING="1")
    readers: list[Reader] = []
    try:
        await asyncio.to_thread(cluster.start)
        await asyncio.to_thread(cluster.start_worker)
        with cluster.held_answers():
            readers = await ask_in_turn(cluster.urls, "stop 20", *["stop 3"] * 4)
            await readers[0].words(5)
            await outlast(2, "the writing of places into the record")
            valkey.kill()
            for reader in readers[1:]:
                reader.leave()
            newcomers = [Reader(cluster.urls, "stop 3", seed=at).start() for at in range(3)]
            readers += newcomers
            await outlast(1, "the first attempts of those who ask without a Valkey")
            await asyncio.to_thread(valkey.start)
            for reader in newcomers:
                async with asyncio.timeout(60):
                    await reader.accepted.wait()
            for reader in reversed(readers[1:5]):
                reader.come_back()
                await outlast(0.3, "the answer to a resume")
        for reader in readers:
            assert (await reader.end())["status"] == "completed"
        started = order_of_starts(cluster.database)
        assert started[:5] == names(readers[:5])
        assert sorted(started[5:]) == sorted(names(newcomers))
    finally:
        await stop_all(readers)
        await asyncio.to_thread(cluster.stop)
        valkey.stop()
