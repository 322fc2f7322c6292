"""An operator's move to the front or the back: it changes no order but its own."""

from __future__ import annotations

import asyncio
import time

import pytest

from streaming.waiting_list.interface import Edge, State, Withdrawal
from tests.contract.backends import DONE, LONG, Backend


async def ask_all(backend: Backend, *names: str) -> None:
    """The first letter is the owner."""
    for name in names:
        await backend.ask(name, name[0])


async def order(backend: Backend) -> str:
    snapshot = await backend.list.snapshot()
    waiting = [row for row in snapshot.waiting if row.position is not None]
    assert [row.position for row in waiting] == [*range(1, len(waiting) + 1)]
    load = await backend.list.load()
    assert [name for name, _ in load.waiting][-len(waiting) :] == [
        row.response_id for row in waiting
    ]
    return " ".join(row.response_id for row in waiting)


async def serve_all(backend: Backend) -> str:
    served = []
    while claim := await backend.list.claim("w1", LONG):
        served.append(claim.entry.response_id)
        await backend.list.finish(claim.lease, DONE)
    return " ".join(served)


async def test_only_the_moved_one_moves(backend: Backend) -> None:
    await backend.beat(capacity=1)
    await ask_all(backend, "a0", "a1", "a2", "b0", "b1", "c0")
    assert await order(backend) == "a0 b0 c0 a1 b1 a2"
    assert await backend.list.move("a1", Edge.FRONT) is True
    assert await order(backend) == "a1 a0 b0 c0 b1 a2"
    assert await backend.list.move("b0", Edge.BACK) is True
    assert await order(backend) == "a1 a0 c0 b1 a2 b0"
    assert await backend.list.move("a2", Edge.FRONT) is True
    assert await order(backend) == "a2 a1 a0 c0 b1 b0"
    assert await backend.list.move("a2", Edge.BACK) is True
    assert await order(backend) == "a1 a0 c0 b1 b0 a2"
    assert await backend.positions("a1", "a2") == [1, 6]
    assert await serve_all(backend) == "a1 a0 c0 b1 b0 a2"


async def test_one_is_put_before_another_and_those_between_make_room(backend: Backend) -> None:
    await backend.beat(capacity=1)
    await ask_all(backend, "a0", "a1", "a2", "b0", "b1", "c0")
    assert await order(backend) == "a0 b0 c0 a1 b1 a2"
    before = {row.slot for row in (await backend.list.snapshot()).waiting}
    assert await backend.list.move_before("a2", "b0") is True
    assert await order(backend) == "a0 a2 b0 c0 a1 b1"
    assert await backend.list.move_before("a0", "b1") is True
    assert await order(backend) == "a2 b0 c0 a1 a0 b1"
    assert await backend.list.move_before("c0", "c0") is True
    assert await backend.list.move_before("b0", "nobody") is False
    assert await backend.list.move_before("nobody", "b0") is False
    rows = (await backend.list.snapshot()).waiting
    places = {row.slot[:2] for row in rows if row.slot}
    assert places == {slot[:2] for slot in before if slot}
    assert {row.response_id for row in rows if row.slot and row.slot.moved} == {"a0", "a2"}
    slots = {row.response_id: row.slot for row in rows}
    unsaved = await backend.list.unsaved()
    assert {name: slots[name] for name in unsaved} == unsaved
    # Who withdraws leaves a slot to the owner's next one that was not moved.
    await backend.list.withdraw("a1", DONE)
    assert await order(backend) == "a2 b0 c0 a0 b1"
    await backend.ask("d0", "d")
    assert await order(backend) == "a2 b0 c0 d0 a0 b1"  # in the first round, as all newcomers
    assert await serve_all(backend) == "a2 b0 c0 d0 a0 b1"


@pytest.mark.parametrize("edge", Edge)
async def test_what_has_no_position_is_not_moved(backend: Backend, edge: Edge) -> None:
    await backend.beat(capacity=3)
    assert await backend.list.move("nobody", edge) is False
    await backend.ask("runs")
    await backend.ask("back")
    runs, back = await backend.claim(), await backend.claim()
    assert await backend.list.release(back.lease)
    await backend.ask("waits", conversation="c")
    await backend.ask("held", conversation="c")
    for name in ("runs", "back", "held"):
        assert await backend.list.move(name, edge) is False
    await backend.list.finish(runs.lease, DONE)
    assert await backend.list.move("runs", edge) is False
    assert await order(backend) == "waits"
    assert await backend.state("held") is State.HELD


