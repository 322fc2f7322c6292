"""What a worker may do with its lease, and what happens when it no longer has one."""

import asyncio

import pytest

from streaming.waiting_list.interface import (
    MAX_ATTEMPTS,
    AdmissionLimits,
    AppendCall,
    Lease,
    QueueFull,
    State,
    Sweep,
    Withdrawal,
    WorkerState,
)
from tests.contract.backends import DELTA, DONE, LONG, Backend


async def test_only_a_live_ready_worker_with_a_free_place_claims(backend: Backend) -> None:
    await backend.beat("w1", 2)
    for n in range(4):
        await backend.ask(f"r{n}")
    assert await backend.list.claim("stranger", LONG) is None
    for state in (WorkerState.LOADING, WorkerState.DRAINING):
        await backend.beat("w1", 2, state)
        assert await backend.list.claim("w1", LONG) is None
    await backend.beat("w1", 2, ttl=0.001)
    await backend.pass_time(0.01)
    assert await backend.list.claim("w1", LONG) is None
    await backend.beat("w1", 2)
    await backend.claim()
    await backend.claim()
    assert await backend.list.claim("w1", LONG) is None
    await backend.beat("w1", 3)  # the cap may change while it runs
    await backend.claim()
    assert await backend.list.claim("w1", LONG) is None


async def test_workers_claiming_at_once_never_share(backend: Backend) -> None:
    for n in range(4):
        await backend.beat(f"w{n}", 3)
    for n in range(20):
        await backend.ask(f"r{n:02}")
    claims = await asyncio.gather(
        *(backend.list.claim(f"w{n % 4}", LONG) for n in range(40)), return_exceptions=False
    )
    taken = sorted(claim.entry.response_id for claim in claims if claim)
    assert taken == [f"r{n:02}" for n in range(12)]
    by_worker = [claim.lease.worker_id for claim in claims if claim]
    assert {by_worker.count(f"w{n}") for n in range(4)} == {3}


async def test_nothing_to_claim(backend: Backend) -> None:
    await backend.beat()
    assert await backend.list.claim("w1", LONG) is None


async def test_a_claim_says_what_was_generated_so_far(backend: Backend) -> None:
    await backend.beat("w1")
    await backend.beat("w2")
    await backend.ask("r", "o", "c", "a")
    first = await backend.claim("w1")
    assert (first.attempt, first.last_sequence, first.tokens) == (1, 0, ())
    await backend.list.append(first.lease, DELTA, [5, 0, 151_000])
    await backend.list.append(first.lease, DELTA)
    await backend.list.append(first.lease, DELTA, [7])
    await backend.expire(first)
    assert (await backend.list.sweep(LONG)).returned == ["r"]
    second = await backend.claim("w2")
    assert second.entry == first.entry
    assert (second.attempt, second.last_sequence, second.tokens) == (2, 3, (5, 0, 151_000, 7))
    assert second.lease.token > first.lease.token
    assert await backend.list.append(second.lease, DELTA, [8]) == 4


