"""Fair shares: nobody is held up by somebody else's hundred prompts, and nobody moves back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from streaming.waiting_list.interface import Claim, State, Withdrawal, WorkerState
from tests.contract.backends import DONE, LONG, ROOMY, Backend, MemoryBackend, RedisBackend
from tests.contract.conftest import MakeBackend
from tests.contract.model import Model, ModelWorker
from tests.support.valkey import Valkey

HUNGRY = [f"hungry{n}" for n in range(100)]
MODEST = [f"modest{n}" for n in range(9)]


async def ask_all(backend: Backend, owner: str, names: list[str]) -> None:
    for name in names:
        await backend.ask(name, owner)


async def serve_one(backend: Backend) -> str:
    claim = await backend.claim()
    await backend.list.finish(claim.lease, DONE)
    return claim.entry.response_id


async def served(backend: Backend, count: int) -> list[str]:
    return [await serve_one(backend) for _ in range(count)]


@pytest.mark.parametrize("served_before", [0, 30])
async def test_a_hundred_prompts_hold_up_nobody(backend: Backend, served_before: int) -> None:
    """One owner with 100 waiting; then nine come with one prompt each."""
    await backend.beat(capacity=1)
    await ask_all(backend, "hungry", HUNGRY)
    order = await served(backend, served_before)
    for name in MODEST:
        await backend.ask(name)
    assert await backend.positions(*MODEST) == list(range(2, 11))
    order += await served(backend, 109 - served_before)
    print(f"\n{backend.name}, nine come after {served_before} claims:", *order[served_before:][:20])
    assert order[served_before : served_before + 10] == [HUNGRY[served_before], *MODEST]
    assert [name for name in order if name in HUNGRY] == HUNGRY


async def test_owners_take_turns(backend: Backend) -> None:
    await backend.beat(capacity=1)
    for owner, count in (("a", 4), ("b", 2), ("c", 3)):
        await ask_all(backend, owner, [f"{owner}{n}" for n in range(count)])
    order = await served(backend, 2)
    await ask_all(backend, "d", ["d0", "d1"])
    order += await served(backend, 9)
    assert order == ["a0", "b0", "c0", "a1", "b1", "c1", "d0", "a2", "c2", "d1", "a3"]


async def test_a_withdrawn_entry_leaves_its_place_to_its_owners_next(backend: Backend) -> None:
    await backend.beat(capacity=1)
    await ask_all(backend, "a", ["a0", "a1", "a2"])
    await ask_all(backend, "b", ["b0", "b1"])
    assert await backend.positions("a0", "b0", "a1", "b1", "a2") == [1, 2, 3, 4, 5]
    assert await backend.list.withdraw("a0", DONE) is Withdrawal.WITHDRAWN
    assert await backend.positions("a1", "b0", "a2", "b1") == [1, 2, 3, 4]
    await backend.ask("a3", "a")  # the owner's last tag has stepped back
    assert await backend.positions("a1", "b0", "a2", "b1", "a3") == [1, 2, 3, 4, 5]
    await backend.list.withdraw("a3", DONE)
    await backend.ask("c0", "c")
    assert await backend.positions("a1", "b0", "c0", "a2", "b1") == [1, 2, 3, 4, 5]


async def test_coming_and_going_gains_nothing(backend: Backend) -> None:
    await backend.beat(capacity=1)
    await ask_all(backend, "a", ["a0", "a1"])
    await backend.ask("b0", "b")
    for n in range(5):
        await backend.ask(f"gone{n}", "a")
        await backend.list.withdraw(f"gone{n}", DONE)
    await backend.ask("c0", "c")
    assert await served(backend, 4) == ["a0", "b0", "c0", "a1"]


async def test_what_came_back_leaves_no_place_behind(backend: Backend) -> None:
    """It had its turn: were its place inherited, somebody at position 1 would move back."""
    await backend.beat(capacity=1)
    await ask_all(backend, "a", ["a0", "a1"])
    claim = await backend.claim()
    await backend.ask("b0", "b")
    await backend.list.release(claim.lease)
    assert await backend.positions("a0", "a1", "b0") == [None, 1, 2]
    await backend.list.withdraw("a0", DONE)
    assert await backend.positions("a1", "b0") == [1, 2]
    assert await served(backend, 2) == ["a1", "b0"]


async def test_a_held_one_gets_its_share_when_it_enters_the_order(backend: Backend) -> None:
    await backend.beat(capacity=1)
    await backend.ask("c1", "a", "c")
    await backend.ask("c2", "a", "c")
    await ask_all(backend, "b", ["b0", "b1"])
    first = await backend.claim()
    await backend.ask("d0", "d")
    assert await backend.positions("b0", "b1", "d0") == [1, 2, 3]
    await backend.list.finish(first.lease, DONE)
    assert await backend.positions("b0", "b1", "d0", "c2") == [1, 2, 3, 4]


async def test_an_idle_owner_saves_nothing_up(backend: Backend) -> None:
    await backend.beat(capacity=1)
    await backend.ask("b0", "b")
    await ask_all(backend, "a", [f"a{n}" for n in range(10)])
    await served(backend, 6)
    await ask_all(backend, "b", ["b1", "b2", "b3"])
    assert await served(backend, 6) == ["a5", "b1", "a6", "b2", "a7", "b3"]


async def test_owners_who_come_and_go_leave_nothing_behind(make_backend: MakeBackend) -> None:
    backend = make_backend(done_log_seconds=0.01)
    await backend.beat(capacity=1)
    for n in range(60):
        await ask_all(backend, f"o{n}", [f"o{n}-{m}" for m in range(3)])
        await backend.list.withdraw(f"o{n}-{n % 3}", DONE)
        await served(backend, 1)
    await served(backend, 60)
    assert await backend.list.claim("w1", LONG) is None
    await backend.pass_time(0.02)
    assert await backend.remains() == set()


OWNERS = st.sampled_from("aaabbcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["ask", "ask", "ask in c"]), OWNERS),
        st.tuples(
            st.sampled_from(["claim", "claim", "finish", "finish", "release", "expire"]),
            st.integers(0, 20),
        ),
        st.tuples(st.just("withdraw"), st.integers(0, 20)),
    ),
    max_size=50,
)


class Walk:
    """Takes a list through steps beside the model, and looks at all positions after each."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.model = Model()
        self.model.workers["w1"] = ModelWorker(3, WorkerState.READY)
        self.claims: list[Claim] = []
        self.heads: dict[str, int] = {}

    async def walk(self, steps: list[tuple[str, str | int]]) -> None:
        await self.backend.beat("w1", 3)
        for kind, which in steps:
            await self.take(kind, which)
            await self.look()
        await self.backend.close()

    async def take(self, kind: str, which: str | int) -> None:
        kept, model = self.backend.list, self.model
        if isinstance(which, str):
            name, conversation = f"r{len(model.entries)}", "c" * (kind == "ask in c")
            model.enqueue(name, which, conversation, "")
            await self.backend.ask(name, which, conversation)
        elif kind == "claim":
            claim = await kept.claim("w1", LONG)
            assert (claim and claim.entry.response_id) == model.claim("w1")
            if claim:
                self.claims.append(claim)
        elif kind == "withdraw" and model.open():
            name = list(model.open())[which % len(model.open())]
            entry = model.entries[name]
            if await kept.withdraw(name, DONE) is Withdrawal.RUNNING:
                entry.cancelled = True
            else:
                model.end(entry)
        elif self.claims:
            claim = self.claims.pop(which % len(self.claims))
            entry = model.entries[claim.entry.response_id]
            if kind == "finish":
                await kept.finish(claim.lease, DONE)
                model.end(entry)
            elif kind == "release":
                await kept.release(claim.lease)
                model.give_back(entry, forgive=True)
            else:
                await self.backend.expire(claim)
                await kept.sweep(LONG)
                model.give_back(entry, forgive=False)

    async def look(self) -> None:
        watch = await self.backend.list.watch(list(self.model.entries))
        places = {name: seen.position for name, seen in watch.responses.items() if seen.position}
        assert places == {name: n for n, name in enumerate(self.model.order(), 1)}
        for name, before in self.heads.items():
            assert places.get(name, 0) <= before, f"{name}: {before} -> {places[name]}"
        self.heads = {name: places[name] for name in self.model.heads().values()}
        assert all(
            seen.state is self.model.entries[name].state for name, seen in watch.responses.items()
        )
        assert all(seen.state is not State.UNKNOWN for seen in watch.responses.values())


