"""What an operator wants of the whole queue and of one worker: closing, capacity, draining."""

from __future__ import annotations

import asyncio

import pytest

from streaming.waiting_list.interface import (
    CLOSED_MESSAGE_CHARS,
    AdmissionLimits,
    AppendCall,
    Orders,
    Place,
    QueueClosed,
    QueueFull,
    State,
    Unavailable,
    WaitingListError,
    WorkerState,
)
from tests.contract.backends import DELTA, DONE, LONG, Backend
from tests.contract.conftest import MakeBackend

# Closing


async def test_a_closed_queue_takes_nothing_new(backend: Backend) -> None:
    await backend.beat(capacity=1)
    await backend.ask("running", conversation="c")
    claim = await backend.claim()
    await backend.ask("held", conversation="c")
    await backend.list.close("  Back at noon, für alle. ")
    assert await backend.list.closed() == "Back at noon, für alle."
    assert (await backend.list.snapshot()).closed == "Back at noon, für alle."
    with pytest.raises(QueueClosed, match=r"^Back at noon, für alle\.$") as refusal:
        await backend.ask("new")
    assert refusal.value.code == "queue_closed"
    assert await backend.state("new") is State.UNKNOWN
    # What is open goes on, and is known; what was accepted before comes back.
    assert await backend.ask("held") == Place(State.HELD, None, 0, created=False)
    assert (await backend.ask("lost", readmit=True)).created
    await backend.list.finish(claim.lease, DONE)
    assert await backend.positions("lost", "held") == [1, 2]
    await backend.list.close("Back at one.")
    with pytest.raises(QueueClosed, match="Back at one"):
        await backend.ask("new")
    await backend.list.reopen()
    assert await backend.list.closed() is None
    assert (await backend.list.snapshot()).closed is None
    assert (await backend.ask("new")).created
    await backend.list.reopen()


