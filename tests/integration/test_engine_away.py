"""An engine that cannot answer for a while, and one that has to begin an answer anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from streaming.deployment import probes
from streaming.engine.base import Started
from streaming.engine.upstream import UpstreamEngine
from streaming.lifecycle.published import Published
from streaming.record import lookups
from streaming.waiting_list.interface import WorkerState
from tests.integration.conftest import eventually
from tests.support.endings import usage
from tests.support.fake_engine import FakeEngine, _Row, words
from tests.support.fake_upstream import Exchange, FakeUpstream
from tests.unit.client.told import TEXT, answer

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class AwayEngine(FakeEngine):
    away: str = ""

    @property
    def unavailable_reason(self) -> str:
        return self.away


@dataclass
class ForgetfulEngine(FakeEngine):
    """Begins anew after three words, once."""

    def _step(self, row: _Row):  # type: ignore[no-untyped-def]
        yield from super()._step(row)
        if row.done == 3 and row.request.response_id not in self.forgotten:
            self.forgotten.add(row.request.response_id)
            row.done = 0
            yield Started(row.request.response_id, prompt_tokens=1, anew=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.forgotten: set[str] = set()


async def state_is(layer: Any, state: WorkerState) -> Any:
    async def look() -> Any:
        workers = await layer.waiting_list.workers()
        return [worker for worker in workers if worker.state is state]

    return await eventually(look)


async def test_prompts_wait_while_it_is_away(layer: Any, client: Any, start_worker: Any) -> None:
    engine = AwayEngine()
    await start_worker(engine)
    await state_is(layer, WorkerState.READY)
    engine.away = "gone"
    found = await state_is(layer, WorkerState.LOADING)
    assert probes._workers_word(found) == "loading its model"
    chat = await client()
    queued = await chat.ask("stop 2")
    assert queued["position"] == 1
    assert not engine.rows
    engine.away = ""
    done = await chat.end()
    assert done["text"] == "".join(words(2))
    await state_is(layer, WorkerState.READY)


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.1])
async def test_what_begins_anew_voids_what_was_said(
    layer: Any, client: Any, start_worker: Any, seconds: float
) -> None:
    """Whether or not the first words were published by then."""
    await start_worker(ForgetfulEngine(step_seconds=seconds))
    chat = await client()
    await chat.ask("stop 5")
    done = await chat.end()
    events = [event for event in chat.received if "response_id" in event]
    text = ""
    for event in events:
        if event["type"] == "response.in_progress":
            text = ""
        elif event["type"] == "response.output_text.delta":
            assert event["chatstream"]["offset"] == len(text)
            text += event["delta"]
    assert text == done["text"] == "".join(words(5))
    row = await lookups.get(done["response_id"])
    assert row is not None
    assert row.text == text


def test_the_published_text_is_that_of_the_last_beginning() -> None:
    old, new = answer([(TEXT, "old")], UUID(int=1)), answer([(TEXT, "new")] * 2, UUID(int=1))
    begun, *said, _, _, _, _ = [event.model_dump_json() for event in (*old[:-3], *new)]
    read = Published.of([begun, *said])
    assert (read.output.text, read.open_items) == ("newnew", (0,))


async def test_a_server_behind_the_worker(layer: Any, client: Any, start_worker: Any) -> None:
    """Continue an answer that was cut; the server gets what was said."""
    upstream = FakeUpstream().start()

    async def cut(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say("Once", " upon")
        await exchange.end("length", prompt=5, completion=2)

    try:
        upstream.acts.append(cut)
        engine = UpstreamEngine(upstream.url, probe_seconds=2)
        engine.max_running = 2  # type: ignore[attr-defined]
        await start_worker(engine)
        chat = await client()
        await chat.ask("Tell")
        first = await chat.end()
        assert (first["status"], first["text"]) == ("incomplete", "Once upon")
        assert first["usage"] == usage(5, 2)
        await chat.send("response.create", continues=first["response_id"])
        second = await chat.end()
        assert second["text"] == "Hello there."
        assert upstream.bodies[1]["messages"] == [
            {"role": "user", "content": "Tell"},
            {"role": "assistant", "content": "Once upon"},
        ]
    finally:
        upstream.stop()
