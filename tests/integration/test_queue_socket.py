"""The operators' socket: who may watch, what is told, and what happens without the layer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db import DatabaseError

from streaming.live_queue import watch as queue_watch
from streaming.live_queue.watch import QueueWatch
from streaming.models import Conversation, Message, Response
from streaming.sockets.close_codes import FORBIDDEN, UNAVAILABLE
from streaming.sockets.queue_consumer import QueueConsumer
from streaming.waiting_list import samples
from streaming.waiting_list.interface import AdmissionLimits, Entry, WorkerBeat, WorkerState
from streaming.waiting_list.samples import Sample

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]

PATIENCE = 20.0
PARTS = {"workers", "running", "waiting", "paused", "closed"}


@pytest.fixture(autouse=True)
def quick(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast, and nothing is told again only because of the time."""
    monkeypatch.setattr(QueueConsumer, "interval", 0.01)
    monkeypatch.setattr(QueueConsumer, "recheck_seconds", 0.02)
    monkeypatch.setattr(QueueWatch, "interval", 0.01)
    monkeypatch.setattr(QueueWatch, "whole_seconds", 3600.0)
    monkeypatch.setattr(queue_watch, "_SAMPLES_POLL_SECONDS", 0.0)


@pytest.fixture
async def no_samples_taken(layer: Any) -> None:
    """Somebody else is elected, and takes none."""
    await layer.waiting_list.elect("sample", "somebody", 3600)


@database_sync_to_async
def _viewer(staff: bool = True, permitted: bool = True) -> User:
    user = User.objects.create_user("operator", is_staff=staff)
    if permitted:
        user.user_permissions.add(Permission.objects.get(codename="view_queue"))
    return user


class Watching:
    """A socket of an operator."""

    def __init__(self, user: Any, words: str = "") -> None:
        path = f"/ws/queue/?words={words}" if words else "/ws/queue/"
        self._socket = WebsocketCommunicator(QueueConsumer.as_asgi(), path)
        self._socket.scope["user"] = user

    async def connect(self) -> None:
        accepted, _ = await self._socket.connect(timeout=PATIENCE)
        assert accepted

    async def next(self, type_: str | None = None) -> dict[str, Any]:
        """The next frame, or the next one of a type."""
        while True:
            frame: dict[str, Any] = await self._socket.receive_json_from(timeout=PATIENCE)
            if type_ is None or frame["type"] == type_:
                return frame

    async def snapshot(self) -> dict[str, Any]:
        frame = await self.next("queue.snapshot")
        del frame["type"]
        return frame

    async def send(self, text: str) -> None:
        await self._socket.send_to(text)

    async def refused(self) -> tuple[str, int]:
        """Reads on to the refusal and the close behind it."""
        error = await self.next("error")
        close = await self._socket.receive_output(timeout=PATIENCE)
        assert close["type"] == "websocket.close"
        return error["code"], close["code"]

    async def leave(self) -> None:
        await self._socket.disconnect(timeout=PATIENCE)


Watch = Callable[..., Any]


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    """Opens sockets; all are left at the end."""
    opened: list[Watching] = []

    async def open_(user: Any, **options: str) -> Watching:
        socket = Watching(user, **options)
        opened.append(socket)
        await socket.connect()
        return socket

    yield open_
    for socket in opened:
        await socket.leave()


class Looks:
    """Counts looks at the queue; `fail` makes them fail, `gate` lets so many through."""

    def __init__(self, waiting_list: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = self.answered = 0
        self.fail = False
        self.gate: asyncio.Semaphore | None = None
        self._news = asyncio.Condition()
        self._snapshot = waiting_list.snapshot
        monkeypatch.setattr(waiting_list, "snapshot", self._look)

    async def _look(self) -> Any:
        async with self._news:
            self.asked += 1
            self._news.notify_all()
        if self.gate:
            await self.gate.acquire()
        if self.fail:
            raise ConnectionError("away")
        self.answered += 1
        return await self._snapshot()

    async def more(self, count: int) -> None:
        """So many more looks are begun, so that all but the last are over."""
        goal = self.asked + count
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self.asked >= goal)


