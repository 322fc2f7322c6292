"""The queue's promises on real processes and the real model, embedded and distributed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streaming.models import OPEN
from tests.e2e import chat
from tests.faults.cluster import rows_of
from tests.support.endings import is_end
from tests.support.long_runs import IS_LONG
from tests.support.processes import ManagedProcess, ServeProcess
from tests.support.valkey import Valkey

WAVES = 6 if IS_LONG else 4
"""Of fifty clients each who vanish."""

CAP = {
    "CHATSTREAM_MAX_RUNNING": "2",
    "CHATSTREAM_MAX_WAITING": "3",
    "LOG_LEVEL": "DEBUG",
}


@dataclass
class Deployment:
    """Where to ask, and the process whose log has the engine's steps."""

    webs: list[ServeProcess]
    worker: ManagedProcess

    def steps(self) -> list[dict[str, Any]]:
        pattern = re.compile(r"streaming\.engine\.steps (\{.*\})$")
        found = (pattern.search(line) for line in list(self.worker.lines))
        return [json.loads(match[1]) for match in found if match]


@contextlib.contextmanager
def embedded(folder: Path, valkey: Valkey, **env: str) -> Iterator[Deployment]:
    web = ServeProcess(folder, env=env)
    try:
        web.wait_until_ready()
        yield Deployment([web], web)
    finally:
        web.stop()


@contextlib.contextmanager
def distributed(folder: Path, valkey: Valkey, **env: str) -> Iterator[Deployment]:
    """Two web processes and one worker, Valkey between them."""
    env = {"REDIS_URL": valkey.url, "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3", **env}
    processes: list[ManagedProcess] = []
    try:
        webs = []
        for _ in range(2):
            webs.append(ServeProcess(folder, env=env))
            processes.append(webs[-1])
        worker = ManagedProcess("runworker", "generation", env=env)
        processes.append(worker)
        worker.wait_for(r"serves ")
        yield Deployment(webs, worker)
    finally:
        for process in processes:
            process.stop()


deployments = pytest.mark.parametrize("deploy", [embedded, distributed], ids=lambda d: d.__name__)


@deployments
async def test_eight_at_once_five_accepted_two_running(
    deploy: Any, tmp_path: Path, valkey: Valkey
) -> None:
    with deploy(tmp_path, valkey, **CAP) as deployment:
        urls = itertools.cycle(web.ws_url for web in deployment.webs)
        sockets = [await chat.open_chat(next(urls)) for _ in range(8)]
        prompt = "Write a long story about the sea."
        params = {"temperature": 0, "max_tokens": 200, "stop": "\n\n"}

        async def run(socket: Any) -> list[dict[str, Any]]:
            await chat.send(socket, "response.create", input=prompt, params=params)
            return await chat.events_to_end(socket)

        answers = await asyncio.gather(*(run(socket) for socket in sockets))
        for socket in sockets:
            await socket.close()
        refused = [events[-1] for events in answers if events[-1]["type"] == "error"]
        served = [events for events in answers if is_end(events[-1])]
        assert [error["code"] for error in refused] == ["queue_full"] * 3
        assert len(served) == 5
        assert {events[-1]["status"] for events in served} == {"completed"}
        assert len({events[-1]["text"] for events in served}) == 1  # greedy: all say the same

        served.sort(key=lambda events: events[-1]["timings"]["queue_ms"])
        told = [[e["position"] for e in events if "position" in e] for events in served]
        assert all(positions == sorted(positions, reverse=True) for positions in told)
        assert told[-1][0] >= 2  # who waited longest; two places may be free at once
        assert told[-1][-1] == 1

        steps = deployment.steps()
        ids = {events[-1]["response_id"] for events in served}
        assert {i for step in steps for i in step["decoded"]} == ids
        assert max(len({*step["decoded"], *step["prefilled"]}) for step in steps) == 2
        _check_every_step_advances_everyone(steps)


def _check_every_step_advances_everyone(steps: list[dict[str, Any]]) -> None:
    """Between its first and last decode step, a response is in every step."""
    for response_id in {i for step in steps for i in step["decoded"]}:
        inside = [response_id in step["decoded"] for step in steps]
        first, last = inside.index(True), len(inside) - inside[::-1].index(True)
        assert all(inside[first:last])


@deployments
async def test_vanishing_clients_leave_nothing_behind(
    deploy: Any, tmp_path: Path, valkey: Valkey
) -> None:
    """They connect, ask and cut the connection in the queue, in prefill, mid-answer."""
    chance = random.Random(7)
    env = {
        "CHATSTREAM_DISCONNECT_GRACE": "1",
        "CHATSTREAM_MAX_RUNNING": "4",
        "CHATSTREAM_MAX_WAITING": "300",
        "CHATSTREAM_MAX_PER_ADDRESS": "0",
        "LOG_LEVEL": "DEBUG",
    }
    accepted = 0

    async def vanish(url: str) -> None:
        nonlocal accepted
        socket = await chat.open_chat(url)
        prompt = "Tell me a story. " * chance.choice([1, 40])
        await chat.send(socket, "response.create", input=prompt, params={"max_tokens": 200})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(chance.uniform(0, 3)):
                while not is_end(await chat.receive(socket)):
                    accepted += 1
        socket.transport.abort()

    with deploy(tmp_path, valkey, **env) as deployment:
        urls = itertools.cycle(web.ws_url for web in deployment.webs)
        for _ in range(WAVES):
            await asyncio.gather(*(vanish(next(urls)) for _ in range(50)))
        assert accepted
        async with asyncio.timeout(60):
            while (counts := _counts(deployment)).keys() & set(OPEN):
                await asyncio.sleep(0.5)
        assert counts["cancelled"] > WAVES * 50 * 2 / 3
        at = len(deployment.steps())
        await asyncio.sleep(1)
        assert len(deployment.steps()) == at  # nothing runs on for nobody
        events = await chat.ask(next(urls), "Say hi.", params={"max_tokens": 4})
        assert events[1]["position"] == 1
        assert is_end(events[-1])


def _counts(deployment: Deployment) -> Counter[str]:
    """How many responses the record has of each status."""
    path = deployment.webs[0].env["DATABASE_URL"].removeprefix("sqlite:///")
    return Counter(row.status for row in rows_of(Path(path)).values())
