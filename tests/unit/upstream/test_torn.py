"""Characters that are torn between events, and a stream that begins with a byte order mark."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.fake_upstream import Exchange, FakeUpstream
from tests.unit.engine.gathered import Gathered

Start = Callable[..., Gathered]

HIGH, LOW = "\ud83d", "\ude00"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["a" + HIGH, LOW + "b"], "a😀b"),
        ([HIGH, LOW, HIGH, LOW], "😀😀"),
        ([HIGH, "", LOW], "😀"),
        ([HIGH, HIGH, LOW], "\ufffd😀"),
        ([HIGH, "x", LOW], "\ufffdx\ufffd"),
        (["a", LOW], "a\ufffd"),
        (["a" + HIGH], "a\ufffd"),
    ],
)
def test_a_pair_may_be_torn_between_events(
    start: Start, upstream: FakeUpstream, said: list[str], expected: str
) -> None:
    async def tear(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say(*said)
        await exchange.end()

    upstream.acts.append(tear)
    gathered = start()
    done = gathered.ask("r", "x")
    assert gathered.text("r") == expected
    assert done.completion_tokens == len([word for word in said if word])


def test_half_a_character_before_a_break_is_said_whole_after_it(
    start: Start, upstream: FakeUpstream
) -> None:
    async def tear(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say("a", HIGH)
        exchange.cut()

    async def go_on(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say("😀")
        await exchange.end()

    upstream.acts.extend([tear, go_on])
    gathered = start()
    gathered.ask("r", "x")
    assert gathered.text("r") == "a😀"


@pytest.mark.parametrize("torn", [False, True])
def test_a_byte_order_mark_loses_nothing(start: Start, upstream: FakeUpstream, torn: bool) -> None:
    async def mark(exchange: Exchange) -> None:
        await exchange.begin(first=False)
        event = '\ufeffdata: {"choices":[{"delta":{"content":"One"}}]}\n\n'.encode()
        for part in (event[:1], event[1:2], event[2:]) if torn else (event,):
            await exchange.raw(part)
        await exchange.say(" \ufefftwo")
        await exchange.end()

    upstream.acts.append(mark)
    gathered = start()
    gathered.ask("r", "x")
    assert gathered.text("r") == "One \ufefftwo"