async def test_closed_comes_first_and_outlives_all_workers(backend: Backend) -> None:
    await backend.list.close("No.")
    with pytest.raises(QueueClosed):
        await backend.ask("r0")
    await backend.beat("w1", ttl=0.001)
    await backend.pass_time(0.01)
    await backend.list.sweep(LONG)
    await backend.beat("w2")
    await backend.list.retire("w2")
    with pytest.raises(QueueClosed):
        await backend.ask("r0", limits=AdmissionLimits(0, 1, 1))
    await backend.beat("w3")
    with pytest.raises(QueueClosed):
        await backend.ask("r0")


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("x" * (CLOSED_MESSAGE_CHARS + 1), "301 characters; at most 300"),
        ("a\x00b", "no text may have"),
        ("a\ud800b", "no text may have"),
    ],
)
async def test_a_message_that_cannot_be_told(backend: Backend, message: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        await backend.list.close(message)
    assert await backend.list.closed() is None
    await backend.list.close(" " + "ä" * CLOSED_MESSAGE_CHARS)
    assert await backend.list.closed() == "ä" * CLOSED_MESSAGE_CHARS


# A worker's capacity


async def test_a_lower_capacity_holds_at_once(backend: Backend) -> None:
    await backend.beat("w1", 4)
    for n in range(6):
        await backend.ask(f"r{n}", limits=AdmissionLimits(2))
    running = [await backend.claim("w1") for _ in range(3)]
    assert await backend.list.order("w1", capacity=2) is True
    assert await backend.list.claim("w1", LONG) is None
    await backend.list.finish(running[0].lease, DONE)
    assert await backend.list.claim("w1", LONG) is None  # two run
    for claim in running[1:]:  # and they go on
        assert await backend.list.append(claim.lease, DELTA) == 1
    (row,) = await backend.list.workers()
    assert (row.capacity, row.running, row.orders) == (2, 2, Orders(2, False))
    assert (await backend.list.load()).capacities == {"w1": 2}
    with pytest.raises(QueueFull):  # 5 are open, 2 + 2 may be
        await backend.ask("late", limits=AdmissionLimits(2))
    await backend.list.finish(running[1].lease, DONE)
    assert (await backend.claim("w1")).entry.response_id == "r3"
    assert await backend.list.claim("w1", LONG) is None


async def test_a_higher_capacity_holds_when_the_worker_says_so(backend: Backend) -> None:
    assert await backend.beat("w1", 1) == Orders(None, False)
    await backend.ask("r0")
    await backend.ask("r1")
    await backend.list.order("w1", capacity=3)
    await backend.claim("w1")
    assert await backend.list.claim("w1", LONG) is None
    assert (await backend.list.load()).capacities == {"w1": 1}
    assert await backend.beat("w1", 3) == Orders(3, False)
    assert (await backend.list.load()).capacities == {"w1": 3}
    await backend.claim("w1")
    # A worker that takes no notice is held to the order all the same.
    await backend.list.order("w1", capacity=0)
    await backend.beat("w1", 3)
    await backend.ask("r2")
    assert await backend.list.claim("w1", LONG) is None
    assert (await backend.list.load()).capacities == {"w1": 0}
    with pytest.raises(ValueError, match="cannot run -1"):
        await backend.list.order("w1", capacity=-1)


# Draining


async def test_a_drain_order_holds_at_once_and_can_be_taken_back(backend: Backend) -> None:
    await backend.beat("w1", 2)
    await backend.beat("w2", 1)
    for n in range(3):
        await backend.ask(f"r{n}")
    running = await backend.claim("w1")
    assert await backend.list.order("w1", drain=True) is True
    assert await backend.list.claim("w1", LONG) is None
    assert (await backend.list.renew("w1", [running.lease], LONG)).held == {"r0"}
    assert await backend.list.append(running.lease, DELTA) == 1
    assert (await backend.list.watch([])).workers == 1
    assert (await backend.list.load()).capacities == {"w2": 1}
    with pytest.raises(QueueFull):  # 3 are open, 1 + 2 may be
        await backend.ask("late", limits=AdmissionLimits(2))
    assert await backend.beat("w1", 2) == Orders(None, True)  # it has not heard of it before
    rows = {row.worker_id: row for row in await backend.list.workers()}
    assert rows["w1"].state is WorkerState.DRAINING
    assert rows["w1"].orders == Orders(None, True)
    assert rows["w2"].state is WorkerState.READY
    # A capacity leaves the drain as it is.
    await backend.list.order("w1", capacity=2)
    assert await backend.beat("w1", 2) == Orders(2, True)
    await backend.list.order("w1", drain=False)
    assert await backend.beat("w1", 2) == Orders(2, False)
    await backend.claim("w1")


async def test_a_worker_that_ends_is_not_made_ready_by_an_order(backend: Backend) -> None:
    await backend.beat("w1", state=WorkerState.DRAINING)
    await backend.list.order("w1", drain=True)
    await backend.list.order("w1", drain=False)
    (row,) = await backend.list.workers()
    assert row.state is WorkerState.DRAINING


async def test_nobody_serves_while_all_are_drained(backend: Backend) -> None:
    await backend.beat("w1")
    await backend.list.order("w1", drain=True)
    assert (await backend.list.counters()).workers == 0
    if backend.capacity_needed:
        with pytest.raises(Unavailable):
            await backend.ask("r0")
    else:
        assert (await backend.ask("r0")).created


@pytest.mark.parametrize("gone", ["retired", "dead"])
async def test_orders_go_with_their_worker(backend: Backend, gone: str) -> None:
    assert await backend.list.order("w1", capacity=1, drain=True) is False
    await backend.beat("w1", ttl=LONG if gone == "retired" else 0.001)
    assert await backend.list.order("w1", capacity=1, drain=True) is True
    if gone == "retired":
        await backend.list.retire("w1")
    else:
        await backend.pass_time(0.01)
        await backend.list.sweep(LONG)
    assert await backend.list.order("w1", drain=True) is False
    assert await backend.beat("w1", 3) == Orders(None, False)


# Counting


async def test_each_prompt_is_counted_once(make_backend: MakeBackend) -> None:
    backend = make_backend()
    await backend.beat(capacity=1)
    limits = AdmissionLimits(4, max_per_owner=2, max_per_address=3)
    calls = [backend.ask(f"r{n}", f"o{n % 4}", "", f"::{n % 2}", limits) for n in range(40)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    codes = [answer.code for answer in answers if isinstance(answer, WaitingListError)]
    await backend.ask("r0", "o0", limits=limits)  # known already
    await backend.ask("back", readmit=True)  # was accepted in another life
    await backend.list.close("No.")
    with pytest.raises(QueueClosed):
        await backend.ask("late")
    counters = await backend.list.counters()
    assert counters.accepted == sum(isinstance(answer, Place) for answer in answers) == 5
    assert counters.rejected == {
        "queue_full": codes.count("queue_full"),
        "user_limit": codes.count("user_limit"),
        "address_limit": codes.count("address_limit"),
        "queue_closed": 1,
        "unavailable": 0,
    }
    assert sum(counters.rejected.values()) == 36
    assert (counters.running, counters.waiting) == (0, 6)
    assert (counters.workers, counters.capacity) == (1, 1)


async def test_nothing_is_counted_yet(backend: Backend) -> None:
    counters = await backend.list.counters()
    assert (counters.running, counters.waiting, counters.workers, counters.capacity) == (0, 0, 0, 0)
    assert (counters.accepted, counters.tokens, counters.waits) == (0, 0, [])
    assert set(counters.rejected.values()) == {0}
    assert counters.at > 1_700_000_000


async def test_tokens_and_queue_times_are_counted(backend: Backend) -> None:
    await backend.beat(capacity=2)
    await backend.ask("r0")
    await backend.pass_time(0.05)
    await backend.ask("r1")
    first, second = await backend.claim(), await backend.claim()
    await backend.list.append_many(
        [AppendCall(first.lease, DELTA, [1, 2]), AppendCall(second.lease, DELTA, [3])]
    )
    await backend.list.append(first.lease, DELTA, [2], number=1)  # said already
    await backend.list.release(first.lease)
    again = await backend.claim()  # its second claim waited for nothing
    await backend.list.append(again.lease, DELTA, [4])
    await backend.pass_time(0.02)
    counters = await backend.list.counters()
    assert counters.tokens == 4
    assert counters.running == 2
    ages, waited = zip(*counters.waits, strict=True)
    assert len(waited) == 2
    assert 0.049 <= waited[0] < LONG
    assert waited[1] < waited[0]
    assert min(ages) >= 0.019


async def test_the_last_samples_are_kept(backend: Backend) -> None:
    assert await backend.list.samples() == []
    for n in range(365):
        await backend.list.sample(f'{{"n":{n},"ü":1}}')
    texts = await backend.list.samples()
    assert texts == [f'{{"n":{n},"ü":1}}' for n in range(5, 365)]
    assert await backend.list.samples(2) == texts[-2:]
    assert await backend.list.samples(0) == []


async def test_a_row_tells_how_long_ago_it_was_asked(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r0")
    await backend.pass_time(0.05)
    await backend.claim()
    (row,) = (await backend.list.snapshot()).running
    assert row.since < row.asked
    assert 0.049 <= row.asked < LONG
