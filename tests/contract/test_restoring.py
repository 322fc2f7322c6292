"""A list that has lost everything gets it back from the record: the order is the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from streaming.waiting_list.interface import (
    AdmissionLimits,
    Claim,
    Edge,
    Entry,
    ListLost,
    Remembered,
    Slot,
    Snapshot,
    State,
)
from tests.contract.backends import DELTA, DONE, LONG, ROOMY, Backend, MemoryBackend, RedisBackend
from tests.contract.conftest import MakeBackend
from tests.support.valkey import Valkey


class Record:
    """What the database knows: of each open response, as it was told."""

    def __init__(self) -> None:
        self.rows: dict[str, Remembered] = {}

    async def note(self, backend: Backend) -> None:
        """What happens after whatever may have changed places."""
        slots = await backend.list.unsaved()
        for name, slot in slots.items():
            self.rows[name] = replace(self.rows[name], slot=slot)
        await backend.list.saved(slots)
        assert not await backend.list.unsaved()


def order(snapshot: Snapshot) -> list[tuple[str, int | None]]:
    """Who comes when, with the positions that people are told; what ran is ahead of all."""
    ran = sorted(snapshot.running, key=lambda row: row.slot or Slot(0, 0))
    waiting = [row for row in snapshot.waiting if row.state is not State.HELD]
    back = [row for row in waiting if row.position is None]
    ahead = sorted([*ran, *back], key=lambda row: row.slot or Slot(0, 0))
    positions = [(row.response_id, row.position) for row in waiting if row.position]
    return [(row.response_id, None) for row in ahead] + positions


def held(snapshot: Snapshot) -> list[str]:
    return [row.response_id for row in snapshot.waiting if row.state is State.HELD]


class Machine(RuleBasedStateMachine):
    """Some ask, some run, some leave, operators move; now and then all is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.record = Record()
        self.backend = self.run(self.begin())
        self.claims: dict[str, Claim] = {}
        self.asked = 0

    def make_backend(self) -> Backend:
        return MemoryBackend()

    async def begin(self) -> Backend:
        backend = self.make_backend()
        await backend.beat(capacity=3)
        return backend

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    def teardown(self) -> None:
        self.run(self.backend.close())
        self.runner.close()

    @initialize(owners=st.lists(st.sampled_from("aab"), max_size=5))
    def a_crowd(self, owners: list[str]) -> None:
        for owner in owners:
            self.ask(owner, "")

    @rule(owner=st.sampled_from("aabc"), conversation=st.sampled_from(["", "", "c", "d"]))
    def ask(self, owner: str, conversation: str) -> None:
        name = f"r{self.asked}"
        self.asked += 1
        entry = Entry(name, owner, conversation, "", 64)
        place = self.run(self.backend.list.enqueue(entry, ROOMY))
        self.record.rows[name] = Remembered(entry, place.slot)

    @rule()
    def claim(self) -> None:
        claim = self.run(self.backend.list.claim("w1", LONG))
        if isinstance(claim, Claim):
            name = claim.lease.response_id
            self.claims[name] = claim
            self.record.rows[name] = replace(self.record.rows[name], ran=True)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.claims)))
        assert self.run(self.backend.list.finish(self.claims.pop(name).lease, DONE)) is not None
        del self.record.rows[name]

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.claims)))
        assert self.run(self.backend.list.release(self.claims.pop(name).lease))

    @precondition(lambda self: self.record.rows.keys() - self.claims.keys())
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.record.rows.keys() - self.claims.keys())))
        self.run(self.backend.list.withdraw(name, DONE))
        del self.record.rows[name]

    @precondition(lambda self: self.record.rows)
    @rule(data=st.data(), edge=st.sampled_from(Edge))
    def move(self, data: st.DataObject, edge: Edge) -> None:
        name = data.draw(st.sampled_from(sorted(self.record.rows)))
        self.run(self.backend.list.move(name, edge))

    @rule(data=st.data())
    def all_is_lost(self, data: st.DataObject) -> None:
        before = self.run(self.backend.list.snapshot())
        if isinstance(self.backend, MemoryBackend) and not held(before):
            self.what_is_restored_behaves_as_before(data)
        self.run(self.backend.close())
        self.claims.clear()
        self.backend = self.run(self.begin())
        rows = list(self.record.rows.values())
        self.run(self.backend.list.restore(rows, whole=True))
        after = self.run(self.backend.list.snapshot())
        assert order(after) == order(before)
        assert sorted(held(after)) == sorted(held(before))
        self.nobody_who_comes_now_overtakes(after)

    def what_is_restored_behaves_as_before(self, data: st.DataObject) -> None:
        """Places are inherited as they would have been. (Both lists are used up.)"""
        restored = self.run(self.begin())
        self.run(restored.list.restore(list(self.record.rows.values()), whole=True))
        both = (self.backend, restored)
        waiting = sorted(self.record.rows.keys() - self.claims.keys())
        for name in data.draw(st.permutations(waiting)):
            for backend in both:
                self.run(backend.list.withdraw(name, DONE))
            left = [order(self.run(backend.list.snapshot())) for backend in both]
            assert left[0] == left[1]

    def nobody_who_comes_now_overtakes(self, after: Snapshot) -> None:
        self.ask("newcomer", "")
        now = order(self.run(self.backend.list.snapshot()))
        assert now[:-1] == order(after)
        assert now[-1][0] == f"r{self.asked - 1}"

    @invariant()
    def the_record_is_told(self) -> None:
        self.run(self.record.note(self.backend))
        snapshot = self.run(self.backend.list.snapshot())
        for row in (*snapshot.running, *snapshot.waiting):
            assert self.record.rows[row.response_id].slot == row.slot