def check_walks(make: Callable[[], Backend], examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(STEPS)
    def walks(steps: list[tuple[str, str | int]]) -> None:
        asyncio.run(Walk(make()).walk(steps))

    walks()


def test_nobody_moves_backward_in_memory() -> None:
    check_walks(MemoryBackend, examples=500)


def test_nobody_moves_backward_in_redis(empty_valkey: Valkey) -> None:
    def make() -> Backend:
        with Redis.from_url(empty_valkey.url) as client:
            client.flushall()
        return RedisBackend(empty_valkey.url)

    check_walks(make, examples=150)


async def test_what_a_thousand_waiting_cost(backend: Backend) -> None:
    """Prints, and asserts only that it all came out right."""
    await backend.beat(capacity=1)
    names = [f"r{n}" for n in range(1000)]
    costs: dict[str, float] = {}

    async def timed(what: str, count: int, call: Callable[[int], object]) -> None:
        begin = time.perf_counter()
        for n in range(count):
            await call(n)  # type: ignore[misc]
        costs[what] = (time.perf_counter() - begin) / count * 1e6

    await timed("enqueue", 1000, lambda n: backend.ask(names[n], f"o{n % 50}", limits=ROOMY))
    await timed("place", 200, lambda n: backend.list.place(names[n * 5]))
    await timed("watch of 100", 20, lambda n: backend.list.watch(names[n * 50 : n * 50 + 100]))
    await timed("load", 20, lambda n: backend.list.load())
    await timed("withdraw, 20 each", 50, lambda n: backend.list.withdraw(names[n], DONE))
    await timed("claim and finish", 100, lambda n: serve_one(backend))
    await ask_all(backend, "hungry", [f"h{n}" for n in range(100)])
    await timed("withdraw the 1st of 100", 5, lambda n: backend.list.withdraw(f"h{n}", DONE))
    print(f"\n{backend.name}, µs:", *(f"{what} {cost:.0f};" for what, cost in costs.items()))
    left = [name for name in names if await backend.state(name) is State.WAITING]
    assert len(left) == 850
    positions = await backend.positions(*random.sample(left, 20))
    assert len(set(positions)) == 20
