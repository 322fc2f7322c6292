"""What a response says: numbered, stored, and sent to its group in that order."""

import asyncio
import json

import pytest

from streaming.waiting_list.interface import AppendCall, Entry, Lease, State, Withdrawal
from tests.contract.backends import DELTA, DONE, ROOMY, Backend

AWKWARD = [
    "ü 漢字 😀",
    "</script>/\\\"'",
    "\x00\x01\x1f\x7f\u2028\u2029\ufffd",
    '\\u0000 \\n {"sequence_number":9}',
    "%d %s $1 \r\n",
    "",
]


async def test_a_group_hears_every_event_in_order(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r")
    channel = await backend.subscribe("r")
    elsewhere = backend.another_process()
    other = await backend.subscribe("r", elsewhere)
    lease = (await backend.claim()).lease
    for n in range(20):
        assert await backend.list.append(lease, json.dumps({"type": "delta", "n": n})) == n + 1
    assert await backend.list.finish(lease, DONE) == 21
    for layer, name in ((backend.layer, channel), (elsewhere, other)):
        heard = [await asyncio.wait_for(layer.receive(name), 10) for _ in range(21)]
        assert [message["sequence_number"] for message in heard] == list(range(1, 22))
        assert [message["last"] for message in heard] == [False] * 20 + [True]
        assert {message["type"] for message in heard} == {"response.event"}
        assert {message["response_id"] for message in heard} == {"r"}
        assert [message["event"] for message in heard] == await backend.list.read("r")
        assert [json.loads(message["event"])["n"] for message in heard[:-1]] == list(range(20))
    await elsewhere.flush()


async def test_a_withdrawal_is_heard_as_the_last_event(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r")
    channel = await backend.subscribe("r")
    assert await backend.list.withdraw("r", DONE) is Withdrawal.WITHDRAWN
    assert await asyncio.wait_for(backend.layer.receive(channel), 10) == {
        "type": "response.event",
        "response_id": "r",
        "sequence_number": 1,
        "event": '{"sequence_number":1,"type":"done"}',
        "last": True,
    }


@pytest.mark.parametrize("ascii_only", [True, False])
async def test_text_arrives_as_it_was_written(backend: Backend, ascii_only: bool) -> None:
    await backend.beat()
    await backend.ask("r")
    channel = await backend.subscribe("r")
    lease = (await backend.claim()).lease
    written = [json.dumps({"delta": text}, ensure_ascii=ascii_only) for text in AWKWARD]
    await backend.list.append_many([AppendCall(lease, event) for event in written])
    stored = await backend.list.read("r")
    assert [event.partition(",")[2] for event in stored] == [event[1:] for event in written]
    for number, text in enumerate(AWKWARD, 1):
        heard = (await asyncio.wait_for(backend.layer.receive(channel), 10))["event"]
        assert json.loads(heard) == {"sequence_number": number, "delta": text}


async def test_a_large_event(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r")
    channel = await backend.subscribe("r")
    lease = (await backend.claim()).lease
    text = "😀/" * 500_000
    await backend.list.append(lease, json.dumps({"text": text}, ensure_ascii=False))
    heard = await asyncio.wait_for(backend.layer.receive(channel), 10)
    assert json.loads(heard["event"])["text"] == text
    assert await backend.list.read("r") == [heard["event"]]


async def test_reading_after_a_number(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r")
    lease = (await backend.claim()).lease
    for _ in range(5):
        await backend.list.append(lease, DELTA)
    whole = await backend.list.read("r")
    assert [json.loads(event)["sequence_number"] for event in whole] == [1, 2, 3, 4, 5]
    for after in range(7):
        assert await backend.list.read("r", after) == whole[after:]
        for most in (0, 1, 3, 9):
            assert await backend.list.read("r", after, most) == whole[after : after + most]
    assert await backend.list.read("r", -3) == whole
    assert await backend.list.read("never") == []
    await backend.list.finish(lease, DONE)
    assert await backend.list.read("r", 5) == ['{"sequence_number":6,"type":"done"}']


async def test_the_appends_of_one_step_go_together(backend: Backend) -> None:
    await backend.beat(capacity=3)
    for name in ("a", "b", "c"):
        await backend.ask(name)
    a, b, c = [(await backend.claim()).lease for _ in range(3)]
    await backend.list.append(a, DELTA, [1])
    stale = Lease("b", "w1", b.token - 1)
    numbers = await backend.list.append_many(
        [
            AppendCall(a, DELTA, [2, 3]),
            AppendCall(stale, DELTA, [9]),
            AppendCall(b, DELTA, []),
            AppendCall(a, DELTA, [4]),
            AppendCall(c, DELTA, [5]),
        ]
    )
    assert numbers == [2, None, 1, 3, 1]
    for lease in (a, b, c):
        await backend.list.release(lease)
    assert [(await backend.claim()).tokens for _ in range(3)] == [(1, 2, 3, 4), (), (5,)]


async def test_appends_from_many_tasks_leave_no_hole(backend: Backend) -> None:
    await backend.beat()
    await backend.ask("r")
    channel = await backend.subscribe("r")
    lease = (await backend.claim()).lease
    numbers = await asyncio.gather(*(backend.list.append(lease, DELTA, [n]) for n in range(50)))
    assert sorted(number or 0 for number in numbers) == list(range(1, 51))
    heard = [await asyncio.wait_for(backend.layer.receive(channel), 10) for _ in range(50)]
    assert [message["sequence_number"] for message in heard] == list(range(1, 51))
    assert [message["event"] for message in heard] == await backend.list.read("r")


async def test_a_later_life_goes_on_above_the_numbers_of_the_earlier(backend: Backend) -> None:
    await backend.beat()
    entry = Entry("r", "owner", "")
    await backend.list.enqueue(entry, ROOMY, readmit=True, said=1000)
    assert (await backend.list.watch(["r"])).responses["r"].last_sequence == 1000
    assert await backend.list.read("r") == []
    claim = await backend.claim()
    assert claim.last_sequence == 1000
    assert await backend.list.append(claim.lease, DELTA, number=1001) == 1001
    assert await backend.list.append(claim.lease, DELTA, number=1001) == 1001
    assert await backend.list.append(claim.lease, DELTA, number=1002) == 1002
    for after, expected in ((0, 2), (57, 2), (1000, 2), (1001, 1), (1002, 0), (5000, 0)):
        assert len(await backend.list.read("r", after)) == expected
    assert await backend.list.finish(claim.lease, DONE, 1003) == 1003
    assert await backend.list.finish(claim.lease, DONE, 1003) == 1003
    done = (await backend.list.watch(["r"])).responses["r"]
    assert (done.state, done.last_sequence) == (State.DONE, 1003)
    assert [json.loads(event)["sequence_number"] for event in await backend.list.read("r", 9)] == [
        1001,
        1002,
        1003,
    ]
