"""An engine whose step does not return, in the whole chain."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from channels.db import database_sync_to_async

from streaming.deployment import probes
from streaming.engine.base import EngineStats, ThreadStats
from streaming.engine.local import LocalEngine
from streaming.engine.upstream import UpstreamEngine
from streaming.models import Response
from streaming.record import lookups
from streaming.system.watchdog import EngineHangs
from streaming.waiting_list.interface import MAX_ATTEMPTS, WorkerState
from streaming.worker.queue_worker import QueueWorker
from tests.integration.conftest import PATIENCE, eventually
from tests.support.endings import usage
from tests.support.fake_engine import FakeEngine, words
from tests.support.fake_upstream import Exchange, FakeUpstream
from tests.support.passing_time import outlast, stays

pytestmark = pytest.mark.django_db(transaction=True)

HANG = 2.0
"""Seconds: a step that has not returned for so long hangs, for twice as long it never will."""


async def said(chat: Any, text: str) -> None:
    """Read on until the answer's words so far are these."""
    heard = ""
    while heard != text:
        heard += (await chat.until("response.output_text.delta"))["delta"]


async def is_hung(layer: Any) -> list[Any]:
    workers = await layer.waiting_list.workers()
    return [worker for worker in workers if worker.state is WorkerState.HUNG]


async def is_ready(layer: Any) -> bool:
    workers = await layer.waiting_list.workers()
    return [worker.state for worker in workers] == [WorkerState.READY]


async def test_who_cancels_does_not_wait_for_the_step(
    layer: Any, client: Any, start_worker: Any
) -> None:
    """With the default settings: nobody has noticed yet that it hangs."""
    engine = FakeEngine()
    await start_worker(engine)
    chat = await client()
    queued = await chat.ask("hang 3")
    await said(chat, "".join(words(3)))
    await chat.send("response.cancel", response_id=queued["response_id"])
    async with asyncio.timeout(10):
        done = await chat.end()
    assert (done["status"], done["text"]) == ("cancelled", "".join(words(3)))
    assert done["usage"] == usage(1, 3)
    row = await lookups.get(done["response_id"])
    assert row is not None
    assert (row.status, row.text) == ("cancelled", done["text"])
    engine.return_()
    await chat.ask("stop 2")
    assert (await chat.end())["text"] == "".join(words(2))


async def test_the_time_limit_does_not_wait_for_the_step(
    layer: Any, client: Any, start_worker: Any, chatstream: Any
) -> None:
    chatstream(generation_timeout=1)
    engine = FakeEngine()
    await start_worker(engine)
    chat = await client()
    await chat.ask("hang 3")
    async with asyncio.timeout(10):
        done = await chat.end()
    assert (done["status"], done["error"]["code"]) == ("failed", "generation_timeout")
    assert done["text"] == "".join(words(3))
    engine.return_()


async def test_who_waited_through_restarts_is_not_given_up_at_the_first_hang(
    layer: Any, client: Any, start_worker: Any, chatstream: Any
) -> None:
    """A server that ends over one prompt takes with it what waits, which is not to blame."""
    chatstream(hang_seconds=HANG)
    engine = FakeEngine()
    worker = await start_worker(engine)
    chat = await client()
    queued = await chat.ask("hang 3")
    await said(chat, "".join(words(3)))
    await database_sync_to_async(Response.objects.update)(restarts=MAX_ATTEMPTS)
    # As it is read when an attempt begins:
    running: Any = worker._running_set.get(queued["response_id"])
    running.row.restarts = MAX_ATTEMPTS

    async def is_counted() -> bool:
        row = await lookups.get(queued["response_id"])
        return row is not None and row.hangs == 1

    await eventually(is_counted)
    engine.return_()
    assert (await chat.end())["status"] == "incomplete"


