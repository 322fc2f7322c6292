"""What operators and the house's own duties need: pausing, electing, time limits, the load."""

from __future__ import annotations

import asyncio

import pytest

from streaming.waiting_list.interface import (
    RECENT_KEPT,
    AdmissionLimits,
    Edge,
    Load,
    QueueFull,
    RunningLoad,
    Sweep,
    Withdrawal,
    WorkerState,
)
from tests.contract.backends import DELTA, DONE, LONG, Backend

# Pausing


async def test_a_paused_worker_claims_nothing_and_keeps_what_it_runs(backend: Backend) -> None:
    await backend.beat("w1", 2)
    await backend.beat("w2", 1)
    for n in range(4):
        await backend.ask(f"r{n}")
    running = await backend.claim("w1")
    assert await backend.list.pause("w1") is True
    assert await backend.list.claim("w1", LONG) is None
    assert (await backend.list.renew("w1", [running.lease], LONG)).held == {"r0"}
    assert await backend.list.append(running.lease, DELTA) == 1
    assert (await backend.claim("w2")).entry.response_id == "r1"
    await backend.beat("w1", 2)  # a heartbeat does not take it back
    assert await backend.list.claim("w1", LONG) is None
    paused = [(row.worker_id, row.paused) for row in await backend.list.workers()]
    assert paused == [("w1", True), ("w2", False)]
    assert (await backend.list.snapshot()).paused is False
    assert await backend.list.unpause("w1") is True
    assert (await backend.claim("w1")).entry.response_id == "r2"


async def test_all_are_paused_those_to_come_as_well(backend: Backend) -> None:
    await backend.beat("w1")
    await backend.ask("r0")
    await backend.list.pause(None)
    await backend.beat("w2")
    assert await backend.list.claim("w1", LONG) is None
    assert await backend.list.claim("w2", LONG) is None
    snapshot = await backend.list.snapshot()
    assert snapshot.paused is True
    assert [row.paused for row in snapshot.workers] == [False, False]
    await backend.list.retire("w1")
    await backend.list.retire("w2")
    await backend.beat("w3")
    assert await backend.list.claim("w3", LONG) is None
    await backend.list.unpause()
    assert (await backend.list.snapshot()).paused is False
    await backend.claim("w3")


async def test_the_two_switches_know_nothing_of_each_other(backend: Backend) -> None:
    await backend.beat("w1")
    await backend.ask("r0")
    await backend.list.pause("w1")
    await backend.list.pause(None)
    await backend.list.unpause("w1")
    assert await backend.list.claim("w1", LONG) is None
    await backend.list.pause("w1")
    await backend.list.unpause(None)
    assert await backend.list.claim("w1", LONG) is None
    await backend.list.unpause("w1")
    await backend.claim("w1")


@pytest.mark.parametrize("gone", ["retired", "dead"])
async def test_a_pause_goes_with_its_worker(backend: Backend, gone: str) -> None:
    await backend.beat("w1", ttl=LONG if gone == "retired" else 0.001)
    assert await backend.list.pause("w1") is True
    if gone == "retired":
        await backend.list.retire("w1")
    else:
        await backend.pass_time(0.01)
        await backend.list.sweep(LONG)
    assert await backend.list.pause("w1") is False
    assert await backend.list.unpause("w1") is False
    await backend.beat("w1")
    assert [row.paused for row in await backend.list.workers()] == [False]


async def test_a_paused_workers_capacity_counts_as_before(backend: Backend) -> None:
    await backend.beat("w1", 2)
    await backend.list.pause("w1")
    await backend.list.pause(None)
    for n in range(3):
        await backend.ask(f"r{n}", limits=AdmissionLimits(1))
    with pytest.raises(QueueFull):
        await backend.ask("r3", limits=AdmissionLimits(1))
    assert (await backend.list.watch([])).workers == 1


# Electing


async def test_one_at_a_time_is_elected(backend: Backend) -> None:
    holders = [f"p{n}" for n in range(20)]
    answers = await asyncio.gather(*(backend.list.elect("tidy", p, LONG) for p in holders))
    assert sum(answers) == 1
    elected = holders[answers.index(True)]
    assert await backend.list.elect("tidy", elected, LONG) is True
    assert await backend.list.elect("other duty", "else", LONG) is True


async def test_who_does_not_ask_again_loses_the_duty(backend: Backend) -> None:
    assert await backend.list.elect("tidy", "a", 0.01) is True
    assert await backend.list.elect("tidy", "a", LONG) is True
    await backend.pass_time(0.02)
    assert await backend.list.elect("tidy", "b", LONG) is False
    assert await backend.list.elect("tidy", "a", 0.01) is True
    await backend.pass_time(0.02)
    assert await backend.list.elect("tidy", "b", LONG) is True
    assert await backend.list.elect("tidy", "a", LONG) is False


# The queue's time limit


async def test_what_was_never_claimed_in_time_is_named_until_it_is_gone(backend: Backend) -> None:
    await backend.beat(capacity=2)
    await backend.ask("runs")
    await backend.ask("released")
    runs, released = await backend.claim(), await backend.claim()
    await backend.ask("waits", conversation="c")
    await backend.ask("held", conversation="c")
    await backend.list.release(released.lease)
    await backend.pass_time(0.8)
    await backend.ask("young")
    nothing = Sweep([], [], [], [])
    assert await backend.list.sweep(LONG) == nothing
    assert await backend.list.sweep(LONG, LONG) == nothing
    for _ in range(2):
        assert sorted((await backend.list.sweep(LONG, 0.75)).overdue) == ["held", "waits"]
    assert await backend.list.withdraw("waits", DONE) is Withdrawal.WITHDRAWN
    # What was held does not begin anew with its place.
    assert (await backend.list.sweep(LONG, 0.75)).overdue == ["held"]
    await backend.list.withdraw("held", DONE)
    assert await backend.list.sweep(LONG, 0.75) == nothing
    await backend.list.finish(runs.lease, DONE)


