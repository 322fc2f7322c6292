"""Withdrawing, abandoning, looking, and that nothing stays behind."""

import pytest

from streaming.waiting_list.interface import (
    AppendCall,
    Lease,
    State,
    Sweep,
    Watched,
    Withdrawal,
    WorkerState,
)
from tests.contract.backends import DELTA, DONE, LONG, Backend
from tests.contract.conftest import MakeBackend


async def test_withdrawing_what_waits(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r")
    assert await backend.list.withdraw("r", DONE) is Withdrawal.WITHDRAWN
    assert await backend.list.withdraw("r", DONE) is Withdrawal.GONE
    assert await backend.list.withdraw("unknown", DONE) is Withdrawal.GONE
    assert await backend.list.claim("w1", LONG) is None
    assert await backend.list.read("r") == ['{"sequence_number":1,"type":"done"}']


async def test_withdrawing_what_runs_asks_its_worker(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r")
    claim = await backend.claim()
    for _ in range(2):
        assert await backend.list.withdraw("r", DONE) is Withdrawal.RUNNING
    assert await backend.list.read("r") == []
    assert (await backend.list.renew("w1", [claim.lease], LONG)).cancelled == {"r"}
    assert await backend.list.finish(claim.lease, DONE) == 1
    assert await backend.list.finish(claim.lease, DONE) is None
    assert await backend.list.withdraw("r", DONE) is Withdrawal.GONE


async def test_watching_touches_and_tells(backend: Backend) -> None:
    await backend.beat(capacity=1)
    for name in ("runs", "waits", "next"):
        await backend.ask(name)
    await backend.ask("held", conversation="c")
    await backend.ask("held2", conversation="c")
    claim = await backend.claim()
    await backend.list.append(claim.lease, DELTA)
    await backend.list.withdraw("next", DONE)
    watch = await backend.list.watch(["runs", "waits", "next", "held", "held2", "never", "a b"])
    assert (watch.size, watch.workers) == (2, 1)
    assert watch.responses == {
        "runs": Watched(State.RUNNING, None, 1),
        "waits": Watched(State.WAITING, 1, 0),
        "next": Watched(State.DONE, None, 1),
        "held": Watched(State.WAITING, 2, 0),
        "held2": Watched(State.HELD, None, 0),
        "never": Watched(State.UNKNOWN, None, 0),
        "a b": Watched(State.UNKNOWN, None, 0),
    }
    assert (await backend.list.watch([])).responses == {}
    assert await backend.list.known(["runs", "next", "never"]) == {"runs"}  # no touch revives


async def test_watching_a_thousand(backend: Backend) -> None:
    await backend.beat()
    names = [f"r{n}" for n in range(1000)]
    for name in names:
        await backend.ask(name)
    watch = await backend.list.watch(names)
    assert [watch.responses[name].position for name in names] == list(range(1, 1001))


async def test_what_nobody_watches_is_named_until_it_ends(backend: Backend) -> None:
    await backend.beat(capacity=1)
    await backend.ask("runs")
    claim = await backend.claim()
    await backend.ask("waits", conversation="c")
    await backend.ask("held", conversation="c")
    await backend.ask("watched")
    assert await backend.list.sweep(LONG) == Sweep([], [], [])
    await backend.pass_time(1.1)
    await backend.list.watch(["watched"])
    for _ in range(2):
        sweep = await backend.list.sweep(1.0)
        assert sorted(sweep.abandoned) == ["held", "runs", "waits"]
    await backend.list.withdraw("waits", DONE)
    await backend.list.withdraw("held", DONE)
    await backend.list.withdraw("runs", DONE)
    assert (await backend.list.sweep(1.0)).abandoned == ["runs"]
    await backend.list.finish(claim.lease, DONE)
    assert (await backend.list.sweep(1.0)).abandoned == []


async def test_looking_at_a_place_is_no_touch(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r")
    await backend.pass_time(0.05)
    await backend.list.place("r")
    await backend.list.known(["r"])
    await backend.list.read("r")
    await backend.ask("r")
    assert (await backend.list.sweep(0.05)).abandoned == ["r"]


async def test_known_are_the_open_ones(backend: Backend) -> None:
    await backend.beat()
    for name in ("runs", "waits", "ended"):
        await backend.ask(name, conversation="" if name == "runs" else "c")
    await backend.ask("held", conversation="c")
    await backend.claim()
    await backend.list.withdraw("ended", DONE)
    known = await backend.list.known(["runs", "waits", "held", "ended", "never"])
    assert known == {"runs", "waits", "held"}
    assert await backend.list.known([]) == set()


async def test_a_snapshot_shows_everything(backend: Backend) -> None:
    await backend.beat("b", 2, model="m", speed=1.5)
    await backend.beat("a", 1, WorkerState.LOADING)
    for n in range(4):
        await backend.ask(f"r{n}", "o", "c" if n > 1 else "")
    gone = await backend.claim("b")
    runs = await backend.claim("b")
    await backend.list.append(runs.lease, DELTA, [1, 2, 3])
    await backend.expire(gone)
    await backend.list.sweep(LONG)
    snapshot = await backend.list.snapshot()
    assert [(row.worker_id, row.capacity, row.state, row.running) for row in snapshot.workers] == [
        ("a", 1, WorkerState.LOADING, 0),
        ("b", 2, WorkerState.READY, 1),
    ]
    alone = await backend.list.workers()
    assert [(row.worker_id, row.running) for row in alone] == [("a", 0), ("b", 1)]
    assert snapshot.workers[1].details == {"model": "m", "speed": 1.5}
    assert all(0 <= row.age < LONG for row in snapshot.workers)
    (running,) = snapshot.running
    assert (running.response_id, running.state, running.worker_id) == ("r1", State.RUNNING, "b")
    assert (running.tokens, running.max_tokens, running.attempt) == (3, 64, 1)
    assert [(row.response_id, row.state, row.position) for row in snapshot.waiting] == [
        ("r0", State.WAITING, None),
        ("r2", State.WAITING, 1),
        ("r3", State.HELD, None),
    ]
    assert {row.owner for row in snapshot.waiting} == {"o"}
    assert [row.conversation_id for row in snapshot.waiting] == ["", "c", "c"]
    assert all(0 <= row.since < LONG for row in snapshot.running + snapshot.waiting)


async def test_a_snapshot_of_nothing(backend: Backend) -> None:
    snapshot = await backend.list.snapshot()
    assert (snapshot.workers, snapshot.running, snapshot.waiting) == ([], [], [])
    assert await backend.list.workers() == []
    assert await backend.list.sweep(LONG) == Sweep([], [], [])


async def test_nothing_stays_behind(make_backend: MakeBackend) -> None:
    backend = make_backend(done_log_seconds=1.0)
    await backend.beat("w1", 3)
    for n in range(9):
        await backend.ask(f"r{n}", f"o{n % 2}", f"c{n % 4}", f"a{n % 3}")
    assert await backend.list.withdraw("r8", DONE) is Withdrawal.WITHDRAWN  # it was held
    for end in ("finish", "expire", "withdraw", "release"):
        claim = await backend.claim()
        await backend.list.append(claim.lease, DELTA, [1])
        if end == "finish":
            await backend.list.finish(claim.lease, DONE)
        elif end == "expire":
            await backend.expire(claim)
            await backend.list.sweep(LONG)
        elif end == "withdraw":
            await backend.list.withdraw(claim.entry.response_id, DONE)
            await backend.list.finish(claim.lease, DONE)
        else:
            await backend.list.release(claim.lease)
    for n in range(9):
        await backend.list.withdraw(f"r{n}", DONE)
    assert await backend.list.known([f"r{n}" for n in range(9)]) == set()
    assert await backend.counted() == ({}, {})
    assert await backend.state("r0") is State.DONE
    await backend.pass_time(1.05)
    assert await backend.state("r0") is State.UNKNOWN
    assert await backend.list.read("r0") == []
    assert await backend.remains() == set()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "text", ' {"a":1}', '{"a":1'])
async def test_an_event_must_be_an_object_with_a_member(backend: Backend, text: str) -> None:
    await backend.beat()
    await backend.ask("r")
    await backend.ask("r2")
    lease = (await backend.claim()).lease
    with pytest.raises(ValueError, match="event"):
        await backend.list.append(lease, text)
    with pytest.raises(ValueError, match="event"):
        await backend.list.append_many([AppendCall(lease, DELTA), AppendCall(lease, text)])
    with pytest.raises(ValueError, match="event"):
        await backend.list.finish(lease, text)
    with pytest.raises(ValueError, match="event"):
        await backend.list.withdraw("r2", text)
    assert await backend.list.read("r") == []
    assert await backend.state("r2") is State.WAITING


async def test_leases_of_what_never_was(backend: Backend) -> None:
    await backend.beat()
    for lease in (Lease("never", "w1", 1), Lease("a b:*", "", 0)):
        assert await backend.list.append(lease, DELTA) is None
        assert await backend.list.finish(lease, DONE) is None
        assert await backend.list.release(lease) is False
    assert await backend.list.append_many([]) == []
    assert await backend.remains() == set()


async def test_only_what_runs_is_flagged(backend: Backend) -> None:
    """Unlike withdraw, it ends nothing itself, whatever has become of the response meanwhile."""
    await backend.beat()
    await backend.ask("r")
    assert not await backend.list.flag("r")
    assert not await backend.list.flag("unknown")
    lease = (await backend.claim()).lease
    assert await backend.list.flag("r")
    renewal = await backend.list.renew(lease.worker_id, [lease], LONG)
    assert renewal.cancelled == {"r"}
    assert await backend.list.finish(lease, DONE) == 1
    assert not await backend.list.flag("r")
    assert len(await backend.list.read("r")) == 1


async def test_a_sweep_tells_what_was_cancelled_from_what_nobody_watches(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("ran")
    claim = await backend.claim()
    await backend.ask("waits")
    await backend.list.flag("ran")
    await backend.list.release(claim.lease)
    await backend.pass_time(0.1)
    sweep = await backend.list.sweep(0.05)
    assert sorted(sweep.abandoned) == ["ran", "waits"]
    assert (sweep.cancelled, sweep.unwatched) == (["ran"], ["waits"])


async def test_what_is_kept_below_0_is_unwatched_sooner(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r")
    await backend.list.keep("r", -4.0)
    assert (await backend.list.sweep(5.0)).unwatched == []
    await backend.pass_time(1.1)
    assert (await backend.list.sweep(5.0)).unwatched == ["r"]


async def test_what_is_kept_needs_no_viewer_for_so_long(backend: Backend) -> None:
    """Until a viewer comes, who may leave again."""
    await backend.beat("w", 1)
    await backend.ask("kept")
    await backend.ask("other")
    await backend.list.keep("kept", 5.0)
    await backend.list.keep("unknown", 5.0)
    await backend.pass_time(2.0)
    assert (await backend.list.sweep(1.0)).abandoned == ["other"]
    await backend.pass_time(5.0)
    assert sorted((await backend.list.sweep(1.0)).abandoned) == ["kept", "other"]
    await backend.list.keep("kept", 5.0)
    await backend.list.watch(["kept"])
    await backend.pass_time(2.0)
    assert "kept" in (await backend.list.sweep(1.0)).abandoned
    assert await backend.list.known(["unknown"]) == set()
