"""Who is accepted, and where they stand then."""

import asyncio

import pytest

from streaming.waiting_list.interface import (
    AddressLimit,
    AdmissionLimits,
    Entry,
    OwnerLimit,
    Place,
    QueueFull,
    State,
    Unavailable,
    WaitingListError,
    Withdrawal,
    WorkerState,
)
from tests.contract.backends import DONE, LONG, ROOMY, Backend


async def test_first_come_stand_first(backend: Backend) -> None:
    await backend.beat(capacity=2)
    places = [await backend.ask(f"r{n}") for n in range(5)]
    assert places == [Place(State.WAITING, n, n, created=True) for n in range(1, 6)]
    assert (await backend.claim()).entry.response_id == "r0"
    assert await backend.positions("r0", "r1", "r4") == [None, 1, 4]
    assert (await backend.claim()).entry.response_id == "r1"
    assert await backend.positions("r2", "r3", "r4") == [1, 2, 3]


async def test_positions_close_up_when_someone_leaves(backend: Backend) -> None:
    await backend.beat()
    for n in range(4):
        await backend.ask(f"r{n}")
    assert await backend.list.withdraw("r1", DONE) is Withdrawal.WITHDRAWN
    assert await backend.positions("r0", "r1", "r2", "r3") == [1, None, 2, 3]


@pytest.mark.parametrize(
    ("capacity", "max_waiting"), [(2, 0), (2, 1), (2, 5), (1, 0), (16, 3), (2, -1), (1, -1)]
)
async def test_a_burst_fills_the_bound_exactly(
    backend: Backend, capacity: int, max_waiting: int
) -> None:
    await backend.beat(capacity=capacity)
    limits = AdmissionLimits(max_waiting)
    answers = await asyncio.gather(
        *(backend.ask(f"r{n}", limits=limits) for n in range(50)), return_exceptions=True
    )
    accepted = [answer for answer in answers if isinstance(answer, Place)]
    refused = [answer for answer in answers if isinstance(answer, QueueFull)]
    bound = capacity + max_waiting
    assert (len(accepted), len(refused)) == (bound, 50 - bound)
    assert sorted(place.position or 0 for place in accepted) == list(range(1, bound + 1))


async def test_the_bound_counts_running_and_held_ones(backend: Backend) -> None:
    await backend.beat(capacity=1)
    limits = AdmissionLimits(max_waiting=2)
    await backend.ask("running", limits=limits)
    await backend.claim()
    await backend.ask("first", conversation="c", limits=limits)
    await backend.ask("held", conversation="c", limits=limits)
    with pytest.raises(QueueFull, match=r"^The queue is full: 3 responses are open"):
        await backend.ask("late", limits=limits)
    await backend.list.withdraw("held", DONE)
    assert (await backend.ask("late", limits=limits)).created


async def test_every_live_worker_adds_its_capacity(backend: Backend) -> None:
    await backend.beat("ready", 1)
    await backend.beat("loading", 2, WorkerState.LOADING)
    await backend.beat("draining", 10, WorkerState.DRAINING)
    await backend.beat("dead", 10, ttl=0.001)
    await backend.pass_time(0.01)
    limits = AdmissionLimits(max_waiting=0)
    for n in range(3):
        await backend.ask(f"r{n}", limits=limits)
    with pytest.raises(QueueFull):
        await backend.ask("r3", limits=limits)


async def test_without_a_worker(backend: Backend) -> None:
    await backend.beat("draining", 10, WorkerState.DRAINING)
    if backend.capacity_needed:
        with pytest.raises(Unavailable, match="No worker is running"):
            await backend.ask("r0")
        return
    await backend.ask("r0", limits=AdmissionLimits(1))
    with pytest.raises(QueueFull, match=r"1 response is open"):
        await backend.ask("r1", limits=AdmissionLimits(1))
    with pytest.raises(QueueFull, match="no worker is running and nobody may wait"):
        await backend.ask("r1", limits=AdmissionLimits(0))


async def test_owner_and_address_are_bounded(backend: Backend) -> None:
    await backend.beat()
    limits = AdmissionLimits(100, max_per_owner=2, max_per_address=3)
    await backend.ask("a1", "a", address="::1", limits=limits)
    await backend.ask("a2", "a", address="::1", limits=limits)
    with pytest.raises(OwnerLimit, match="the limit is 2"):
        await backend.ask("a3", "a", address="::2", limits=limits)
    await backend.ask("b1", "b", address="::1", limits=limits)
    with pytest.raises(AddressLimit, match="the limit is 3"):
        await backend.ask("c1", "c", address="::1", limits=limits)
    for n in range(5):
        await backend.ask(f"nowhere{n}", address="", limits=limits)
    running = await backend.claim()
    with pytest.raises(OwnerLimit):  # what runs still counts
        await backend.ask("a3", "a", address="::2", limits=limits)
    await backend.list.finish(running.lease, DONE)
    assert (await backend.ask("a3", "a", address="::2", limits=limits)).created
    assert (await backend.ask("c1", "c", address="::1", limits=limits)).created


