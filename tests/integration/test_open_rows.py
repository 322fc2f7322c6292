"""Nobody is told that an answer was cancelled while the record holds it open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels.db import database_sync_to_async

from streaming.lifecycle import ending
from streaming.models import Conversation, Response, Status
from streaming.record import deletion, endings, starts
from streaming.record.endings import Ending
from streaming.record.output import Output
from streaming.waiting_list.interface import State
from tests.integration.conftest import eventually
from tests.support.fake_engine import FakeEngine, words

pytestmark = pytest.mark.django_db(transaction=True)


@database_sync_to_async
def row(response_id: str) -> Response:
    return Response.objects.get(pk=response_id)


async def test_an_answer_that_another_attempt_has_taken_up_goes_on(
    start_worker: Any, client: Any
) -> None:
    """As if a second process had found the row in the record, and begun with it."""
    await start_worker(FakeEngine(step_seconds=0.02))
    chat = await client()
    queued = await chat.ask("stop 30")
    await chat.until("response.output_text.delta")
    await starts.start_all("another", [(queued["response_id"], 1)])
    done = await chat.end()
    kept = await row(queued["response_id"])
    assert (done["status"], done["text"]) == ("completed", "".join(words(30)))
    assert (kept.status, kept.text) == (done["status"], done["text"])
    assert not kept.worker.startswith("another")


async def test_the_end_that_another_attempt_has_written_is_told(
    start_worker: Any, client: Any
) -> None:
    engine = FakeEngine(step_seconds=0.02)
    await start_worker(engine)
    chat = await client()
    queued = await chat.ask("stop 30")
    await chat.until("response.output_text.delta")
    await starts.start_all("another", [(queued["response_id"], 1)])
    assert await endings.end(
        [queued["response_id"]], Ending(Status.INCOMPLETE, "error", Output("w0 "))
    )
    done = await chat.end()
    assert (done["status"], done["text"]) == ("incomplete", "w0 ")


async def test_an_answer_whose_row_is_gone_is_told_as_cancelled_with_what_was_said(
    start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine(step_seconds=0.02))
    chat = await client()
    queued = await chat.ask("stop 30")
    await chat.until("response.output_text.delta")
    gone = Conversation.objects.filter(pk=queued["conversation_id"])
    await database_sync_to_async(deletion.delete)(gone)
    done = await chat.end()
    told = "".join(event.get("delta", "") for event in chat.received)
    assert (done["status"], done["text"]) == ("cancelled", told)


async def test_what_is_open_is_not_withdrawn(layer: Any, start_worker: Any, client: Any) -> None:
    await start_worker(FakeEngine(max_running=1, step_seconds=0.02))
    chat = await client()
    running = await chat.ask("stop 50")
    waiting = await chat.ask("stop 2")
    for asked in (running, waiting):
        await ending.settle(layer, asked["response_id"])
    place = await layer.waiting_list.place(waiting["response_id"])
    assert place.state is State.WAITING
    for asked, count in ((running, 50), (waiting, 2)):
        done = await chat.end(response_id=asked["response_id"])
        assert (done["status"], done["text"]) == ("completed", "".join(words(count)))


async def test_a_claim_of_what_is_open_but_not_ours_is_given_back(
    layer: Any, start_worker: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason for which the record did not let it start."""
    start_all = starts.start_all
    refused: list[str] = []

    async def refuse_once(worker_id: str, claimed: Any, *most_chars: int) -> Any:
        if not refused:
            refused.extend(response_id for response_id, _ in claimed)
            return [None for _ in claimed]
        return await start_all(worker_id, claimed, *most_chars)

    monkeypatch.setattr(starts, "start_all", refuse_once)
    await start_worker(FakeEngine())
    chat = await client()
    queued = await chat.ask("stop 3")
    done = await chat.end()
    assert refused == [queued["response_id"]]
    assert (done["status"], done["text"]) == ("completed", "".join(words(3)))

    async def is_ended() -> bool:
        return (await row(queued["response_id"])).status == Status.COMPLETED

    await eventually(is_ended)
    await asyncio.sleep(0)
