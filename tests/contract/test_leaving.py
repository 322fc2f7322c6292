"""What is left to the worker that holds its prefix, case by case."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from streaming.waiting_list.interface import WORKERS_GROUP, Claim, Edge, Reserved, WorkerState
from streaming.waiting_list.memory.cache_affinity import LOOK_AHEAD, PREFIXES_KEPT, RESERVED_SECONDS
from tests.contract.backends import DONE, LONG, Backend
from tests.contract.conftest import MakeBackend


async def two_workers(backend: Backend, *conversations: str, capacity: int = 1) -> None:
    """w1 has answered in these conversations; both are free."""
    await backend.beat("w1", capacity, prefixes=500)
    for name in conversations:
        await answered(backend, "w1", name)
    await backend.beat("w2", 1, prefixes=500)


async def answered(backend: Backend, worker: str, conversation: str) -> None:
    await backend.ask(f"first-{conversation}", conversation=conversation)
    await backend.list.finish((await backend.claim(worker)).lease, DONE)


async def takes(backend: Backend, worker: str) -> str:
    return (await backend.claim(worker)).entry.response_id


async def leaves(backend: Backend, worker: str) -> float:
    """It leaves all that waits to others, and may ask again after so many seconds."""
    left = await backend.list.claim(worker, LONG)
    assert isinstance(left, Reserved), left
    return left.seconds


async def test_the_next_turn_waits_for_its_worker(backend: Backend) -> None:
    await two_workers(backend, "c")
    await backend.ask("r", conversation="c")
    assert 0 < await leaves(backend, "w2") <= LONG
    assert await takes(backend, "w1") == "r"
    assert await backend.list.claim("w2", LONG) is None


async def test_its_worker_is_told_once(backend: Backend) -> None:
    await two_workers(backend, "c")
    channel = await backend.layer.new_channel()
    await backend.layer.group_add(WORKERS_GROUP, channel)
    await backend.ask("r", conversation="c")
    await leaves(backend, "w2")
    await leaves(backend, "w2")
    await backend.layer.group_send(WORKERS_GROUP, {"type": "end"})
    told = await backend.layer.receive(channel)
    assert told == {"type": "worker.claim", "worker_id": "w1"}
    assert await backend.layer.receive(channel) == {"type": "end"}


async def test_with_its_worker_full_it_goes_to_the_other_at_once(backend: Backend) -> None:
    await two_workers(backend, "c")
    await backend.ask("other")
    await backend.claim("w1")
    await backend.ask("r", conversation="c")
    assert await takes(backend, "w2") == "r"


async def test_nobody_gets_his_own_before_their_turn(backend: Backend) -> None:
    await two_workers(backend, "c")
    await backend.ask("head")
    await backend.ask("r", conversation="c")
    assert await takes(backend, "w1") == "head"
    assert await takes(backend, "w2") == "r"


async def test_what_follows_is_taken_meanwhile_and_the_place_is_kept(backend: Backend) -> None:
    await two_workers(backend, "c")
    await backend.ask("r", conversation="c")
    for name in ("next", "last"):
        await backend.ask(name)
    assert await takes(backend, "w2") == "next"
    assert await backend.positions("r", "last") == [1, 2]
    await backend.list.move("last", Edge.FRONT)
    # "next" has overtaken "r" only because w1 had a place for it: nobody else gets that one.
    assert await takes(backend, "w1") == "r"


async def test_no_more_are_left_than_there_are_places(backend: Backend) -> None:
    await two_workers(backend, "c", "d", "e", capacity=2)
    for name in "cde":
        await backend.ask(f"r{name}", conversation=name)
    assert await takes(backend, "w2") == "re"
    assert {await takes(backend, "w1") for _ in range(2)} == {"rc", "rd"}


async def test_a_claim_looks_only_so_far(backend: Backend) -> None:
    conversations = [f"c{n}" for n in range(LOOK_AHEAD + 2)]
    await two_workers(backend, *conversations, capacity=LOOK_AHEAD + 2)
    for name in conversations:
        await backend.ask(f"r-{name}", conversation=name)
    assert await takes(backend, "w2") == f"r-c{LOOK_AHEAD}"


async def test_after_a_while_it_is_anybodys(backend: Backend) -> None:
    await two_workers(backend, "c", "d")
    await backend.ask("r", conversation="c")
    assert await leaves(backend, "w2") > 0
    await backend.lapse()
    claim = await backend.claim("w2")
    assert claim.entry.response_id == "r"
    # w1 did not come for it. It is left nothing more until it claims.
    await backend.list.finish(claim.lease, DONE)
    await backend.ask("s", conversation="d")
    claim = await backend.claim("w2")
    assert claim.entry.response_id == "s"
    assert await backend.list.claim("w1", LONG) is None
    await backend.list.release(claim.lease)
    await leaves(backend, "w2")


async def test_how_long_that_is(make_backend: MakeBackend) -> None:
    backend = make_backend(reserved_seconds=RESERVED_SECONDS)
    await two_workers(backend, "c")
    await backend.ask("r", conversation="c")
    assert await leaves(backend, "w2") == pytest.approx(RESERVED_SECONDS)
    await backend.pass_time(RESERVED_SECONDS)
    assert await takes(backend, "w2") == "r"


async def gone(backend: Backend) -> None:
    await backend.list.retire("w1")


async def dead(backend: Backend) -> None:
    await backend.beat("w1", 1, ttl=0.001, prefixes=500)
    await backend.pass_time(0.005)


async def buried(backend: Backend) -> None:
    await dead(backend)
    await backend.list.sweep(LONG)
    assert await backend.remembered() == 0


async def gone_and_back(backend: Backend) -> None:
    await gone(backend)
    await backend.beat("w1", 1, prefixes=500)


async def paused(backend: Backend) -> None:
    assert await backend.list.pause("w1")


async def draining(backend: Backend) -> None:
    assert await backend.list.order("w1", drain=True)


async def loading(backend: Backend) -> None:
    await backend.beat("w1", 1, WorkerState.LOADING, prefixes=500)


async def without_places(backend: Backend) -> None:
    assert await backend.list.order("w1", capacity=0)


async def moved(backend: Backend) -> None:
    assert await backend.list.move("r", Edge.BACK)


@pytest.mark.parametrize("left_first", [False, True])
@pytest.mark.parametrize(
    "happens",
    [gone, dead, buried, gone_and_back, paused, draining, loading, without_places],
)
async def test_what_keeps_its_worker_away_keeps_nobody_waiting(
    backend: Backend, happens: Callable[[Backend], Awaitable[None]], left_first: bool
) -> None:
    await two_workers(backend, "c")
    await backend.ask("r", conversation="c")
    if left_first:
        await leaves(backend, "w2")
    await happens(backend)
    assert await takes(backend, "w2") == "r"


async def test_what_an_operator_moves_is_left_to_nobody(backend: Backend) -> None:
    await two_workers(backend, "c")
    await backend.ask("r", conversation="c")
    await leaves(backend, "w2")
    await moved(backend)
    assert await takes(backend, "w2") == "r"


async def test_with_fewer_places_the_first_ones_stay_left(backend: Backend) -> None:
    await two_workers(backend, "c", "d", capacity=2)
    for name in "cd":
        await backend.ask(f"r{name}", conversation=name)
    await leaves(backend, "w2")
    await backend.list.order("w1", capacity=1)
    assert await takes(backend, "w2") == "rd"
    assert await takes(backend, "w1") == "rc"


async def test_what_came_back_prefers_too(backend: Backend) -> None:
    await two_workers(backend, "c")
    await backend.ask("r", conversation="c")
    await backend.ask("next")
    claim = await backend.claim("w1")
    assert claim.entry.response_id == "r"
    await backend.list.release(claim.lease)
    assert await takes(backend, "w2") == "next"
    assert await takes(backend, "w1") == "r"


async def test_what_was_left_and_came_back_is_left_again(backend: Backend) -> None:
    await two_workers(backend, "c")
    await backend.ask("r", conversation="c")
    await leaves(backend, "w2")
    await backend.lapse()
    claim = await backend.claim("w1")
    await backend.list.release(claim.lease)
    await leaves(backend, "w2")


async def test_the_last_one_to_answer_holds_the_prefix(backend: Backend) -> None:
    await two_workers(backend, "c")
    await backend.list.pause("w1")
    await backend.ask("second", conversation="c")
    await backend.list.finish((await backend.claim("w2")).lease, DONE)
    await backend.list.unpause("w1")
    await backend.ask("third", conversation="c")
    await leaves(backend, "w1")
    assert await takes(backend, "w2") == "third"


async def test_what_waited_and_was_withdrawn_tells_nothing(backend: Backend) -> None:
    await two_workers(backend)
    await backend.ask("r", conversation="c")
    await backend.list.withdraw("r", DONE)
    assert await backend.remembered() == 0


@pytest.mark.parametrize("prefixes", [0, 1, 3, PREFIXES_KEPT + 10])
async def test_a_worker_holds_as_many_as_it_says(backend: Backend, prefixes: int) -> None:
    most = min(prefixes, PREFIXES_KEPT)
    await backend.beat("w1", 1, prefixes=prefixes)
    await backend.beat("w2", 1)
    for n in range(most + 2):
        await answered(backend, "w1", f"c{n}")
    assert await backend.remembered() == most
    await backend.ask("old", conversation="c1")
    assert await takes(backend, "w2") == "old"
    if most:
        await backend.ask("new", conversation=f"c{most + 1}")
        await backend.list.finish((await backend.claim("w1")).lease, DONE)


async def test_no_conversation_no_preference(backend: Backend) -> None:
    await two_workers(backend, "")
    assert await backend.remembered() == 0
    await backend.ask("r")
    assert await takes(backend, "w2") == "r"


async def test_nothing_stays_behind(backend: Backend) -> None:
    await two_workers(backend, "c", "d")
    await backend.ask("r", conversation="c")
    await leaves(backend, "w2")
    claim = await backend.claim("w1")
    assert isinstance(claim, Claim)
    await backend.list.finish(claim.lease, DONE)
    await backend.ask("s", conversation="d")
    await leaves(backend, "w2")
    await backend.list.withdraw("s", DONE)
    assert await backend.list.claim("w1", LONG) is None
    for worker in ("w1", "w2"):
        await backend.list.retire(worker)
    assert await backend.remembered() == 0
    assert await backend.remains() <= {"done", *(f"log:{n}" for n in NAMES), *SAID}


NAMES = ("first-c", "first-d", "r", "s")
SAID = {f"said:{name}" for name in NAMES}
