"""When a viewer sends what: places near and far, and replays at the reader's pace."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from streaming.delivery import queue_position
from streaming.delivery import viewer as viewer_module
from streaming.delivery.queue_position import QueuePosition
from streaming.delivery.viewer import Viewer
from streaming.delivery.viewers import Viewers
from streaming.waiting_list.forecast import Estimate
from streaming.waiting_list.interface import State, Watch, Watched
from tests.support.endings import ending
from tests.support.passing_time import outlast
from tests.unit.client.told import TEXT, answer


class Log:
    """A waiting list that only knows the events of one response."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def say(self, *, last: bool = False) -> dict[str, Any]:
        """Append an event; the group's message of it."""
        number = len(self.events) + 1
        type_ = "response.completed" if last else "response.output_text.delta"
        self.events.append(json.dumps({"sequence_number": number, "type": type_}))
        return {"sequence_number": number, "event": self.events[-1], "last": last}

    async def read(self, response_id: str, after: int = 0) -> list[str]:
        return self.events[after:]


def viewer_of(log: Log, sent: list[str], replay: Any = None) -> Viewer:
    async def send(text: str) -> None:
        sent.append(text)

    layer: Any = SimpleNamespace(waiting_list=log)
    return Viewer(layer, str(uuid4()), send, lambda: None, replay)


async def test_a_place_far_off_is_told_less_often(monkeypatch: Any) -> None:
    now = 0.0
    monkeypatch.setattr(queue_position, "time", SimpleNamespace(monotonic=lambda: now))
    for position, seconds in ((1, 0.005), (100, 0.5), (400, 2.0), (5000, 5.0)):
        sent: list[str] = []
        viewer = viewer_of(Log(), sent)
        await viewer.open(QueuePosition(position + 1, 9000, 1))
        viewer.mark()
        for elapsed in (seconds * 0.7, seconds * 0.6):
            assert not sent
            now += elapsed
            await viewer.observe(
                Watched(State.WAITING, position, 0), QueuePosition(position, 9000, 1, None)
            )
        assert [json.loads(text)["position"] for text in sent] == [position]


async def test_events_that_come_during_a_replay_wait_for_their_turn() -> None:
    log, sent, go_on = Log(), [], asyncio.Event()

    async def replay(text: str) -> None:
        sent.append(text)
        await go_on.wait()

    viewer = viewer_of(log, sent, replay)
    log.say()
    log.say()
    opening = asyncio.create_task(viewer.open(None))
    await asyncio.sleep(0)
    await viewer.feed(log.say())  # returns, though the reader does not read
    await viewer.feed(log.say(last=True))
    assert len(sent) == 1
    go_on.set()
    await opening
    assert sent == log.events


async def test_a_look_does_not_wait_for_a_reader() -> None:
    log, sent, go_on = Log(), [], asyncio.Event()

    async def replay(text: str) -> None:
        await go_on.wait()
        sent.append(text)

    viewer = viewer_of(log, sent, replay)
    await viewer.open(None)
    log.say(last=True)
    viewer.mark()
    async with asyncio.timeout(1):
        await viewer.observe(Watched(State.DONE, None, 1), QueuePosition(None, 0, 1))
    go_on.set()
    await outlast(0.01, "what the event loop has begun")
    assert sent == log.events


async def test_a_reader_who_has_left_takes_no_news_from_others() -> None:
    """Servers other than ours raise where somebody is told who is not there any more."""
    sent: list[str] = []

    async def send(text: str) -> None:
        raise ConnectionResetError

    async def watch(names: list[str]) -> Watch:
        return Watch(9, 1, {name: Watched(State.WAITING, 1, 0) for name in names})

    async def service() -> str:
        return "ready"

    async def eta(response_id: str) -> Estimate:
        return Estimate(1.0)

    layer: Any = SimpleNamespace(waiting_list=SimpleNamespace(watch=watch))
    looking = Viewers(layer)
    looking.queue_status = SimpleNamespace(service=service, eta=eta)  # type: ignore[assignment]
    for _ in range(9):
        for viewer in (Viewer(layer, str(uuid4()), send, lambda: None), viewer_of(Log(), sent)):
            viewer._open = True
            looking._viewers.add(viewer)
    await looking._poll()
    assert len(sent) == 9


async def test_what_the_log_lost_of_what_was_told(monkeypatch: Any) -> None:
    """Behind a failover: what comes would not fit, so the response begins anew, or has ended."""
    begun: list[int] = []

    async def begin_anew(waiting_list: Any, response_id: str, seen: int) -> bool:
        begun.append(seen)
        return False

    async def done_event(response_id: str) -> Any:
        return answer([(TEXT, "all")], UUID(response_id))[-1]

    monkeypatch.setattr(viewer_module.recovery, "begin_anew", begin_anew)
    monkeypatch.setattr(viewer_module.ending, "ended_event", done_event)
    log, sent = Log(), []
    viewer = viewer_of(log, sent)
    await viewer.open(None)
    for _ in range(5):
        await viewer.feed(log.say())
    # What was sent during the look is not lost: the look is older.
    await viewer.observe(Watched(State.RUNNING, None, 3), QueuePosition(None, 1, 1))
    await outlast(0.01, "what the event loop has begun")
    assert begun == []
    viewer.mark()
    await viewer.observe(Watched(State.RUNNING, None, 3), QueuePosition(None, 1, 1))
    await outlast(0.01, "what the event loop has begun")
    assert begun == [5]
    viewer.mark()
    await viewer.observe(Watched(State.DONE, None, 4), QueuePosition(None, 0, 1))
    await outlast(0.01, "what the event loop has begun")
    done = json.loads(sent[-1])
    assert (done["sequence_number"], done["type"]) == (6, "response.completed")
    assert ending(done)["text"] == "all"
