"""Who has the waiting list of a database, and who may take it over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from channels.layers import channel_layers, get_channel_layer
from django.db import connection
from django.utils import timezone

from streaming.lifecycle import list_lock, reconciler
from streaming.lifecycle.list_lock import LockHolder, LockLost, LockTaken
from streaming.models import ListLock, Response
from streaming.record import lock_row
from streaming.record.database import disconnecting
from streaming.system import processes
from streaming.waiting_list.interface import State, Sweep
from streaming.waiting_list.memory.waiting_list import MemoryWaitingList
from streaming.worker.embedded import start_queue_worker
from tests.integration.conftest import PATIENCE, ChatClient, eventually
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

Make = Callable[[], LockHolder]


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_lock, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(list_lock, "_LOOK_SECONDS", 0.1)


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[LockHolder] = []

    def make() -> LockHolder:
        made.append(LockHolder())
        return made[-1]

    yield make
    for holder in made:
        holder._give_back()
        if holder._thread:
            holder._thread.join()


def row() -> ListLock:
    return ListLock.objects.get()


def stand_in(**fields: Any) -> None:
    """A row as another process has left it."""
    ListLock.objects.update_or_create(
        pk=1,
        defaults={
            "holder": "another",
            "machine": processes.machine(),
            "host": "there",
            "pid": os.getpid(),
            "born": processes.born(os.getpid()),
            **fields,
        },
    )


def test_one_has_it_and_the_next_one_is_refused_at_once(make: Make) -> None:
    first, second = make(), make()
    first.acquire()
    with pytest.raises(LockTaken, match="REDIS_URL") as refused:
        second.acquire()
    assert f"process {os.getpid()} on " in str(refused.value)
    assert first.is_held
    assert not second.is_held
    first.release()
    second.acquire()
    assert second.is_held


def test_it_is_held_as_long_as_anybody_uses_it(make: Make) -> None:
    holder = make()
    holder.acquire()
    holder.acquire()
    holder.release()
    assert holder.is_held
    assert row().holder
    holder.release()
    assert not holder.is_held
    assert not row().holder
    holder.acquire()
    assert holder.is_fresh


def test_of_many_at_once_one_gets_it(make: Make) -> None:
    for _ in range(5):
        holders = [make() for _ in range(6)]
        barrier = threading.Barrier(len(holders))

        def take(holder: LockHolder, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with contextlib.suppress(LockTaken):
                holder.acquire()

        threads = [threading.Thread(target=disconnecting(lambda h=h: take(h))) for h in holders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [winner] = [holder for holder in holders if holder.is_held]
        assert row().holder == winner._token
        winner.release()


def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between looks, which are left out."""
    taken: list[float] = []

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            taken.append(timeout or 0)
            return False

    monkeypatch.setattr(list_lock, "BEAT_SECONDS", 3600)  # one pause is one of a contender's
    make_event = threading.Event
    monkeypatch.setattr(LockHolder, "__init__", _init_with(Event, make_event))
    return taken


def _init_with(event: Any, usual: Any) -> Any:
    init = LockHolder.__init__

    def __init__(self: LockHolder) -> None:
        init(self)
        self._given_up = event()
        self._stopping = usual()

    return __init__


def ended_process() -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process


def test_a_dead_process_of_this_machine_is_followed_at_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = looks(monkeypatch)
    stand_in(pid=ended_process().pid, born="1")
    make().acquire()
    assert taken == []