@pytest.fixture
async def looks(layer: Any, monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(layer.waiting_list, monkeypatch)


async def ask(layer: Any, name: str) -> None:
    await layer.waiting_list.enqueue(
        Entry(name, f"user:{name}", name, "", 64), AdmissionLimits(100)
    )


async def beat(layer: Any) -> None:
    await layer.waiting_list.heartbeat(WorkerBeat("w1", 1, WorkerState.READY, 600.0))


# Who may


async def test_a_stranger_is_refused(watch: Watch) -> None:
    socket = await watch(AnonymousUser())
    assert await socket.refused() == ("forbidden", FORBIDDEN)


@pytest.mark.parametrize(("staff", "permitted"), [(False, True), (True, False)])
async def test_both_staff_and_the_permission_are_needed(
    watch: Watch, staff: bool, permitted: bool
) -> None:
    socket = await watch(await _viewer(staff, permitted))
    assert await socket.refused() == ("forbidden", FORBIDDEN)


@pytest.mark.parametrize("right", ["is_staff", "is_active"])
async def test_a_right_taken_away_ends_the_view(watch: Watch, right: str) -> None:
    user = await _viewer()
    socket = await watch(user)
    await socket.snapshot()
    await User.objects.filter(pk=user.pk).aupdate(**{right: False})
    assert await socket.refused() == ("forbidden", FORBIDDEN)


async def test_the_permission_taken_away_ends_the_view(watch: Watch) -> None:
    user = await _viewer()
    socket = await watch(user)
    await socket.snapshot()
    await user.user_permissions.aclear()
    assert await socket.refused() == ("forbidden", FORBIDDEN)


async def test_nobody_watches_while_rights_cannot_be_read(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = await watch(await _viewer())
    await socket.snapshot()

    async def fail(consumer: QueueConsumer) -> bool:
        raise DatabaseError("away")

    monkeypatch.setattr(QueueConsumer, "may_view", fail)
    assert await socket.refused() == ("unavailable", UNAVAILABLE)


async def test_what_a_client_sends_is_not_read(watch: Watch, layer: Any) -> None:
    socket = await watch(await _viewer())
    await socket.snapshot()
    await socket.send("{no JSON")
    await layer.waiting_list.pause()
    assert await socket.snapshot() == {"paused": True}


# Frames


async def test_only_what_has_changed_is_told(watch: Watch, layer: Any, looks: Looks) -> None:
    await beat(layer)
    await ask(layer, "r0")
    socket = await watch(await _viewer())
    first = await socket.snapshot()
    assert set(first) == PARTS
    assert [row["response_id"] for row in first["waiting"]] == ["r0"]
    await looks.more(5)  # in which ages and waits have grown
    await layer.waiting_list.close("Back at nine.")
    assert await socket.snapshot() == {"closed": "Back at nine."}
    await looks.more(5)
    claim = await layer.waiting_list.claim("w1", 600.0)
    frame = await socket.snapshot()
    assert set(frame) == {"workers", "running", "waiting"}
    assert (frame["workers"][0]["running"], frame["waiting"]) == (1, [])
    assert frame["running"][0]["prompt_tokens"] is None
    await looks.more(5)
    begun = '{"type":"response.in_progress","prompt_tokens":9}'
    await layer.waiting_list.append(claim.lease, begun)
    frame = await socket.snapshot()
    assert set(frame) == {"running"}
    assert frame["running"][0]["prompt_tokens"] == 9


async def test_all_is_told_again_now_and_then(
    watch: Watch, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = await watch(await _viewer())
    assert set(await socket.snapshot()) == PARTS
    await looks.more(3)
    monkeypatch.setattr(QueueWatch, "whole_seconds", 0.05)
    for _ in range(3):
        assert set(await socket.snapshot()) == PARTS


async def test_a_slow_reader_gets_the_newest_and_nothing_between(layer: Any, looks: Looks) -> None:
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    to_read: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    has_read = asyncio.Semaphore(0)

    async def send(message: dict[str, Any]) -> None:
        """As our server: a message with backpressure returns when the reader has room again."""
        sent.put_nowait(message)
        if message.get("backpressure"):
            await has_read.acquire()

    async def frame() -> dict[str, Any]:
        message = await asyncio.wait_for(sent.get(), PATIENCE)
        return dict(json.loads(message["text"]))

    scope = {"type": "websocket", "path": "/ws/queue/", "user": await _viewer()}
    to_read.put_nowait({"type": "websocket.connect"})
    socket = asyncio.create_task(QueueConsumer.as_asgi()(scope, to_read.get, send))
    try:
        assert (await asyncio.wait_for(sent.get(), PATIENCE))["type"] == "websocket.accept"
        assert (await frame())["type"] == "queue.snapshot"
        await beat(layer)
        for n in range(20):
            await ask(layer, f"r{n}")
            await looks.more(2)
        assert sent.empty()
        has_read.release()
        assert (await frame())["type"] == "queue.samples"
        has_read.release()
        newest = await frame()
        assert set(newest) == {"type", "workers", "waiting"}
        assert len(newest["waiting"]) == 20
    finally:
        to_read.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait([socket])


# In words, for the page


async def page_change(socket: Watching, table: str, part: str) -> Any:
    """The next frame that says something of a part of a table's only row."""
    while True:
        frame = await socket.next("queue.page")
        for row in frame["tables"].get(table, {}).get("rows", {}).values():
            if part in row["parts"]:
                return row["parts"][part]


async def test_a_page_is_told_in_its_words_and_then_what_differs(watch: Watch, layer: Any) -> None:
    await beat(layer)
    await ask(layer, "r0")
    user = await _viewer()
    english, japanese = await watch(user, words="en"), await watch(user, words="ja")
    stranger = await watch(user, words="xx")  # a language that there is not
    first = await english.next()
    assert (first["type"], first["whole"]) == ("queue.page", True)
    assert set(first["tables"]["waiting"]["rows"]) == {"r0"}
    assert first["page"]["count_waiting"] == {"text": "1"}
    worker = first["tables"]["workers"]["rows"]["w1"]["parts"]
    assert worker["state"] == {"text": "ready", "data-state": "ready"}
    other = (await japanese.next())["tables"]["workers"]["rows"]["w1"]["parts"]
    assert other["state"]["text"] != "ready"
    assert (await stranger.next())["tables"]["workers"]["rows"]["w1"]["parts"] == worker
    await layer.waiting_list.close("Back at nine.")
    frame = await english.next("queue.page")
    assert frame["whole"] is False
    assert frame["tables"] == {}
    assert frame["page"]["closed_message"] == {"text": "Back at nine."}


async def test_where_a_waiting_prompt_came_from_is_told_when_it_has_been_read(
    watch: Watch, layer: Any
) -> None:
    talk = await Conversation.objects.acreate(owner="user:r", source="api")
    prompt = await Message.objects.acreate(conversation=talk, role="user", content="x" * 12_345)
    row = await Response.objects.acreate(conversation=talk, prompt=prompt, owner="user:r")
    await beat(layer)
    await ask(layer, str(row.pk))
    socket = await watch(await _viewer(), words="en")
    first = (await socket.next("queue.page"))["tables"]["waiting"]["rows"][str(row.pk)]["parts"]
    if "source" not in first:  # no frame waits for the record
        assert await page_change(socket, "waiting", "source") == {"text": "API"}
    else:
        assert (first["source"]["text"], first["size"]["text"]) == ("API", "12.3k")


async def test_a_page_is_told_that_there_are_new_samples(watch: Watch, layer: Any) -> None:
    await layer.waiting_list.elect("sample", "somebody", 3600)
    socket = await watch(await _viewer(), words="en")
    await socket.next("queue.page")
    await keep(layer, 100.0)
    assert await socket.next("queue.sampled") == {"type": "queue.sampled"}


# One look for all


async def test_all_sockets_share_one_look(watch: Watch, layer: Any, looks: Looks) -> None:
    looks.gate = asyncio.Semaphore(0)
    user = await _viewer()
    sockets = [await watch(user) for _ in range(5)]
    async with asyncio.timeout(PATIENCE):
        while len(QueueWatch.here(layer)) < 5:
            await asyncio.sleep(0.005)
    assert looks.asked <= 1
    looks.gate.release()
    frames = [await socket.snapshot() for socket in sockets]
    assert frames == [frames[0]] * 5
    assert looks.answered == 1
    await layer.waiting_list.pause()
    looks.gate.release()
    assert [await socket.snapshot() for socket in sockets] == [{"paused": True}] * 5
    assert looks.answered == 2


async def test_the_watch_ends_with_the_last_socket(watch: Watch, layer: Any, looks: Looks) -> None:
    user = await _viewer()
    one, other = await watch(user), await watch(user)
    for socket in (one, other):
        await socket.snapshot()
    queue = QueueWatch.here(layer)
    task = queue._task
    assert task
    assert len(queue) == 2
    await one.leave()
    assert not task.done()
    await layer.waiting_list.pause()
    assert await other.snapshot() == {"paused": True}
    await other.leave()
    await asyncio.wait([task], timeout=PATIENCE)
    assert task.done()
    assert not len(queue)
    asked = looks.asked
    await layer.waiting_list.unpause()
    again = await watch(user)
    assert (await again.snapshot())["paused"] is False  # not what was known before
    assert looks.asked > asked


# The layer away


async def test_frames_resume_after_an_outage_that_is_logged_once(
    watch: Watch, layer: Any, looks: Looks, caplog: pytest.LogCaptureFixture
) -> None:
    user = await _viewer()
    socket = await watch(user)
    await socket.snapshot()
    for _ in range(2):
        caplog.clear()
        looks.fail = True
        await looks.more(5)
        assert QueueWatch.here(layer).snapshot is None  # for who comes now is told nothing old
        late = await watch(user)
        await looks.more(2)
        looks.fail = False
        assert set(await socket.snapshot()) == PARTS
        assert set(await late.snapshot()) == PARTS
        await looks.more(2)
        messages = [r.getMessage() for r in caplog.records if r.name == queue_watch.__name__]
        assert [text for text in messages if "could not be read" in text] == [
            "The queue could not be read; trying again. (ConnectionError: away)"
        ]


# Samples


def sample(at: float) -> Sample:
    rejected = {"queue_full": 2, "user_limit": 1}
    return Sample(at, 10.0, 1, 2, 1, 4, 90, 9.0, 0.5, 3, rejected, 3, rejected)


async def keep(layer: Any, *ats: float) -> None:
    for at in ats:
        await layer.waiting_list.sample(json.dumps(asdict(sample(at))))


async def test_the_last_hour_then_each_new_sample(
    watch: Watch, layer: Any, no_samples_taken: None
) -> None:
    await keep(layer, 100.0, 110.0)
    socket = await watch(await _viewer())
    assert (await socket.next())["type"] == "queue.snapshot"
    frame = await socket.next()
    assert (frame["type"], frame["whole"]) == ("queue.samples", True)
    assert frame["samples"][1] == {
        "at": 110.0, "seconds": 10.0, "running": 1, "waiting": 2, "capacity": 4,
        "tokens_per_second": 9.0, "queue_seconds": 0.5, "rejected": 3,
    }  # fmt: skip
    await keep(layer, 120.0)
    frame = await socket.next()
    assert (frame["whole"], [s["at"] for s in frame["samples"]]) == (False, [120.0])
    await keep(layer, 130.0, 140.0)
    ats: list[float] = []
    while len(ats) < 2:
        frame = await socket.next()
        assert frame["whole"] is False
        ats += [s["at"] for s in frame["samples"]]
    assert ats == [130.0, 140.0]


async def test_samples_that_do_not_follow_replace_all(
    watch: Watch, layer: Any, no_samples_taken: None
) -> None:
    await keep(layer, 100.0)
    socket = await watch(await _viewer())
    await socket.next("queue.samples")
    layer.waiting_list._statistics.samples.clear()  # the list has lost its memory
    await keep(layer, 50.0)
    frame = await socket.next("queue.samples")
    assert (frame["whole"], [s["at"] for s in frame["samples"]]) == (True, [50.0])


async def test_without_samples_an_empty_hour_is_told(watch: Watch, no_samples_taken: None) -> None:
    socket = await watch(await _viewer())
    frame = await socket.next("queue.samples")
    assert (frame["samples"], frame["whole"]) == ([], True)


async def test_without_a_worker_the_watch_takes_the_samples(watch: Watch, layer: Any) -> None:
    socket = await watch(await _viewer())
    assert len((await socket.next("queue.samples"))["samples"]) == 1
    [taken] = await samples.read(layer.waiting_list)
    assert taken.workers == 0
