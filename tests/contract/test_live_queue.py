"""What operators see of either waiting list."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streaming.live_queue.overview import LiveQueue
from streaming.waiting_list.forecast import forecast
from tests.contract.backends import DELTA, DONE, Backend

IN_PROGRESS = '{"type":"response.in_progress","prompt_tokens":17}'


async def test_an_empty_queue(backend: Backend) -> None:
    assert await LiveQueue(backend.list).look() == {
        "workers": [],
        "running": [],
        "waiting": [],
        "paused": False,
        "closed": None,
    }


async def test_everything_at_once(backend: Backend) -> None:
    await backend.beat("w1", 1, model="small", rows=4)
    await backend.list.order("w1", drain=True)
    await backend.list.order("w1", drain=False, capacity=1)
    await backend.ask("first", conversation="talk")
    finished = await backend.claim()
    await backend.list.append(finished.lease, DELTA, [1] * 20)
    await backend.pass_time(2)
    await backend.list.finish(finished.lease, DONE)
    for name in ("r0", "r1", "r2"):
        await backend.ask(name, conversation="talk" if name != "r1" else "other")
    claim = await backend.claim()
    await backend.list.append(claim.lease, IN_PROGRESS, [1, 2, 3])
    await backend.list.pause()
    await backend.list.close("Back at nine.")

    look = await LiveQueue(backend.list).look()
    assert json.loads(json.dumps(look)) == look
    [worker] = look["workers"]
    assert (worker["worker_id"], worker["state"], worker["running"]) == ("w1", "ready", 1)
    assert worker["details"] == {"model": "small", "rows": 4}
    assert worker["orders"] == {"capacity": 1, "drain": False}
    [running] = look["running"]
    assert (running["response_id"], running["prompt_tokens"], running["tokens"]) == ("r0", 17, 3)
    assert [row["response_id"] for row in look["waiting"]] == ["r1", "r2"]
    assert [row["position"] for row in look["waiting"]] == [1, None]
    assert [row["state"] for row in look["waiting"]] == ["waiting", "held"]
    assert (look["paused"], look["closed"]) == (True, "Back at nine.")
    assert [row["eta"] for row in look["waiting"]] == [None, None]  # nobody claims

    await backend.list.unpause()
    look = await LiveQueue(backend.list).look()
    told = forecast(await backend.list.load())["r1"]
    assert [row["eta"] for row in look["waiting"]] == [pytest.approx(told, abs=0.5), None]


async def test_the_length_of_a_prompt_is_read_once(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.beat("w1", 2)
    await backend.ask("r0")
    claim = await backend.claim()
    read, reads = backend.list.read, []

    async def counted(response_id: str, **bounds: int) -> list[str]:
        reads.append(response_id)
        return await read(response_id, **bounds)

    monkeypatch.setattr(backend.list, "read", counted)

    async def lengths() -> list[Any]:
        look = await LiveQueue(backend.list).look()  # each page and socket makes one of its own
        return [row["prompt_tokens"] for row in look["running"]]

    assert await lengths() == [None]  # the worker has not told yet
    await backend.list.append(claim.lease, IN_PROGRESS)
    assert await lengths() == [17]
    await backend.list.append(claim.lease, DELTA, [1])
    assert await lengths() == [17]
    assert reads == ["r0", "r0"]
    await backend.list.finish(claim.lease, DONE)
    assert await lengths() == []
    assert LiveQueue._known_prompts[backend.list] == {}