def test_without_a_kernel_that_tells_the_id_decides(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    taken = looks(monkeypatch)
    stand_in(pid=ended_process().pid, born="")
    make().acquire()
    assert taken == []


def test_a_process_that_waits_to_be_reaped_is_dead(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = looks(monkeypatch)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stand_in(pid=process.pid, born=processes.born(process.pid))
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    make().acquire()
    assert taken == []
    process.communicate()


def test_another_process_with_the_same_id_is_not_the_holder(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that is started again: the same host name, and always process 1."""
    taken = looks(monkeypatch)
    stand_in(born="1")
    make().acquire()
    assert taken == []


@pytest.mark.parametrize(
    "holder",
    [
        {"machine": "another:1"},
        {"machine": "another:1", "pid": 4_194_305},
        {"machine": ""},
        {},  # alive, by its id, but stopped
    ],
)
def test_who_cannot_be_seen_to_be_dead_is_watched(
    make: Make, monkeypatch: pytest.MonkeyPatch, holder: dict[str, Any]
) -> None:
    taken = looks(monkeypatch)
    stand_in(**holder)
    make().acquire()
    assert taken == [0.1] * 10


def test_a_machine_that_does_not_tell_is_never_ours(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "machine", lambda: "")
    taken = looks(monkeypatch)
    stand_in(pid=ended_process().pid, born="1")
    make().acquire()
    assert len(taken) == 10


def test_who_beats_at_the_last_moment_keeps_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the last look and the taking."""
    looks(monkeypatch)
    stand_in(machine="another:1")
    write = lock_row.take

    def late(token: str, over: ListLock | None) -> bool:
        ListLock.objects.update(beats=7)
        return write(token, over)

    monkeypatch.setattr(lock_row, "take", late)
    with pytest.raises(LockTaken):
        make().acquire()
    assert row().holder == "another"


def test_a_stopped_holder_learns_that_it_is_none(make: Make) -> None:
    holder = make()
    holder.acquire()
    ListLock.objects.update(holder="another", machine="another:1", host="there", pid=7)
    with pytest.raises(LockLost, match="process 7 on there"):
        holder.beat()
    assert holder.lost
    assert not holder.is_held
    assert not holder.is_fresh
    holder.release()
    assert row().holder == "another"


def test_who_lost_it_and_is_refused_does_not_have_it(make: Make) -> None:
    loser, taker = make(), make()
    loser.acquire()
    ListLock.objects.update(holder="")
    taker.acquire()
    with pytest.raises(LockLost):
        loser.beat()
    for _ in range(2):
        with pytest.raises(LockTaken):
            loser.acquire()
        assert not loser.is_held
        assert loser.lost  # who runs on it must still hear of it


def test_a_restored_database_is_taken_again(make: Make) -> None:
    """One without the row, or with that of a process that is long dead."""
    holder = make()
    holder.acquire()
    ListLock.objects.all().delete()
    holder.beat()
    stand_in(born="1")
    holder.beat()
    assert row().holder == holder._token
    assert holder.is_fresh


def test_what_was_not_confirmed_for_long_is_not_trusted(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stop or a sleep, until the next beat."""
    holder = make()
    holder.acquire()
    monkeypatch.setattr(list_lock, "BEAT_SECONDS", 3600)
    now = list_lock._now() + 3600
    with holder._changing:
        monkeypatch.setattr(list_lock, "_now", lambda: now)
        assert holder.is_held
        assert not holder.is_fresh
    holder.beat()
    assert holder.is_fresh


def test_a_fork_holds_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = make()
    holder.acquire()
    with monkeypatch.context() as changed:
        changed.setattr(list_lock.os, "getpid", lambda: 1)
        assert not holder.is_held
        holder._give_back()
    assert row().holder


def test_a_memory_database_needs_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = get_channel_layer()
    assert LockHolder.of(layer) is LockHolder.of(layer) is not None
    if connection.vendor == "sqlite":
        monkeypatch.setitem(connection.settings_dict, "NAME", ":memory:")
        assert LockHolder.of(layer) is None


# --- the worker ---


@pytest.fixture
def layer() -> Iterator[Any]:
    channel_layers.backends.clear()
    yield get_channel_layer()
    channel_layers.backends.clear()


async def test_a_worker_that_loses_the_list_ends_and_its_readers_go_by_the_record(
    layer: Any, client: Any
) -> None:
    embedded, task = start_queue_worker(FakeEngine(step_seconds=0.05))
    await asyncio.wait_for(embedded.ready.wait(), PATIENCE)
    chat: ChatClient = await client()
    queued = await chat.ask("stop 400")
    await chat.until("response.output_text.delta")
    await asyncio.to_thread(disconnecting(take_over))
    with pytest.raises(LockLost, match="REDIS_URL"):
        await asyncio.wait_for(task, PATIENCE)
    place = await layer.waiting_list.place(queued["response_id"])
    assert place.state is State.UNKNOWN
    assert list_lock.refusal(layer)
    await chat.send("response.create", input="stop 1")
    assert (await chat.until("error"))["code"] == "unavailable"
    await chat.send("chatstream:resume", response_id=queued["response_id"])
    assert (await chat.until("error"))["code"] == "unavailable"


async def test_the_readers_of_a_lost_list_are_told_the_end_that_another_process_writes(
    layer: Any, client: Any
) -> None:
    embedded, task = start_queue_worker(FakeEngine(step_seconds=0.05))
    await asyncio.wait_for(embedded.ready.wait(), PATIENCE)
    chat: ChatClient = await client()
    queued = await chat.ask("stop 400")
    await chat.until("response.output_text.delta")
    await asyncio.to_thread(disconnecting(take_over))
    with contextlib.suppress(LockLost):
        await asyncio.wait_for(task, PATIENCE)
    await asyncio.to_thread(disconnecting(lambda: end_elsewhere(queued["response_id"])))
    done = await chat.end()
    assert (done["status"], done["text"]) == ("completed", "all of it")


def take_over() -> None:
    ListLock.objects.update(holder="another", machine="another:1")


def end_elsewhere(response_id: str) -> None:
    ended = Response.objects.filter(pk=response_id, status="in_progress")
    assert ended.update(
        status="completed", finish_reason="stop", text="all of it", finished_at=timezone.now()
    )


async def test_a_worker_waits_for_the_list_and_can_be_stopped_meanwhile(
    layer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    other = LockHolder()
    await asyncio.to_thread(disconnecting(other.acquire))
    embedded, task = start_queue_worker(FakeEngine())

    async def is_told() -> bool:
        return "does not start yet" in caplog.text

    await eventually(is_told)
    assert not embedded.ready.is_set()
    await asyncio.to_thread(disconnecting(other.release))
    await asyncio.wait_for(embedded.ready.wait(), PATIENCE)
    await embedded.stop()
    await asyncio.wait_for(task, PATIENCE)
    await asyncio.to_thread(disconnecting(other.acquire))
    waiting, task = start_queue_worker(FakeEngine())
    await asyncio.sleep(0)
    await waiting.stop()
    await asyncio.wait_for(task, PATIENCE)
    await asyncio.to_thread(disconnecting(other.release))
    assert caplog.text.count("does not start yet") == 1


async def test_what_a_stale_list_says_is_not_acted_upon(
    layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its readers may have gone to another process: they are not taken to have left."""
    embedded, task = start_queue_worker(FakeEngine())
    await asyncio.wait_for(embedded.ready.wait(), PATIENCE)
    done: list[str] = []

    async def note_sweep(*args: object) -> Sweep:
        done.append("swept")
        return Sweep([], [], [])

    async def note_reconcile(layer: object) -> None:
        done.append("reconciled")

    with monkeypatch.context() as changed:
        changed.setattr(MemoryWaitingList, "sweep", note_sweep)
        changed.setattr(reconciler, "reconcile", note_reconcile)
        changed.setattr(LockHolder, "is_fresh", property(lambda holder: False))
        assert not embedded._has_place()
        await embedded._upkeep.sweep()
        await embedded._upkeep.reconcile()
        assert done == []
        changed.setattr(LockHolder, "is_fresh", property(lambda holder: True))
        assert embedded._has_place()
        await embedded._upkeep.sweep()
        await embedded._upkeep.reconcile()
        assert {"swept", "reconciled"} <= {*done}
    await embedded.stop()
    await asyncio.wait_for(task, PATIENCE)