def check(machine: type[RuleBasedStateMachine], examples: int, steps: int = 25) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_sequence_is_restored_in_memory() -> None:
    check(Machine, 150)


def test_any_sequence_is_restored_in_redis(empty_valkey: Valkey) -> None:
    class OnRedis(Machine):
        def make_backend(self) -> Backend:
            with Redis.from_url(empty_valkey.url) as client:
                client.flushall()
            return RedisBackend(empty_valkey.url)

    check(OnRedis, 25)


async def remember(backend: Backend, *names: str, **owners: str) -> list[Remembered]:
    rows = []
    for name in names:
        entry = Entry(name, owners.get(name, f"o{name}"), "", "", 64)
        rows.append(Remembered(entry, (await backend.list.enqueue(entry, ROOMY)).slot))
    return rows


async def test_held_ones_stand_behind_what_is_open_of_their_conversation(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend()
    await backend.beat(capacity=1)
    running, *later = (Entry(f"c{number}", "o", "conversation", "", 64) for number in range(3))
    rows = [
        Remembered(running, Slot(4, 9), ran=True),
        *(Remembered(entry) for entry in later),
        Remembered(Entry("x", "p", "", "", 64), Slot(5, 10)),
    ]
    await backend.list.restore(rows, whole=True)
    snapshot = await backend.list.snapshot()
    assert order(snapshot) == [("c0", None), ("x", 1)]
    assert held(snapshot) == ["c1", "c2"]
    claim = await backend.claim()
    assert (claim.lease.response_id, claim.attempt) == ("c0", 1)
    await backend.list.finish(claim.lease, DONE)
    assert await backend.positions("x", "c1", "c2") == [1, 2, None]


async def test_a_moved_one_bequeaths_nothing_after_a_restart_either(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend()
    await backend.beat()
    slots = {"a1": (1, 1), "b": (1, 2), "a3": (2, 3), "a2": (0, 4)}
    rows = [
        Remembered(Entry(name, name[0], "", "", 64), Slot(*slot, moved=name == "a2"))
        for name, slot in slots.items()
    ]
    await backend.list.restore(rows, whole=True)
    assert await backend.positions("a2", "a1", "b", "a3") == [1, 2, 3, 4]
    await backend.list.withdraw("a2", DONE)
    assert await backend.positions("a1", "b", "a3") == [1, 2, 3]
    await backend.list.withdraw("a1", DONE)
    assert await backend.positions("a3", "b") == [1, 2]


async def test_what_is_known_stays_as_it_is(make_backend: MakeBackend) -> None:
    """Two processes may restore at once."""
    backend = make_backend()
    await backend.beat(capacity=1)
    rows = await remember(backend, "a", "b", "c")
    claim = await backend.claim()
    await backend.list.append(claim.lease, DELTA)
    await backend.list.restore(rows, whole=True)
    assert await backend.positions("a", "b", "c") == [None, 1, 2]
    assert await backend.state("a") is State.RUNNING
    assert await backend.list.append(claim.lease, DELTA) == 2


async def test_their_numbers_are_greater_than_those_of_the_life_before(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend()
    await backend.beat()
    entry = Entry("r", "o", "", "", 64)
    await backend.list.restore([Remembered(entry, Slot(1, 1), said=1000)], whole=True)
    assert await backend.list.append((await backend.claim()).lease, DELTA) == 1001


async def test_readers_have_time_to_come_back(make_backend: MakeBackend) -> None:
    backend = make_backend()
    await backend.beat()
    entries = [Entry(name, "o", "", "", 64) for name in ("late", "back")]
    rows = [Remembered(entry, Slot(1, number)) for number, entry in enumerate(entries, 1)]
    await backend.list.restore(rows, whole=True, patience=LONG)
    await backend.pass_time(0.1)
    await backend.list.watch(["back"])
    await backend.pass_time(0.1)
    assert (await backend.list.sweep(0.05)).abandoned == ["back"]  # it has come, and left again


async def test_more_than_one_call_restores(make_backend: MakeBackend) -> None:
    backend = make_backend()
    await backend.beat()
    entries = [Entry(f"r{number}", f"o{number}", "", "", 64) for number in range(1200)]
    rows = [Remembered(entry, Slot(1, number)) for number, entry in enumerate(entries, 1)]
    await backend.list.restore(rows[::-1], whole=True)
    snapshot = await backend.list.snapshot()
    assert [row.response_id for row in snapshot.waiting] == [entry.response_id for entry in entries]


async def test_a_list_in_memory_begins_lost() -> None:
    backend = MemoryBackend()
    assert backend.list.is_lost
    assert not await backend.list.is_restored()
    await backend.list.restore([], whole=False)
    assert backend.list.is_lost
    await backend.list.restore([], whole=True)
    assert await backend.list.is_restored()
    backend.list.forget()  # type: ignore[attr-defined]
    assert backend.list.is_lost


async def test_a_shared_list_that_is_lost_takes_nobody_before_those_who_waited(
    empty_valkey: Valkey,
) -> None:
    async def site() -> str:
        return "ours"

    backend = RedisBackend(empty_valkey.url, site=site)
    await backend.beat(capacity=1)
    assert not await backend.list.is_restored()
    with pytest.raises(ListLost):
        await backend.ask("newcomer")
    with pytest.raises(ListLost):
        await backend.list.claim("w1", LONG)
    waited = [
        Remembered(Entry(name, name, "", "", 64), Slot(1, at)) for at, name in enumerate("ab")
    ]
    await backend.list.restore(waited[1:], whole=False)
    with pytest.raises(ListLost):
        await backend.list.enqueue(Entry("n", "n", "c"), AdmissionLimits(9))
    await backend.list.restore(waited, whole=True)
    assert await backend.list.is_restored()
    await backend.ask("newcomer")
    assert await backend.positions("a", "b", "newcomer") == [1, 2, 3]
    assert (await backend.claim()).lease.response_id == "a"
    await backend.close()


@pytest.mark.parametrize("slot", [Slot(1, 1), Slot(-3, 17, moved=True), Slot(10**13, 10**14)])
def test_a_slot_as_text(slot: Slot) -> None:
    assert Slot.parse(slot.text) == slot
    assert Slot.parse("") is None
    with pytest.raises(ValueError, match="unpack"):
        Slot.parse("1:2")