async def test_an_expired_lease_speaks_no_more_even_before_the_sweep(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r")
    claim = await backend.claim()
    await backend.list.append(claim.lease, DELTA)
    await backend.expire(claim)
    assert await backend.list.append(claim.lease, DELTA) is None
    assert await backend.list.append_many([AppendCall(claim.lease, DELTA)]) == [None]
    assert await backend.list.finish(claim.lease, DONE) is None
    assert await backend.list.release(claim.lease) is False
    assert (await backend.list.renew("w1", [claim.lease], LONG)).lost == {"r"}
    assert len(await backend.list.read("r")) == 1
    assert await backend.state("r") is State.RUNNING  # until the sweep returns it


async def test_a_fenced_worker_is_silent_while_the_next_one_speaks(backend: Backend) -> None:
    await backend.beat("old")
    await backend.beat("new")
    await backend.ask("r")
    old = await backend.claim("old")
    await backend.expire(old)
    await backend.list.sweep(LONG)
    new = await backend.claim("new")
    assert await backend.list.append(old.lease, DELTA) is None
    assert await backend.list.finish(old.lease, DONE) is None
    assert await backend.list.release(old.lease) is False
    assert (await backend.list.renew("old", [old.lease], LONG)).lost == {"r"}
    assert await backend.list.append(new.lease, DELTA) == 1
    assert await backend.list.finish(new.lease, DONE) == 2


async def test_tokens_grow_over_all_responses(backend: Backend) -> None:
    await backend.beat(capacity=20)
    for n in range(20):
        await backend.ask(f"r{n}")
    tokens = [(await backend.claim()).lease.token for _ in range(20)]
    assert tokens == sorted(set(tokens))


async def test_renewing_keeps_a_lease(backend: Backend) -> None:
    await backend.beat(capacity=3)
    for name in ("kept", "flagged", "let-go"):
        await backend.ask(name)
    kept, flagged, let_go = [await backend.claim(seconds=1.0) for _ in range(3)]
    assert await backend.list.withdraw("flagged", DONE) is Withdrawal.RUNNING
    unknown = Lease("unknown", "w1", 1)
    renewal = await backend.list.renew("w1", [kept.lease, flagged.lease, unknown], LONG)
    assert renewal.held == {"kept", "flagged"}
    assert renewal.cancelled == {"flagged"}
    assert renewal.lost == {"unknown"}
    await backend.pass_time(1.05)
    again = await backend.list.renew("w1", [kept.lease, flagged.lease, let_go.lease], LONG)
    assert again.held == {"kept", "flagged"}
    assert again.lost == {"let-go"}
    assert await backend.list.append(flagged.lease, DELTA) == 1
    stranger = await backend.list.renew("w2", [kept.lease], LONG)
    assert not stranger.held
    assert stranger.lost == {"kept"}
    assert (await backend.list.renew("w1", [], LONG)).held == frozenset()


async def test_what_returns_stands_ahead_and_is_not_counted(backend: Backend) -> None:
    await backend.beat("w1", 2)
    for n in range(5):
        await backend.ask(f"r{n}")
    claims = [await backend.claim() for _ in range(2)]
    for claim in reversed(claims):
        await backend.expire(claim)
    sweep = await backend.list.sweep(LONG)
    assert sorted(sweep.returned) == ["r0", "r1"]
    assert (await backend.list.sweep(LONG)).returned == []
    assert await backend.positions("r0", "r1", "r2", "r4") == [None, None, 1, 3]
    assert await backend.state("r0") is State.WAITING
    assert (await backend.list.place("r2")).size == 3
    order = []
    for _ in range(5):
        claim = await backend.claim()
        order.append((claim.entry.response_id, claim.attempt))
        await backend.list.finish(claim.lease, DONE)
    assert order == [("r0", 2), ("r1", 2), ("r2", 1), ("r3", 1), ("r4", 1)]


async def test_a_returned_one_still_counts_against_the_bounds(backend: Backend) -> None:
    await backend.beat("w1", 1)
    await backend.ask("r0", limits=AdmissionLimits(0))
    await backend.expire(await backend.claim())
    await backend.list.sweep(LONG)
    with pytest.raises(QueueFull):
        await backend.ask("r1", limits=AdmissionLimits(0))


async def test_released_ones_go_back_without_a_failed_attempt(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r0")
    await backend.ask("r1")
    for _ in range(MAX_ATTEMPTS + 2):
        claim = await backend.claim()
        assert (claim.entry.response_id, claim.attempt) == ("r0", 1)
        await backend.list.append(claim.lease, DELTA, [1])
        assert await backend.list.release(claim.lease) is True
        assert await backend.list.append(claim.lease, DELTA) is None
        assert await backend.list.release(claim.lease) is False
    assert await backend.positions("r0", "r1") == [None, 1]
    assert (await backend.claim()).tokens == (1,) * (MAX_ATTEMPTS + 2)


async def test_one_that_is_not_forgiven_has_used_up_an_attempt(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r0")
    await backend.ask("r1")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claim = await backend.claim()
        assert (claim.entry.response_id, claim.attempt) == ("r0", attempt)
        assert await backend.list.release(claim.lease, forgive=False) is True
        assert await backend.list.release(claim.lease, forgive=False) is False
    assert (await backend.list.sweep(LONG)).exhausted == ["r0"]
    assert (await backend.claim()).entry.response_id == "r1"


async def test_used_up_attempts_wait_to_be_withdrawn(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r", "o")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claim = await backend.claim()
        assert claim.attempt == attempt
        await backend.expire(claim)
        sweep = await backend.list.sweep(LONG)
        used_up = attempt == MAX_ATTEMPTS
        assert sweep == Sweep([] if used_up else ["r"], ["r"] if used_up else [], [])
    assert await backend.list.claim("w1", LONG) is None
    assert (await backend.list.place("r")).position is None
    assert (await backend.list.sweep(LONG)).exhausted == ["r"]  # until somebody acts
    assert [row.response_id for row in (await backend.list.snapshot()).waiting] == ["r"]
    assert await backend.list.withdraw("r", DONE) is Withdrawal.WITHDRAWN
    assert await backend.list.sweep(0) == Sweep([], [], [])
    assert await backend.counted() == ({}, {})


@pytest.mark.parametrize("how", ["expire", "release", "retire"])
async def test_a_cancelled_one_is_never_claimed_again(backend: Backend, how: str) -> None:
    await backend.beat()
    await backend.ask("r")
    claim = await backend.claim()
    assert await backend.list.withdraw("r", DONE) is Withdrawal.RUNNING
    if how == "expire":
        await backend.expire(claim)
    elif how == "release":
        await backend.list.release(claim.lease)
    else:
        await backend.list.retire("w1")
        await backend.beat()
    assert await backend.list.sweep(LONG) == Sweep([], [], ["r"], cancelled=["r"])
    assert await backend.list.claim("w1", LONG) is None
    assert await backend.list.withdraw("r", DONE) is Withdrawal.WITHDRAWN
    assert await backend.state("r") is State.DONE


async def test_a_retiring_worker_gives_everything_back_at_once(backend: Backend) -> None:
    await backend.beat("w1", 2)
    await backend.beat("w2", 2)
    for n in range(3):
        await backend.ask(f"r{n}")
    leases = [(await backend.claim("w1")).lease for _ in range(2)]
    await backend.list.append(leases[0], DELTA, [1, 2])
    await backend.list.retire("w1")
    assert [row.worker_id for row in (await backend.list.snapshot()).workers] == ["w2"]
    assert await backend.list.append(leases[0], DELTA) is None
    assert await backend.list.claim("w1", LONG) is None
    claim = await backend.claim("w2")
    assert (claim.entry.response_id, claim.attempt, claim.tokens) == ("r0", 1, (1, 2))
    await backend.list.retire("nobody")


async def test_a_dead_worker_counts_nothing_and_its_leases_run_out(backend: Backend) -> None:
    await backend.beat("dying", 1, ttl=0.001)
    await backend.beat("w2", 1)
    await backend.pass_time(0.01)
    await backend.ask("r", limits=AdmissionLimits(0))
    with pytest.raises(QueueFull):
        await backend.ask("r1", limits=AdmissionLimits(0))
    assert (await backend.list.watch([])).workers == 1
    assert [row.worker_id for row in (await backend.list.snapshot()).workers] == ["w2"]
    await backend.list.sweep(LONG)
    await backend.beat("dying", 2)  # it was only slow: it counts again
    await backend.ask("r1", limits=AdmissionLimits(0))
    assert (await backend.list.watch([])).workers == 2


async def test_a_worker_swept_as_dead_keeps_its_running_leases(backend: Backend) -> None:
    await backend.beat("w1", 1)
    await backend.ask("r0")
    await backend.ask("r1")
    claim = await backend.claim()
    await backend.beat("w1", 1, ttl=0.001)
    await backend.pass_time(0.01)
    assert (await backend.list.sweep(LONG)).returned == []
    assert await backend.list.append(claim.lease, DELTA) == 1
    await backend.beat("w1", 1)
    assert await backend.list.claim("w1", LONG) is None  # its one place is still taken
    await backend.list.finish(claim.lease, DONE)
    assert (await backend.claim()).entry.response_id == "r1"