async def test_a_step_that_returns_late_is_served_on_and_says_nothing_twice(
    layer: Any, client: Any, start_worker: Any, chatstream: Any, caplog: Any
) -> None:
    chatstream(hang_seconds=HANG)
    engine = FakeEngine(max_running=3)
    await start_worker(engine)
    chat = await client()
    hangs = await chat.ask("hang 3")
    beside, cancelled = await chat.ask("stop 500"), await chat.ask("stop 500")
    workers = await eventually(lambda: is_hung(layer))
    assert probes._workers_word(workers).startswith("hangs")
    waits = await chat.ask("stop 2")  # accepted
    await chat.send("response.cancel", response_id=cancelled["response_id"])
    done = await chat.end()
    assert (done["response_id"], done["status"]) == (cancelled["response_id"], "cancelled")
    snapshot = await layer.waiting_list.snapshot()
    assert not snapshot.running  # the leases are given back, and all keep their places
    assert {row.response_id for row in snapshot.waiting} == {
        each["response_id"] for each in (hangs, beside, waits)
    }
    engine.return_()
    ends = {}
    while len(ends) < 3:
        done = await chat.end()
        ends[done["response_id"]] = done
    assert ends[waits["response_id"]]["text"] == "".join(words(2))
    assert ends[beside["response_id"]]["text"] == "".join(words(500))
    long = ends[hangs["response_id"]]["text"]
    assert "".join(words(5000)).startswith(long)
    for response_id, end in ends.items():
        deltas = [event for event in chat.received
                  if event["type"] == "response.output_text.delta"
                  and event["response_id"] == response_id]  # fmt: skip
        assert "".join(event["delta"] for event in deltas) == end["text"]
    assert not await is_hung(layer)
    errors = [line for line in caplog.records if line.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert ", in _hang_if_asked" in caplog.text  # where the thread stands


async def test_a_step_that_never_returns_ends_the_worker(
    layer: Any, client: Any, chatstream: Any
) -> None:
    chatstream(hang_seconds=HANG)
    engine = FakeEngine()
    worker = QueueWorker(engine, layer, 2)
    running = asyncio.create_task(worker.run())
    chat = await client()
    queued = await chat.ask("hang 3")
    await said(chat, "".join(words(3)))
    with pytest.raises(EngineHangs, match="has not returned for 4 s"):
        await asyncio.wait_for(running, PATIENCE)
    assert not await layer.waiting_list.workers()
    place = await layer.waiting_list.place(queued["response_id"])
    assert place.state == "waiting"
    await chat.send("response.cancel", response_id=queued["response_id"])
    assert (await chat.end())["status"] == "cancelled"
    engine.return_()


class HangingPrompts(FakeEngine):
    """One that steps on while a thread beside it is stuck with a prompt."""

    stuck = False

    def stats(self) -> EngineStats:
        stuck = ThreadStats(threading.get_ident(), self.stuck, progress=7)
        busy = ThreadStats(threading.get_ident() + 1, True, progress=time.monotonic_ns())
        return replace(super().stats(), preparing=(busy, stuck))


async def test_a_prompt_that_is_never_made_ends_the_worker(
    layer: Any, client: Any, chatstream: Any, caplog: Any
) -> None:
    """Steps go on beside it, but the next prompts of its kind would wait for ever."""
    chatstream(hang_seconds=HANG)
    engine = HangingPrompts()
    worker = QueueWorker(engine, layer, 2)
    running = asyncio.create_task(worker.run())
    chat = await client()
    await chat.ask("stop 500")
    await chat.until("response.output_text.delta")
    engine.stuck = True
    await eventually(lambda: is_hung(layer))
    engine.stuck = False
    assert await eventually(lambda: is_ready(layer))
    engine.stuck = True
    with pytest.raises(EngineHangs, match="making of a prompt of the engine has not returned"):
        await asyncio.wait_for(running, PATIENCE)
    assert "the making of a prompt of the engine" in caplog.text
    assert not await layer.waiting_list.workers()


async def test_a_prompt_that_hangs_every_engine_is_given_up(
    layer: Any, client: Any, chatstream: Any
) -> None:
    """Also where each of them takes the list with it, as the embedded one does."""
    chatstream(hang_seconds=1)
    engine = FakeEngine()
    worker = QueueWorker(engine, layer, 2)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(worker.ready.wait(), PATIENCE)
    chat = await client()
    await chat.ask("poison 3")
    await said(chat, "".join(words(3)))

    await database_sync_to_async(Response.objects.update)(hangs=MAX_ATTEMPTS - 1)
    done = await chat.end()
    assert (done["status"], done["error"]["code"]) == ("failed", "worker_lost")
    assert done["text"] == "".join(words(3))
    with pytest.raises(EngineHangs):
        await asyncio.wait_for(running, PATIENCE)
    engine.return_()


async def test_slow_steps_do_not_hang(
    layer: Any, client: Any, start_worker: Any, chatstream: Any
) -> None:
    """As long as it gets on within them, however slowly."""
    chatstream(hang_seconds=1)

    class Slow(FakeEngine):
        def _hang(self) -> None:
            for _ in range(20):
                self._turns += 1
                self._returned.wait(0.15)
            self.return_()

    await start_worker(Slow())
    chat = await client()
    await chat.ask("hang 2", params={"max_tokens": 4})
    assert (await chat.end())["text"] == "".join(words(4))
    row = await lookups.get(chat.received[-1]["response_id"])
    assert row is not None
    assert row.attempt == 1


async def test_a_hung_start_does_not_keep_a_worker(layer: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("streaming.worker.engine_lifespan._CLOSE_SECONDS", 0.5)
    never = threading.Event()

    class Hung(FakeEngine):
        def start(self, sink: Any) -> None:
            never.wait()

    worker = QueueWorker(Hung(), layer, 2)
    running = asyncio.create_task(worker.run())
    await outlast(0.3, "the beginning of the start")
    await worker.stop()
    with pytest.raises(EngineHangs, match="still being started"):
        await asyncio.wait_for(running, PATIENCE)
    never.set()


async def test_a_hung_close_does_not_keep_a_worker(layer: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("streaming.worker.engine_lifespan._CLOSE_SECONDS", 0.5)
    never = threading.Event()

    class Hung(FakeEngine):
        def close(self, timeout: float = 10.0) -> None:
            super().close(timeout)
            never.wait()

    worker = QueueWorker(Hung(), layer, 2)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(worker.ready.wait(), PATIENCE)
    await worker.stop()
    with pytest.raises(EngineHangs, match="did not end"):
        await asyncio.wait_for(running, PATIENCE)
    assert not await layer.waiting_list.workers()
    never.set()


async def test_a_start_that_takes_long_is_said(
    layer: Any, start_worker: Any, chatstream: Any, caplog: Any
) -> None:
    chatstream(hang_seconds=0.1)

    class Slow(FakeEngine):
        def start(self, sink: Any) -> None:
            super().start(sink)
            threading.Event().wait(1.2)

    worker = await start_worker(Slow())
    assert worker.state is WorkerState.READY
    assert "has been starting for" in caplog.text


@pytest.fixture
def real() -> LocalEngine:
    """The real engine with the default model."""
    folder = os.environ.get("CHATSTREAM_CACHE_DIR")
    cache_dir = Path(folder) if folder else None
    return LocalEngine(
        max_running=2, dtype="float32", context_tokens=512, cache_dir=cache_dir, progress=False
    )


async def test_a_hung_step_of_the_real_engine(
    real: LocalEngine, layer: Any, client: Any, chatstream: Any, monkeypatch: Any, caplog: Any
) -> None:
    """Its model does not return, then does, then never again."""
    chatstream(hang_seconds=5)
    worker = QueueWorker(real, layer, 2)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(worker.ready.wait(), PATIENCE)
    chat = await client()
    prompt: dict[str, Any] = {"params": {"temperature": 0, "max_tokens": 40, "ignore_eos": True}}
    await chat.ask("Count to twenty.", **prompt)
    expected = (await chat.end())["text"]
    assert real.stats().at_work is False  # it waits for work, and that is no hang

    runner = real._stepper._runner
    step, may_return, steps = runner.step, threading.Event(), iter(range(1000))

    def hangs(*told: Any) -> Any:
        if next(steps) == 10:
            may_return.wait()
        return step(*told)

    monkeypatch.setattr(runner, "step", hangs)
    first, second = [await chat.ask("Count to twenty.", **prompt) for _ in range(2)]
    await eventually(lambda: is_hung(layer))
    assert ", in hangs" in caplog.text
    await chat.send("response.cancel", response_id=second["response_id"])
    assert (await chat.end())["status"] == "cancelled"
    may_return.set()
    done = await chat.end()
    assert (done["response_id"], done["text"]) == (first["response_id"], expected)
    heard = "".join(
        event["delta"]
        for event in chat.received
        if event["type"] == "response.output_text.delta"
        and event["response_id"] == first["response_id"]
    )
    assert heard == expected

    never = threading.Event()
    monkeypatch.setattr(runner, "step", lambda *_: never.wait())
    await chat.ask("Count to twenty.", **prompt)
    with pytest.raises(EngineHangs, match="has not returned for 10 s"):
        await asyncio.wait_for(running, PATIENCE)
    never.set()


@pytest.mark.parametrize("how", ["cancelled", "generation_timeout"])
async def test_an_upstream_that_falls_silent(
    how: str, layer: Any, client: Any, start_worker: Any, chatstream: Any
) -> None:
    """The connection stands and nothing comes: the reader is told, and the server, too."""
    chatstream(generation_timeout=2 if how == "generation_timeout" else 600)
    upstream = FakeUpstream().start()

    async def silent(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say("Once", " upon")
        await exchange.go_on.wait()

    try:
        upstream.acts.append(silent)
        engine = UpstreamEngine(upstream.url, probe_seconds=2)
        engine.max_running = 2  # type: ignore[attr-defined]
        await start_worker(engine)
        chat = await client()
        queued = await chat.ask("Tell")
        await said(chat, "Once upon")
        if how == "cancelled":
            await chat.send("response.cancel", response_id=queued["response_id"])
        async with asyncio.timeout(15):
            done = await chat.end()
        code = done["error"] and done["error"]["code"]
        assert (done["status"], code) in (("cancelled", None), ("failed", how))
        assert done["text"] == "Once upon"
        assert await asyncio.to_thread(upstream.exchange(0).left.wait, PATIENCE)
    finally:
        upstream.stop()


async def test_a_hung_loop_of_the_upstream_engine(
    layer: Any, start_worker: Any, chatstream: Any
) -> None:
    chatstream(hang_seconds=5)
    upstream = FakeUpstream().start()
    may_return = threading.Event()
    try:
        engine = UpstreamEngine(upstream.url, probe_seconds=2)
        engine.max_running = 2  # type: ignore[attr-defined]
        worker = await start_worker(engine)
        # Nothing to do is no hang.
        await stays(lambda: worker.state is WorkerState.READY, 6)
        engine._loop.call_soon_threadsafe(may_return.wait)
        await eventually(lambda: is_hung(layer))
        may_return.set()

        async def serves() -> bool:
            return bool(worker.state is WorkerState.READY)

        await eventually(serves)
    finally:
        may_return.set()
        upstream.stop()
