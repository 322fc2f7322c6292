"""Any sequence of operations that hypothesis finds, against the plain model."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine
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
    REFUSALS,
    AdmissionLimits,
    Edge,
    Lease,
    Orders,
    Reserved,
    State,
    WaitingListError,
    Withdrawal,
    WorkerState,
    WrongNumber,
)
from tests.contract.backends import (
    DELTA,
    DONE,
    LONG,
    ROOMY,
    Backend,
    MemoryBackend,
    RedisBackend,
)
from tests.contract.model import LEFT, Model, ModelWorker
from tests.support.valkey import Valkey

BACK = st.integers(1, 6)
"""Which response: the last one accepted, the one before it, and so on."""
WORKERS = st.sampled_from(["w1", "w2"])
LIMITS = st.builds(
    AdmissionLimits,
    max_waiting=st.sampled_from([0, 1, 3, 20]),
    max_per_owner=st.sampled_from([0, 0, 2]),
    max_per_address=st.sampled_from([0, 0, 3]),
)


class Machine(RuleBasedStateMachine):
    backend: Backend

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = Model()
        self.leases: list[Lease] = []
        self.positions: dict[str, int] = {}  # as the list itself tells them
        self.safe: dict[str, int] = {}
        self.backend = self.make_backend()

    def make_backend(self) -> Backend:
        return MemoryBackend()

    @initialize(capacity=st.integers(1, 4), owners=st.lists(st.sampled_from("aab"), max_size=5))
    def a_worker_and_a_crowd_come_first(self, capacity: int, owners: list[str]) -> None:
        """Or most examples would end before anything ran."""
        self.beat("w1", capacity, WorkerState.READY, True)
        for owner in owners:
            self.enqueue(0, owner, "", "", ROOMY, False)

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    def teardown(self) -> None:
        self.run(self.backend.close())
        self.runner.close()

    @rule(
        again=st.sampled_from([0, 0, 0, 0, 0, 1, 3]),
        owner=st.sampled_from("aabc"),
        conversation=st.sampled_from(["", "", "c", "d", "e"]),
        address=st.sampled_from(["", "1", "2"]),
        limits=LIMITS,
        readmit=st.sampled_from([False, False, False, True]),
    )
    def enqueue(
        self,
        again: int,
        owner: str,
        conversation: str,
        address: str,
        limits: AdmissionLimits,
        readmit: bool,
    ) -> None:
        name = self.name(again) if again else f"r{len(self.model.entries)}"
        known = name in self.model.entries
        refused = None
        if not known and not readmit:
            needs_worker = self.backend.capacity_needed
            refused = self.model.refused(owner, address, limits, needs_worker)
        if not known and not readmit:
            self.model.counted[refused or "accepted"] += 1
        if not known and not refused:
            self.model.enqueue(name, owner, conversation, address)
        call = self.backend.ask(name, owner, conversation, address, limits, readmit=readmit)
        if refused:
            with pytest.raises(WaitingListError) as refusal:
                self.run(call)
            assert refusal.value.code == refused
            if refused == "queue_closed":
                assert str(refusal.value) == self.model.closed
            return
        place = self.run(call)
        assert place.created is not known
        assert place.state is self.model.entries[name].state
        assert place.position == self.model.position(name)
        assert place.size == len(self.model.order())

    @rule(
        worker=WORKERS,
        capacity=st.integers(1, 3),
        state=st.sampled_from([*[WorkerState.READY] * 6, *WorkerState]),
        alive=st.sampled_from([True] * 5 + [False]),
        prefixes=st.sampled_from([0, 1, 2, 2, 2]),
    )
    def beat(
        self, worker: str, capacity: int, state: WorkerState, alive: bool, prefixes: int = 2
    ) -> None:
        known = self.model.workers.setdefault(worker, ModelWorker(capacity, state))
        known.told, known.says, known.alive = capacity, state, alive
        known.prefixes = prefixes
        ttl = LONG if alive else 0.001
        orders = self.run(self.backend.beat(worker, capacity, state, ttl, prefixes))
        assert orders == Orders(known.ordered, known.drain)
        if not alive:
            self.run(self.backend.pass_time(0.005))

    @rule(worker=WORKERS)
    def claim(self, worker: str) -> None:
        expected = self.model.claim(worker)
        claim = self.run(self.backend.list.claim(worker, LONG))
        if expected is LEFT:
            assert isinstance(claim, Reserved)
            assert claim.seconds > 0
            return
        assert not isinstance(claim, Reserved)
        assert (claim and claim.entry.response_id) == expected
        if claim:
            entry = self.model.entries[claim.entry.response_id]
            assert (claim.attempt, claim.last_sequence) == (entry.attempt, entry.events)
            assert claim.tokens == tuple(entry.tokens)
            assert claim.entry.owner == entry.owner
            assert all(claim.lease.token > lease.token for lease in self.leases)
            self.leases.append(claim.lease)

    @precondition(lambda self: self.leases)
    @rule(
        data=st.data(),
        tokens=st.lists(st.integers(0, 200_000), max_size=3),
        numbers=st.sampled_from([None, None, 1, 1, 0, -1, -2, 2]),
    )
    def append(self, data: st.DataObject, tokens: list[int], numbers: int | None) -> None:
        """`numbers`: how far from the end of the log the expected number is."""
        chosen = self.choose(data)
        entry = self.model.speaker(chosen)
        tail = self.model.entries[self.model.leases[chosen]].events
        number = None if numbers is None else max(1, tail + numbers)
        call = self.backend.list.append(self.leases[chosen], DELTA, tokens, number)
        if entry is None:
            assert self.run(call) is None
        elif number is None or number == tail + 1:
            entry.events += 1
            entry.tokens += tokens
            self.model.counted["tokens"] += len(tokens)
            assert self.run(call) == entry.events
        elif entry.events_before < number <= tail:
            assert self.run(call) == number
        else:
            with pytest.raises(WrongNumber):
                self.run(call)

    @precondition(lambda self: self.leases)
    @rule(
        data=st.data(),
        numbers=st.sampled_from([None, 1, 1, 0, 2]),
        counted=st.sampled_from([True, True, False]),
    )
    def finish(self, data: st.DataObject, numbers: int | None, counted: bool) -> None:
        chosen = self.choose(data)
        lease = self.leases[chosen]
        entry = self.model.speaker(chosen)
        ended = self.model.entries[self.model.leases[chosen]]
        number = None if numbers is None else ended.events + numbers
        call = self.backend.list.finish(lease, DONE, number, counted=counted)
        if entry is None:
            again = ended.ended_by == chosen and numbers == 0
            assert self.run(call) == (number if again else None)
        elif numbers in (None, 1):
            if counted and not entry.events_before:
                self.model.recent.append(len(entry.tokens))
            self.model.hold(entry)
            self.model.end(entry)
            entry.ended_by = chosen
            assert self.run(call) == entry.events
            # Somebody who lost the answer asks once more.
            assert self.run(self.backend.list.finish(lease, DONE, entry.events)) == entry.events
        else:
            with pytest.raises(WrongNumber):
                self.run(call)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        chosen = self.choose(data)
        entry = self.model.speaker(chosen)
        forgive = data.draw(st.booleans())
        if entry:
            self.model.give_back(entry, forgive=forgive)
        released = self.run(self.backend.list.release(self.leases[chosen], forgive=forgive))
        assert released is bool(entry)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), worker=WORKERS)
    def renew(self, data: st.DataObject, worker: str) -> None:
        chosen = self.choose(data)
        entry = self.model.speaker(chosen)
        if entry and entry.worker != worker:
            entry = None
        name = self.model.leases[chosen]
        renewal = self.run(self.backend.list.renew(worker, [self.leases[chosen]], LONG))
        assert renewal.held == ({name} if entry else set())
        assert renewal.lost == (set() if entry else {name})
        assert renewal.cancelled == ({name} if entry and entry.cancelled else set())

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        chosen = self.choose(data)
        entry = self.model.speaker(chosen)
        if entry:
            entry.expired = True
            lease = self.leases[chosen]
            self.run(self.backend.list.renew(lease.worker_id, [lease], 0.001))
            self.run(self.backend.pass_time(0.005))
            assert self.run(self.backend.list.append(lease, DELTA)) is None  # swept or not

    def choose(self, data: st.DataObject) -> int:
        """Mostly a recent lease, now and then one that is long over."""
        back = data.draw(st.integers(1, len(self.leases)))
        return len(self.leases) - back

    def name(self, back: int) -> str:
        return f"r{max(0, len(self.model.entries) - back)}"

    @rule(back=BACK)
    def withdraw(self, back: int) -> None:
        name = self.name(back)
        entry = self.model.open().get(name)
        expected = Withdrawal.GONE
        if entry and entry.state is State.RUNNING:
            entry.cancelled, expected = True, Withdrawal.RUNNING
        elif entry:
            self.model.end(entry)
            expected = Withdrawal.WITHDRAWN
        assert self.run(self.backend.list.withdraw(name, DONE)) is expected

    @rule(worker=WORKERS)
    def retire(self, worker: str) -> None:
        for entry in self.model.open().values():
            if entry.worker == worker:
                self.model.give_back(entry, forgive=True)
        self.model.forget(worker)
        self.run(self.backend.list.retire(worker))

    @rule(
        worker=st.sampled_from([None, "w1", "w2"]),
        paused=st.sampled_from([True, False, False, False]),
    )
    def switch(self, worker: str | None, paused: bool) -> None:
        known = True
        if worker is None:
            self.model.paused = paused
        elif worker in self.model.workers:
            self.model.workers[worker].paused = paused
        else:
            known = False
        kept = self.backend.list
        assert self.run((kept.pause if paused else kept.unpause)(worker)) is known

    @rule()
    def lapse(self) -> None:
        """What was left to workers is so no longer."""
        self.model.lapse()
        self.run(self.backend.lapse())

    @rule(back=BACK, edge=st.sampled_from(Edge))
    def move(self, back: int, edge: Edge) -> None:
        name = self.name(back)
        others = [other for other in self.model.order() if other != name]
        moved = self.model.move(name, edge)
        assert self.run(self.backend.list.move(name, edge)) is moved
        if moved:  # and nobody else
            order = [name, *others] if edge is Edge.FRONT else [*others, name]
            assert self.model.order() == order
            self.safe.clear()

    @rule(message=st.sampled_from([None, None, None, None, "Back at noon.", "Später"]))
    def close(self, message: str | None) -> None:
        self.model.closed = message
        kept = self.backend.list
        self.run(kept.reopen() if message is None else kept.close(message))

    @rule(
        worker=WORKERS,
        capacity=st.sampled_from([None, 0, 1, 2, 5]),
        drain=st.sampled_from([None, False, False, True]),
    )
    def order(self, worker: str, capacity: int | None, drain: bool | None) -> None:
        known = self.model.workers.get(worker)
        if known and capacity is not None:
            known.ordered = capacity
        if known and drain is not None:
            known.drain = drain
        call = self.backend.list.order(worker, capacity=capacity, drain=drain)
        assert self.run(call) is (known is not None)

    @rule()
    def sweep(self) -> None:
        returned, exhausted, cancelled = self.model.sweep()
        unclaimed = {name for name, entry in self.model.open().items() if not entry.claimed}
        sweep = self.run(self.backend.list.sweep(LONG * 1000, 0))
        assert set(sweep.overdue) == unclaimed
        assert (set(sweep.returned), set(sweep.exhausted)) == (returned, exhausted)
        assert set(sweep.abandoned) == set(sweep.cancelled) == cancelled
        assert sweep.unwatched == []

    @invariant()
    def agrees(self) -> None:
        self.run(self.check())
        self.nobody_moves_backward()

    def nobody_moves_backward(self) -> None:
        """The first of an owner's entries, and so the only one, never sees its position grow,
        but by an operator's move."""
        for name, position in self.safe.items():
            now = self.positions.get(name)
            assert now is None or now <= position, f"{name}: {position} -> {now}"
        self.safe = {name: self.positions[name] for name in self.model.safe()}

    async def check(self) -> None:
        model, names = self.model, list(self.model.entries)
        watch = await self.backend.list.watch(names)
        assert watch.size == len(model.order())
        assert watch.workers == len(model.serving())
        for name, entry in model.entries.items():
            seen = watch.responses[name]
            assert (seen.state, seen.position) == (entry.state, model.position(name))
            if seen.position is None:
                self.positions.pop(name, None)
            else:
                self.positions[name] = seen.position
            events = [json.loads(event) for event in await self.backend.list.read(name)]
            assert seen.last_sequence == entry.events == len(events)
            assert [event["sequence_number"] for event in events] == [*range(1, len(events) + 1)]
            ends = [event["type"] for event in events].count("done")
            assert ends == (entry.state is State.DONE)  # one terminal event, and it is the last
            assert not ends or events[-1]["type"] == "done"
        assert await self.backend.list.known(names) == set(model.open())
        snapshot = await self.backend.list.snapshot()
        waiting = [row.response_id for row in snapshot.waiting if row.state is State.WAITING]
        firsts = model.returned() + model.order()
        assert waiting[: len(firsts)] == firsts
        rows = snapshot.running + snapshot.waiting
        assert {row.response_id for row in rows} == set(model.open())
        assert len(rows) == len(model.open())
        running = Counter(row.worker_id for row in snapshot.running)
        assert snapshot.paused is model.paused
        assert snapshot.closed == model.closed == await self.backend.list.closed()
        for worker in snapshot.workers:
            expected = model.workers[worker.worker_id]
            assert worker.running == running[worker.worker_id]
            assert worker.paused is expected.paused
            assert (worker.capacity, worker.state) == (expected.capacity, expected.state)
            assert worker.orders == Orders(expected.ordered, expected.drain)
        load = await self.backend.list.load()
        assert [name for name, _ in load.waiting] == firsts
        assert {
            row.response_id: (row.worker_id, row.tokens, row.resumed) for row in load.running
        } == {
            name: (entry.worker, len(entry.tokens), entry.tokens_before)
            for name, entry in model.open().items()
            if entry.state is State.RUNNING
        }
        assert load.capacities == {
            name: worker.capacity
            for name, worker in model.workers.items()
            if worker in model.serving() and not (model.paused or worker.paused)
        }
        assert [tokens for tokens, *_ in load.recent] == model.recent
        assert load.before_newcomer == model.before_newcomer()
        await self.check_counters()
        assert await self.backend.remembered() == len(model.holders)
        owners, addresses = await self.backend.counted()
        present = model.open().values()
        assert owners == Counter(entry.owner for entry in present)
        assert addresses == Counter(entry.address for entry in present if entry.address)

    async def check_counters(self) -> None:
        model, counters = self.model, await self.backend.list.counters()
        present = model.open().values()
        assert counters.running == sum(entry.state is State.RUNNING for entry in present)
        assert counters.waiting == len(present) - counters.running
        assert counters.workers == len(model.serving())
        assert counters.capacity == sum(worker.capacity for worker in model.serving())
        assert counters.accepted == model.counted["accepted"]
        assert counters.rejected == {code: model.counted[code] for code in REFUSALS}
        assert counters.tokens == model.counted["tokens"]
        assert len(counters.waits) == sum(entry.claimed for entry in model.entries.values())


def run(machine: Any, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_memory_agrees_with_the_model() -> None:
    run(Machine, examples=150, steps=45)


def test_redis_agrees_with_the_model(empty_valkey: Valkey) -> None:
    class RedisMachine(Machine):
        def make_backend(self) -> Backend:
            with Redis.from_url(empty_valkey.url) as client:
                client.flushall()
            return RedisBackend(empty_valkey.url)

    run(RedisMachine, examples=35, steps=40)
