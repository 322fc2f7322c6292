"""What only the shared list knows: servers that restart, answers that get lost, many loops."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from redis.exceptions import ConnectionError as RedisConnectionError

from streaming.lifecycle.recovery import NUMBERS_PER_LIFE
from streaming.protocol.base import MOST_SEQUENCE
from streaming.waiting_list.channel_layers import RedisChannelLayer
from streaming.waiting_list.interface import (
    MAX_ATTEMPTS,
    AdmissionLimits,
    Edge,
    Entry,
    Orders,
    QueueFull,
    State,
    Withdrawal,
)
from tests.contract.backends import DELTA, DONE, LONG, ROOMY, RedisBackend
from tests.support.passing_time import outlast
from tests.support.valkey import Valkey, start_or_skip


@pytest.fixture(params=[False, True], ids=["volatile", "durable"])
def own_valkey(request: pytest.FixtureRequest) -> Iterator[Valkey]:
    server = start_or_skip(durable=request.param)
    yield server
    server.stop()


async def test_after_a_kill_and_a_restart(
    own_valkey: Valkey, request: pytest.FixtureRequest
) -> None:
    durable = "durable" in request.node.name
    backend = RedisBackend(own_valkey.url)
    await backend.beat("w1", 2)
    for n in range(3):
        await backend.ask(f"r{n}")
    channel = await backend.subscribe("r0")
    before = await backend.claim()
    await backend.list.append(before.lease, DELTA, [1])
    await backend.layer.receive(channel)

    own_valkey.kill()
    with pytest.raises(RedisConnectionError):
        await backend.list.append(before.lease, DELTA, [2])
    own_valkey.start()

    # The scripts are gone with the server's memory: every operation loads its own again.
    if durable:
        assert await backend.list.append(before.lease, DELTA, [2]) == 2
        assert await backend.positions("r1", "r2") == [1, 2]
    else:
        assert await backend.list.append(before.lease, DELTA) is None
        assert await backend.list.known(["r0", "r1", "r2"]) == set()
        await backend.beat("w1", 2)
        await backend.ask("r0", readmit=True)
        again = await backend.claim()
        assert again.lease.token > before.lease.token  # though the counter was lost
        before = again

    # The subscription comes back by itself; what was said meanwhile is in the log.
    hearing = asyncio.create_task(backend.layer.receive(channel))
    while not hearing.done():
        number = await backend.list.append(before.lease, DELTA)
        await asyncio.wait([hearing], timeout=0.2)
    heard = await hearing
    assert (await backend.list.read("r0", heard["sequence_number"] - 1))[0] == heard["event"]
    assert len(await backend.list.read("r0")) == number
    assert await backend.list.finish(before.lease, DONE) == number + 1
    await backend.close()


async def test_orders_and_counts_are_kept_as_well_as_all_the_rest(
    own_valkey: Valkey, request: pytest.FixtureRequest
) -> None:
    durable = "durable" in request.node.name
    backend = RedisBackend(own_valkey.url)
    await backend.beat("w1", 4)
    await backend.ask("a0", "a")
    await backend.ask("b0", "b")
    await backend.list.move("b0", Edge.FRONT)
    await backend.list.order("w1", capacity=1, drain=True)
    await backend.list.close("Moving.")
    await backend.list.sample("{}")
    own_valkey.restart()
    assert await backend.list.closed() == ("Moving." if durable else None)
    assert await backend.beat("w1", 4) == (Orders(1, True) if durable else Orders())
    assert (await backend.list.counters()).accepted == (2 if durable else 0)
    assert await backend.list.samples() == (["{}"] if durable else [])
    assert await backend.positions("b0", "a0") == ([1, 2] if durable else [None, None])
    await backend.close()


async def test_a_quick_restart_is_waited_out(own_valkey: Valkey) -> None:
    """redis-py repeats the call a few times, and 50 callers come through."""
    backend = RedisBackend(own_valkey.url)
    await backend.ask("before")
    own_valkey.kill()
    calls = [asyncio.create_task(backend.list.place("before")) for _ in range(50)]
    await outlast(0.05, "the first attempt of each call")
    own_valkey.start()
    assert len({place.state for place in await asyncio.gather(*calls)}) == 1
    await backend.close()


class Forgetful:
    """Stands between client and server, and can swallow an answer with its connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.forget = False
        self.forgot = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"redis://{host}:{port}"

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        server, calls = await asyncio.open_connection("127.0.0.1", self._port)

        async def pump_calls() -> None:
            while data := await client.read(65536):
                calls.write(data)
            calls.close()

        task = asyncio.create_task(pump_calls())
        try:
            while data := await server.read(65536):
                if self.forget:
                    self.forget = False
                    self.forgot += 1
                    break
                answers.write(data)
        finally:
            task.cancel()
            calls.close()
            answers.close()