# The load


async def test_the_load_of_nothing(backend: Backend) -> None:
    assert await backend.list.load() == Load([], [], {}, [])


async def test_the_load_shows_what_a_forecast_needs(backend: Backend) -> None:
    await backend.beat("b", 4)
    await backend.beat("a", 2, WorkerState.LOADING)
    await backend.beat("draining", 8, WorkerState.DRAINING)
    await backend.beat("paused", 8)
    await backend.list.pause("paused")
    await backend.beat("dead", 8, ttl=0.001)
    for n in range(5):
        await backend.ask(f"r{n}", "a" if n < 4 else "b", conversation="c" if n > 2 else "")
    await backend.ask("held", "b", "c")
    claims = [await backend.claim("b") for _ in range(3)]
    by_id = {claim.entry.response_id: claim for claim in claims}
    assert sorted(by_id) == ["r0", "r1", "r2"]
    await backend.list.append(by_id["r0"].lease, DELTA, [1, 2, 3])
    await backend.list.append(by_id["r1"].lease, DELTA, [4])
    await backend.list.release(by_id["r1"].lease)
    await backend.list.release(by_id["r2"].lease)
    await backend.claim("b")
    await backend.pass_time(0.02)
    load = await backend.list.load()
    assert load.waiting == [("r2", 64), ("r3", 64)]
    assert load.capacities == {"a": 2, "b": 4}
    assert load.recent == []
    seconds = {row.response_id: row.seconds for row in load.running}
    assert all(0.019 <= age < LONG for age in seconds.values())
    assert sorted(load.running, key=lambda row: row.response_id) == [
        RunningLoad("r0", "b", 3, 64, seconds["r0"], resumed=0),
        RunningLoad("r1", "b", 1, 64, seconds["r1"], resumed=1),
    ]
    await backend.list.pause()
    assert (await backend.list.load()).capacities == {}


async def test_the_load_waits_in_the_order_of_the_claims(backend: Backend) -> None:
    await backend.beat(capacity=1)
    for name in ("a0", "a1", "a2", "b0", "c0"):
        await backend.ask(name, name[0])
    await backend.list.release((await backend.claim()).lease)
    expected = [name for name, _ in (await backend.list.load()).waiting]
    order = []
    while claim := await backend.list.claim("w1", LONG):
        order.append(claim.entry.response_id)
        await backend.list.finish(claim.lease, DONE)
    assert order == expected == ["a0", "b0", "c0", "a1", "a2"]


async def test_the_load_knows_where_a_newcomer_would_stand(backend: Backend) -> None:
    """Behind what came back from a worker and the round that is being served, before the next."""
    await backend.beat(capacity=1)
    assert (await backend.list.load()).before_newcomer == 0
    for name in ("a0", "a1", "a2", "b0", "c0", "c1"):
        await backend.ask(name, name[0])
    await backend.list.release((await backend.claim()).lease)
    load = await backend.list.load()
    assert [name for name, _ in load.waiting] == ["a0", "b0", "c0", "a1", "c1", "a2"]
    assert load.before_newcomer == 5
    await backend.ask("n0", "n")
    ahead = [name for name, _ in (await backend.list.load()).waiting].index("n0")
    assert ahead == 5
    await backend.list.move("a2", Edge.FRONT)
    assert (await backend.list.load()).before_newcomer == 7


async def test_the_load_remembers_the_last_ones_finished_in_one_go(backend: Backend) -> None:
    await backend.beat(capacity=1)
    for n in range(RECENT_KEPT + 5):
        await backend.ask(f"r{n}")
        claim = await backend.claim()
        await backend.list.append(claim.lease, DELTA, range(n))
        if n == RECENT_KEPT + 4:
            await backend.pass_time(0.02)
        await backend.list.finish(claim.lease, DONE)
    await backend.ask("short")
    await backend.list.finish((await backend.claim()).lease, DONE, counted=False)
    await backend.ask("resumed")
    claim = await backend.claim()
    await backend.list.append(claim.lease, DELTA, [1])
    await backend.list.release(claim.lease)
    await backend.list.finish((await backend.claim()).lease, DONE)
    await backend.ask("withdrawn")
    await backend.list.withdraw("withdrawn", DONE)
    recent = (await backend.list.load()).recent
    assert [tokens for tokens, *_ in recent] == list(range(5, RECENT_KEPT + 5))
    assert 0.019 <= recent[-1][1] < LONG


async def test_what_was_cut_tells_how_long_an_answer_is_at_least(backend: Backend) -> None:
    """The limit of an entry holds for thought and answer together; each may end at its own."""
    await backend.beat(capacity=1)
    for name, tokens, cut in (("whole", 3, False), ("cut", 5, True), ("empty", 0, True)):
        await backend.ask(name)
        claim = await backend.claim()
        await backend.list.append(claim.lease, DELTA, range(tokens))
        await backend.list.finish(claim.lease, DONE, cut=cut)
    recent = (await backend.list.load()).recent
    assert [(tokens, limit) for tokens, _, limit in recent] == [(3, 64), (5, 5), (0, 64)]
