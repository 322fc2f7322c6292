"""Calls that a worker may repeat: an event with the number it must get is stored once."""

from __future__ import annotations

import json

import pytest

from streaming.waiting_list.interface import AppendCall, Lease, State, Withdrawal, WrongNumber
from tests.contract.backends import DELTA, DONE, LONG, Backend


def numbers_in(events: list[str]) -> list[int]:
    return [json.loads(event)["sequence_number"] for event in events]


async def claimed(backend: Backend) -> Lease:
    await backend.beat()
    await backend.ask("r")
    return (await backend.claim()).lease


async def test_a_repeated_append_is_stored_once(backend: Backend) -> None:
    lease = await claimed(backend)
    channel = await backend.subscribe("r")
    for number in (1, 1, 2, 1, 2, 3):
        assert await backend.list.append(lease, DELTA, [number], number) == number
    assert numbers_in(await backend.list.read("r")) == [1, 2, 3]
    heard = [(await backend.layer.receive(channel))["sequence_number"] for _ in range(3)]
    assert heard == [1, 2, 3]
    await backend.list.release(lease)
    assert (await backend.claim()).tokens == (1, 2, 3)


async def test_a_repeated_batch_stores_what_is_missing(backend: Backend) -> None:
    lease = await claimed(backend)
    await backend.ask("other")
    other = (await backend.claim()).lease
    await backend.list.append(lease, DELTA, [1], 1)
    batch = [
        AppendCall(lease, DELTA, [1], 1),
        AppendCall(lease, DELTA, [2], 2),
        AppendCall(other, DELTA, [7], 1),
    ]
    for _ in range(2):
        assert await backend.list.append_many(batch) == [1, 2, 1]
    mixed = [
        AppendCall(lease, DELTA, [3]),
        AppendCall(other, DELTA, [8], None),
        AppendCall(other, DELTA, [9], 3),
    ]
    assert await backend.list.append_many(mixed) == [3, 2, 3]
    for done in (lease, other):
        await backend.list.release(done)
    assert [(await backend.claim()).tokens for _ in range(2)] == [(1, 2, 3), (7, 8, 9)]


@pytest.mark.parametrize("number", [0, -1, 3, 100])
async def test_a_gap_is_an_error_and_the_others_are_said(backend: Backend, number: int) -> None:
    lease = await claimed(backend)
    await backend.ask("other")
    other = (await backend.claim()).lease
    await backend.list.append(lease, DELTA, [1], 1)
    with pytest.raises(WrongNumber) as wrong:
        await backend.list.append_many(
            [AppendCall(lease, DELTA, [2], number), AppendCall(other, DELTA, [7], 1)]
        )
    assert wrong.value.response_ids == {"r"}
    with pytest.raises(WrongNumber):
        await backend.list.append(lease, DELTA, [2], number)
    with pytest.raises(WrongNumber):
        await backend.list.finish(lease, DONE, number)
    assert numbers_in(await backend.list.read("r")) == [1]
    assert numbers_in(await backend.list.read("other")) == [1]
    assert await backend.state("r") is State.RUNNING


async def test_only_what_this_lease_said_is_a_repetition(backend: Backend) -> None:
    lease = await claimed(backend)
    await backend.list.append(lease, DELTA, [1], 1)
    await backend.list.release(lease)
    again = (await backend.claim()).lease
    assert await backend.list.append(lease, DELTA, [1], 1) is None  # fenced, repetition or not
    with pytest.raises(WrongNumber):
        await backend.list.append(again, DELTA, [1], 1)
    assert await backend.list.append(again, DELTA, [2], 2) == 2


async def test_a_repeated_finish_gets_the_first_answer(backend: Backend) -> None:
    lease = await claimed(backend)
    await backend.list.append(lease, DELTA, [1], 1)
    with pytest.raises(WrongNumber):  # the log ends with the delta, not with this
        await backend.list.finish(lease, DONE, 1)
    for _ in range(3):
        assert await backend.list.finish(lease, DONE, 2) == 2
    assert await backend.list.finish(lease, DONE) is None
    assert await backend.list.finish(lease, DONE, 1) is None
    assert await backend.list.finish(Lease("r", "w1", lease.token + 1), DONE, 2) is None
    assert numbers_in(await backend.list.read("r")) == [1, 2]
    assert len((await backend.list.load()).recent) == 1


async def test_a_finish_of_what_somebody_else_ended(backend: Backend) -> None:
    lease = await claimed(backend)
    await backend.list.retire("w1")
    assert await backend.list.withdraw("r", DONE) is Withdrawal.WITHDRAWN
    assert await backend.list.finish(lease, DONE, 1) is None
    assert (await backend.list.renew("w1", [lease], LONG)).lost == {"r"}