@pytest_asyncio.fixture
async def forgetful(empty_valkey: Valkey) -> AsyncIterator[tuple[Forgetful, RedisBackend]]:
    proxy = Forgetful(empty_valkey.port)
    backend = RedisBackend(await proxy.start())
    yield proxy, backend
    await backend.close()
    await proxy.stop()
    await asyncio.sleep(0.01)  # the proxy's last connections end


async def test_a_lost_answer_makes_nothing_happen_twice(
    forgetful: tuple[Forgetful, RedisBackend],
) -> None:
    proxy, backend = forgetful
    await backend.beat("w1", 2)
    for n in range(3):
        await backend.ask(f"r{n}")
    await backend.list.watch(["r0"])

    proxy.forget = True
    claim = await backend.claim()
    assert (claim.entry.response_id, claim.attempt) == ("r0", 1)
    assert await backend.state("r1") is State.WAITING

    await backend.list.append(claim.lease, DELTA, [1])
    proxy.forget = True
    assert await backend.list.append(claim.lease, DELTA, [2]) == 2
    assert len(await backend.list.read("r0")) == 2

    proxy.forget = True
    assert await backend.list.release(claim.lease) is True
    claim = await backend.claim()
    assert (claim.entry.response_id, claim.tokens) == ("r0", (1, 2))

    await backend.list.withdraw("unknown", DONE)
    proxy.forget = True
    assert await backend.list.withdraw("r1", DONE) is Withdrawal.WITHDRAWN
    proxy.forget = True
    assert (await backend.ask("r3")).position == 2
    await backend.list.finish(claim.lease, DONE)
    claim = await backend.claim()
    proxy.forget = True
    assert await backend.list.finish(claim.lease, DONE) == 1
    assert proxy.forgot == 6
    assert (await backend.counted())[0] == {"user:r3": 1}

    await backend.ask("r4")
    proxy.forget = True
    assert await backend.list.move("r4", Edge.FRONT) is True
    proxy.forget = True
    with pytest.raises(QueueFull):
        await backend.ask("r5", limits=AdmissionLimits(0))
    proxy.forget = True
    await backend.list.sample("{}")
    assert proxy.forgot == 9
    counters = await backend.list.counters()
    assert (counters.accepted, counters.rejected["queue_full"], counters.tokens) == (5, 1, 2)
    assert await backend.list.samples() == ["{}"]


async def test_a_log_that_lost_what_was_told_begins_anew_above_it(empty_valkey: Valkey) -> None:
    """So it is behind a failover: the next master has not got the last events."""
    backend = RedisBackend(empty_valkey.url)
    await backend.beat()
    await backend.ask("r")
    claim = await backend.claim()
    for token in range(3):
        await backend.list.append(claim.lease, DELTA, [token])
    assert not await backend.list.rewind("r", 3, 1000)  # nothing is lost
    assert not await backend.list.rewind("unknown", 3, 1000)
    assert await backend.list.rewind("r", 5, 1000)
    assert not await backend.list.rewind("r", 5, 2000)  # another process was faster
    assert await backend.list.append(claim.lease, DELTA, [3]) is None
    claim = await backend.claim()
    assert (claim.attempt, claim.last_sequence, claim.tokens) == (2, 1000, ())
    assert await backend.list.append(claim.lease, DELTA, [0], 1001) == 1001
    assert await backend.list.read("r", 5) == ['{"sequence_number":1001,"type":"delta"}']
    assert await backend.list.finish(claim.lease, DONE, 1002) == 1002
    assert not await backend.list.rewind("r", 5000, 9000)
    await backend.close()