@pytest.mark.parametrize("edge", Edge)
async def test_the_only_one_stays_the_first(backend: Backend, edge: Edge) -> None:
    await backend.beat(capacity=1)
    await ask_all(backend, "a0")
    assert await backend.list.move("a0", edge) is True
    await ask_all(backend, "b0", "a1")
    assert await order(backend) == "a0 b0 a1"
    assert await serve_all(backend) == "a0 b0 a1"


async def test_what_came_back_stays_ahead_of_the_front(backend: Backend) -> None:
    await backend.beat(capacity=1)
    await ask_all(backend, "a0", "b0", "c0")
    claim = await backend.claim()
    await backend.list.move("c0", Edge.FRONT)
    await backend.list.release(claim.lease)
    assert await serve_all(backend) == "a0 c0 b0"


async def test_a_moved_one_bequeaths_and_inherits_nothing(backend: Backend) -> None:
    await backend.beat(capacity=1)
    await ask_all(backend, "a0", "a1", "a2", "b0", "b1")
    await backend.list.move("a2", Edge.FRONT)
    assert await backend.list.withdraw("a2", DONE) is Withdrawal.WITHDRAWN
    assert await order(backend) == "a0 b0 a1 b1"  # a0 has not got the front by it
    await backend.list.move("a1", Edge.BACK)
    await backend.list.withdraw("a0", DONE)
    assert await order(backend) == "b0 b1 a1"
    await ask_all(backend, "a3")
    assert await order(backend) == "b0 a3 b1 a1"  # nor waits a3 behind it


async def test_newcomers_stand_behind_a_front_and_not_behind_every_back(backend: Backend) -> None:
    await backend.beat(capacity=1)
    await ask_all(backend, "a0", "a1", "a2", "a3")
    await backend.list.move("a3", Edge.FRONT)
    await backend.list.move("a0", Edge.BACK)
    assert await order(backend) == "a3 a1 a2 a0"
    await ask_all(backend, "b0", "c0")
    # The round that a0 has left goes to nobody: a1 is the first of those who wait.
    assert await order(backend) == "a3 a1 b0 c0 a2 a0"
    await backend.list.move("c0", Edge.FRONT)
    await backend.list.move("a1", Edge.FRONT)
    assert await serve_all(backend) == "a1 c0 a3 b0 a2 a0"


async def test_a_moved_one_keeps_its_place_while_it_runs(backend: Backend) -> None:
    await backend.beat(capacity=3)
    await ask_all(backend, "a0", "b0", "c0")
    await backend.list.move("c0", Edge.FRONT)
    claims = [await backend.claim() for _ in range(3)]
    assert [claim.entry.response_id for claim in claims] == ["c0", "a0", "b0"]
    for claim in reversed(claims):
        await backend.list.release(claim.lease)
    assert await serve_all(backend) == "c0 a0 b0"


async def test_moves_from_many_sides_leave_one_order(backend: Backend) -> None:
    await backend.beat(capacity=1)
    names = [f"{owner}{n}" for owner in "abcd" for n in range(5)]
    await ask_all(backend, *names)
    calls = [
        backend.list.move(name, edge) for name in names for edge in (Edge.FRONT, Edge.BACK)
    ] + [backend.list.withdraw(name, DONE) for name in names[::4]]
    await asyncio.gather(*calls)
    left = (await order(backend)).split()
    assert sorted(left) == sorted(set(names) - set(names[::4]))
    assert (await serve_all(backend)).split() == left
    assert await backend.remains() <= {f"log:{name}" for name in names} | {
        f"said:{name}" for name in names
    } | {"done"}


async def test_what_a_move_among_a_thousand_costs(backend: Backend) -> None:
    """Prints, and asserts only that it all came out right."""
    await backend.beat(capacity=1)
    names = [f"r{n}" for n in range(1000)]
    for n, name in enumerate(names):
        await backend.ask(name, f"o{n % 50}")
    begin = time.perf_counter()
    for name in names[::5]:
        await backend.list.move(name, Edge.FRONT)
    cost = (time.perf_counter() - begin) / 200 * 1e6
    print(f"\n{backend.name}: a move {cost:.0f} µs")
    assert (await order(backend)).split()[:200] == names[::5][::-1]
