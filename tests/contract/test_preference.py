"""A waiting response is left to the worker that holds its prefix, where that costs nobody anything:
any sequence of operations, against the rules as people would tell them and against the model."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from redis import Redis

from streaming.waiting_list.interface import Claim, Edge, Reserved, State, Withdrawal, WorkerState
from tests.contract.backends import DONE, LONG, Backend, MemoryBackend, RedisBackend
from tests.contract.model import LEFT, Model, ModelWorker
from tests.contract.test_against_model import run
from tests.support.valkey import Valkey

NAMES = ("w1", "w2", "w3")
WORKERS = st.sampled_from(NAMES)
CONVERSATIONS = "abcdef"
PREFIXES = 3

events: Counter[str] = Counter()
"""What happened in all examples together: a machine that never gets there tests nothing."""


class Machine(RuleBasedStateMachine):
    """`promised`: to whom an entry was left that waits still, from when it was first passed over.
    `passed`: what a worker saw when all was left to others; `due`: that, once the time is over.
    `prompt`: the workers that have claimed since, while nobody took what one had not come for."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = Model()
        self.claims: list[Claim] = []
        self.promised: dict[str, str] = {}
        self.passed: dict[str, set[str]] = {name: set() for name in NAMES}
        self.due: dict[str, set[str]] = {name: set() for name in NAMES}
        self.prompt: set[str] = set()
        self.backend = self.make_backend()

    def make_backend(self) -> Backend:
        return MemoryBackend()

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    def teardown(self) -> None:
        self.run(self.backend.close())
        self.runner.close()

    @initialize(
        holders=st.lists(WORKERS, min_size=6, max_size=6),
        capacities=st.lists(st.integers(1, 3), min_size=3, max_size=3),
        crowd=st.lists(st.sampled_from(["", *CONVERSATIONS]), min_size=2, max_size=8),
        first=WORKERS,
    )
    def every_conversation_has_had_a_turn(
        self, holders: list[str], capacities: list[int], crowd: list[str], first: str
    ) -> None:
        """And some have asked again, or most examples would end before anything was left."""
        for worker, capacity in zip(NAMES, capacities, strict=True):
            self.beat(worker, capacity, True)
        for conversation, worker in zip(CONVERSATIONS, holders, strict=True):
            self.ask(conversation, "z")
            self.claim(worker)
            self.finish(0)
        self.some_ask(crowd, "x")
        self.claim(first)

    # What people and workers do

    @rule(
        conversations=st.lists(st.sampled_from(["", *CONVERSATIONS]), min_size=1, max_size=4),
        owner=st.sampled_from("xyz"),
    )
    def some_ask(self, conversations: list[str], owner: str) -> None:
        for conversation in conversations:
            self.ask(conversation, owner)

    @rule(workers=st.lists(WORKERS, min_size=1, max_size=4))
    def some_claim(self, workers: list[str]) -> None:
        for worker in workers:
            self.claim(worker)

    @rule(count=st.integers(1, 3))
    def some_finish(self, count: int) -> None:
        for _ in self.claims[:count]:
            self.finish(0)

    # What is rarer: one rule, lest most examples be made of it

    @rule(data=st.data(), worker=WORKERS, which=st.integers(0, 5))
    def disturb(self, data: st.DataObject, worker: str, which: int) -> None:
        kinds = ("release", "beat", "die", "pause", "unpause", "retire", "move", "withdraw")
        match data.draw(st.sampled_from(kinds)):
            case "release" if self.claims:
                self.release(which)
            case "beat":
                self.beat(worker, 1 + which % 3, True)
            case "die":
                self.beat(worker, 1, False)
            case "pause":
                self.switch(worker if which else None, True)
            case "unpause":
                self.switch(worker if which else None, False)
            case "retire":
                self.retire(worker)
            case "move":
                self.move(which, data.draw(st.sampled_from(Edge)))
            case "withdraw":
                self.withdraw(which)

    @rule(worker=st.sampled_from([None, *NAMES]))
    def serve_again(self, worker: str | None) -> None:
        """Or most workers would be away for most of the time."""
        self.switch(worker, False)
        if worker and not (worker in self.model.workers and self.model.workers[worker].alive):
            self.beat(worker, 2, True)

    def ask(self, conversation: str, owner: str) -> None:
        name = f"r{len(self.model.entries)}"
        self.model.enqueue(name, owner, conversation, "")
        self.run(self.backend.ask(name, owner, conversation, readmit=True))

    def finish(self, which: int) -> None:
        claim = self.claims.pop(which % len(self.claims))
        entry = self.model.entries[claim.entry.response_id]
        self.model.hold(entry)
        self.model.end(entry)
        assert self.run(self.backend.list.finish(claim.lease, DONE)) is not None

    def release(self, which: int) -> None:
        claim = self.claims.pop(which % len(self.claims))
        self.model.give_back(self.model.entries[claim.entry.response_id], forgive=True)
        assert self.run(self.backend.list.release(claim.lease))

    def beat(self, worker: str, capacity: int, alive: bool) -> None:
        ready = WorkerState.READY
        known = self.model.workers.setdefault(worker, ModelWorker(capacity, ready))
        known.told, known.alive, known.prefixes = capacity, alive, PREFIXES
        ttl = LONG if alive else 0.001
        self.run(self.backend.beat(worker, capacity, ready, ttl, PREFIXES))
        if not alive:
            self.run(self.backend.pass_time(0.005))

    def switch(self, worker: str | None, paused: bool) -> None:
        if worker is None:
            self.model.paused = paused
        elif worker in self.model.workers:
            self.model.workers[worker].paused = paused
        kept = self.backend.list
        self.run((kept.pause if paused else kept.unpause)(worker))

    def retire(self, worker: str) -> None:
        self.claims = [claim for claim in self.claims if claim.lease.worker_id != worker]
        for entry in self.model.open().values():
            if entry.worker == worker:
                self.model.give_back(entry, forgive=True)
        self.model.forget(worker)
        self.nobody_waits_for(worker)
        self.run(self.backend.list.retire(worker))

    def move(self, which: int, edge: Edge) -> None:
        if order := self.model.order():
            name = order[which % len(order)]
            self.promised.pop(name, None)
            assert self.model.move(name, edge)
            assert self.run(self.backend.list.move(name, edge))

    def withdraw(self, which: int) -> None:
        if waiting := self.waiting():
            name = waiting[which % len(waiting)]
            self.promised.pop(name, None)
            self.model.end(self.model.entries[name])
            answer = self.run(self.backend.list.withdraw(name, DONE))
            assert answer is Withdrawal.WITHDRAWN

    @rule()
    def lapse(self) -> None:
        self.model.lapse()
        self.run(self.backend.lapse())
        self.promised.clear()
        self.prompt.clear()
        self.due, self.passed = self.passed, {name: set() for name in NAMES}

    def claim(self, worker: str) -> None:
        waiting = self.waiting()
        mine = [name for name in waiting if self.promised.get(name) == worker]
        free = {name: self.model.free(name) for name in NAMES}
        left_before = {name for name in waiting if self.model.entries[name].left}
        holders = {name: self.holder(name) for name in waiting}
        expected = self.model.claim(worker)
        claim = self.run(self.backend.list.claim(worker, LONG))
        got = claim.entry.response_id if isinstance(claim, Claim) else None
        if not free[worker] or not waiting:
            assert claim is expected is None
            return
        self.prompt.add(worker)
        if mine:
            assert got in mine  # the place is theirs, whoever came before them since
            events["what was left to it"] += 1
        else:
            passed = waiting[: waiting.index(got)] if got else waiting
            self.nobody_is_overtaken_without_a_place(worker, passed, left_before, holders, free)
            if got:
                self.the_holder_is_preferred(worker, got, left_before, holders, free)
                events["overtook"] += bool(passed)
        if got is None:
            assert isinstance(claim, Reserved)
            assert claim.seconds > 0
            self.no_place_is_idle(worker, waiting)
            events["left all"] += 1
            assert expected == LEFT
            return
        assert got == expected
        if got in left_before and got not in self.promised:
            self.prompt.clear()
        self.claims.append(claim)
        self.promised.pop(got, None)
        for seen in (*self.passed.values(), *self.due.values()):
            seen.discard(got)

    # What must hold

    def nobody_is_overtaken_without_a_place(
        self,
        worker: str,
        passed: list[str],
        left_before: set[str],
        holders: dict[str, str],
        free: dict[str, int],
    ) -> None:
        """Each that is passed over has a place of its own, on the worker that holds its prefix."""
        for name in passed:
            if name in left_before:
                assert name in self.promised, f"{name} is left a second time"
            else:
                self.promised[name] = holders[name]
            assert self.promised[name] not in ("", worker)
        promised = Counter(self.promised.values())
        for to in {self.promised[name] for name in passed}:
            assert promised[to] <= free[to], f"{promised[to]} are left to {to}"

    def the_holder_is_preferred(
        self,
        worker: str,
        got: str,
        left_before: set[str],
        holders: dict[str, str],
        free: dict[str, int],
    ) -> None:
        """One that comes when it is called is left what it holds, if it has a place for it."""
        holder = holders[got]
        if holder in ("", worker) or got in left_before or holder not in self.prompt:
            return
        promised = Counter(self.promised.values())
        assert promised[holder] >= free[holder], f"{worker} took {got} from {holder}"
        events["took what its holder had no place for"] += 1

    def no_place_is_idle(self, worker: str, waiting: list[str]) -> None:
        """Who found all left to others gets what is still there when the time is over."""
        assert not self.due[worker] & set(waiting)
        self.passed[worker] |= set(waiting)

    @invariant()
    def agrees(self) -> None:
        rows = self.run(self.backend.list.snapshot()).waiting
        waiting = [row.response_id for row in rows if row.state is State.WAITING]
        assert waiting == self.waiting()
        # Workers that are gone are forgotten by the sweep at the latest.
        self.run(self.backend.list.sweep(LONG * 1000))
        for worker in [name for name, known in self.model.workers.items() if not known.alive]:
            self.nobody_waits_for(worker)
        self.model.sweep()
        assert self.run(self.backend.remembered()) == len(self.model.holders)

    def nobody_waits_for(self, worker: str) -> None:
        """It is gone."""
        for name in [name for name, to in self.promised.items() if to == worker]:
            del self.promised[name]

    def waiting(self) -> list[str]:
        return self.model.returned() + self.model.order()

    def holder(self, name: str) -> str:
        return self.model.holders.get(self.model.entries[name].conversation, "")


EVENTS = {"what was left to it", "overtook", "left all", "took what its holder had no place for"}


def test_what_is_left_to_whom_in_memory() -> None:
    events.clear()
    run(Machine, examples=200, steps=40)
    assert set(events) >= EVENTS


def test_what_is_left_to_whom_in_redis(empty_valkey: Valkey) -> None:
    class RedisMachine(Machine):
        def make_backend(self) -> Backend:
            with Redis.from_url(empty_valkey.url) as client:
                client.flushall()
            return RedisBackend(empty_valkey.url)

    run(RedisMachine, examples=40, steps=35)