async def test_the_largest_number_that_a_reader_may_name_does_no_harm(
    empty_valkey: Valkey,
) -> None:
    """All answers of a worker are said by one script: it must be able to count on."""
    backend = RedisBackend(empty_valkey.url)
    await backend.beat()
    await backend.ask("r")
    await backend.claim()
    above = (MOST_SEQUENCE // NUMBERS_PER_LIFE + 1) * NUMBERS_PER_LIFE
    assert await backend.list.rewind("r", MOST_SEQUENCE, above)
    claim = await backend.claim()
    assert claim.last_sequence == above
    for number in (above + 1, above + 2):
        assert await backend.list.append(claim.lease, DELTA, [0], number) == number
    texts = await backend.list.read("r", MOST_SEQUENCE)
    assert [json.loads(text)["sequence_number"] for text in texts] == [above + 1, above + 2]
    assert (await backend.list.watch(["r"])).responses["r"].last_sequence == above + 2
    await backend.close()


async def test_nobody_lets_a_response_begin_anew_for_ever(empty_valkey: Valkey) -> None:
    backend = RedisBackend(empty_valkey.url)
    await backend.beat()
    await backend.ask("r")
    for attempt in range(MAX_ATTEMPTS):
        await backend.claim()
        assert await backend.list.rewind("r", 1000 * (attempt + 1), 1000 * (attempt + 1))
    assert await backend.list.claim("w1", LONG) is None
    assert (await backend.list.sweep(LONG)).exhausted == ["r"]
    await backend.close()


async def test_two_processes_share_one_list(empty_valkey: Valkey) -> None:
    backend = RedisBackend(empty_valkey.url)
    one, two = backend.layer, backend.another_process()
    await backend.beat("w1", 1)
    await one.waiting_list.enqueue(Entry("a", "o", "c"), ROOMY)
    place = await two.waiting_list.enqueue(Entry("b", "o", "c2"), ROOMY)
    assert (place.position, place.size) == (2, 2)
    claim = await two.waiting_list.claim("w1", LONG)
    assert claim is not None
    assert claim.entry.response_id == "a"
    assert await one.waiting_list.claim("w1", LONG) is None
    assert await one.waiting_list.append(claim.lease, DELTA) == 1
    await two.flush()
    await backend.close()


async def test_lists_with_other_prefixes_do_not_meet(empty_valkey: Valkey) -> None:
    here, there = RedisBackend(empty_valkey.url), RedisBackend(empty_valkey.url, prefix="b")
    await here.ask("r")
    assert await there.state("r") is State.UNKNOWN
    await there.close()
    await here.close()


def test_every_loop_has_its_own_connections_and_closes_them(empty_valkey: Valkey) -> None:
    layer = RedisChannelLayer([empty_valkey.url])

    async def ask(name: str) -> int | None:
        await layer.waiting_list.enqueue(Entry(name, "o", ""), ROOMY)
        return (await layer.waiting_list.place(name)).position

    assert [asyncio.run(ask(f"r{n}")) for n in range(3)] == [1, 2, 3]
    assert not layer._layers
    gc.collect()  # an open socket would warn here, and warnings are errors


async def test_every_operation_survives_a_script_flush(empty_valkey: Valkey) -> None:
    backend = RedisBackend(empty_valkey.url)
    kept = backend.list

    async def forget_scripts() -> None:
        await backend.layer._get_layer().client().script_flush()

    await forget_scripts()
    await backend.beat()
    await forget_scripts()
    await backend.ask("r")
    await forget_scripts()
    claim = await backend.claim()
    for call in (
        lambda: kept.renew("w1", [claim.lease], LONG),
        lambda: kept.append(claim.lease, DELTA),
        lambda: kept.release(claim.lease),
        lambda: kept.watch(["r"]),
        kept.snapshot,
        kept.load,
        lambda: kept.pause("w1"),
        lambda: kept.elect("duty", "p1", LONG),
        lambda: kept.move("r", Edge.BACK),
        lambda: kept.close("No."),
        kept.reopen,
        lambda: kept.order("w1", capacity=1),
        lambda: kept.sample("{}"),
        kept.counters,
        lambda: kept.sweep(LONG),
        lambda: kept.retire("w1"),
        lambda: kept.finish(claim.lease, DONE),
        lambda: kept.withdraw("r", DONE),
    ):
        await forget_scripts()
        await call()
    assert await backend.state("r") is State.DONE
    await backend.close()