async def test_a_burst_fills_the_owners_bound_exactly(backend: Backend) -> None:
    await backend.beat()
    limits = AdmissionLimits(1000, max_per_owner=3, max_per_address=5)
    answers = await asyncio.gather(
        *(backend.ask(f"r{n}", f"o{n % 2}", "", "1.2.3.4", limits) for n in range(50)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Place) for answer in answers) == 5
    assert all(isinstance(answer, Place | WaitingListError) for answer in answers)
    owners, addresses = await backend.counted()
    assert sum(owners.values()) == 5
    assert max(owners.values()) == 3
    assert addresses == {"1.2.3.4": 5}


async def test_a_known_id_is_not_accepted_twice(backend: Backend) -> None:
    await backend.beat(capacity=1)
    full = AdmissionLimits(0, max_per_owner=1)
    assert await backend.ask("r", "o", limits=full) == Place(State.WAITING, 1, 1, True)
    assert await backend.ask("r", "o", limits=full) == Place(State.WAITING, 1, 1, False)
    claim = await backend.claim()
    assert await backend.ask("r", "o", limits=full) == Place(State.RUNNING, None, 0, False)
    await backend.list.finish(claim.lease, DONE)
    assert await backend.ask("r", "o", limits=full) == Place(State.DONE, None, 0, False)
    assert await backend.list.claim("w1", LONG) is None
    assert await backend.counted() == ({}, {})


async def test_the_reconciler_may_pass_the_bounds(backend: Backend) -> None:
    await backend.ask("r0", "o", limits=AdmissionLimits(0, 1, 1), readmit=True)
    place = await backend.ask("r1", "o", limits=AdmissionLimits(0, 1, 1), readmit=True)
    assert place == Place(State.WAITING, 2, 2, True)


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "ä", "x" * 81, "r\n", "r!", "*"])
async def test_an_id_no_group_can_carry_is_refused(backend: Backend, bad: str) -> None:
    await backend.beat()
    with pytest.raises(ValueError, match="response id"):
        await backend.list.enqueue(Entry(bad, "o", "c"), ROOMY)
    assert await backend.state(bad) is State.UNKNOWN
    assert await backend.remains() == set()


async def test_one_open_response_per_conversation(backend: Backend) -> None:
    await backend.beat(capacity=3)
    await backend.ask("c1", conversation="c")
    held = await backend.ask("c2", conversation="c")
    assert held == Place(State.HELD, None, 1, True)
    await backend.ask("c3", conversation="c")
    await backend.ask("other")
    first = await backend.claim()
    assert (await backend.claim()).entry.response_id == "other"
    assert await backend.list.claim("w1", LONG) is None  # c2 and c3 are held
    await backend.ask("later")
    await backend.list.finish(first.lease, DONE)
    assert await backend.positions("later", "c2", "c3") == [1, 2, None]
    assert await backend.state("c3") is State.HELD
    await backend.list.withdraw("c2", DONE)  # while it waits: the next one moves up
    assert await backend.positions("later", "c3") == [1, 2]


async def test_a_held_one_that_leaves_moves_nobody(backend: Backend) -> None:
    await backend.beat()
    for name in ("c1", "c2", "c3"):
        await backend.ask(name, conversation="c")
    await backend.ask("other")
    assert await backend.list.withdraw("c2", DONE) is Withdrawal.WITHDRAWN
    assert await backend.positions("c1", "other", "c3") == [1, 2, None]
    assert await backend.state("c3") is State.HELD
    await backend.list.finish((await backend.claim()).lease, DONE)
    assert await backend.positions("other", "c3") == [1, 2]


async def test_owner_names_and_conversations_may_be_anything(backend: Backend) -> None:
    await backend.beat()
    odd = 'visitor:"ü\u2028😀\x00 :*'
    await backend.ask("r0", odd, odd, odd)
    await backend.ask("r1", odd, odd, odd)
    assert await backend.counted() == ({odd: 2}, {odd: 2})
    claim = await backend.claim()
    assert claim.entry == Entry("r0", odd, odd, odd, 64)
    await backend.list.finish(claim.lease, DONE)
    assert await backend.positions("r1") == [1]


async def test_what_a_list_objects_to_beforehand_it_refuses(backend: Backend) -> None:
    """It may say nothing; what it says is what `enqueue` would raise, and counts nothing."""
    await backend.beat(capacity=1)
    roomy, full = AdmissionLimits(max_waiting=5), AdmissionLimits(max_waiting=0)
    await backend.ask("r0", limits=full)
    assert await backend.list.objection("somebody", "", roomy) is None
    objection = await backend.list.objection("somebody", "", full)
    with pytest.raises(QueueFull) as refusal:
        await backend.ask("r1", limits=full)
    assert objection is None or str(objection) == str(refusal.value)
    assert len((await backend.list.snapshot()).waiting) == 1
