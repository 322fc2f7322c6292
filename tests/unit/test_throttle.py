"""Bounds on events and sockets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.sockets.socket_count import SocketCount
from streaming.system.token_bucket import BURST_SECONDS, TokenBucket


@given(
    rate=st.floats(0.1, 1000),
    waits=st.lists(st.floats(0, 10), min_size=1, max_size=200),
)
def test_never_more_than_the_rate_and_one_burst(rate: float, waits: list[float]) -> None:
    now = 0.0
    bucket = TokenBucket(rate, clock=lambda: now)
    taken = 0
    for wait in waits:
        now += wait
        taken += bucket.take()
    assert taken <= now * rate + max(1.0, rate * BURST_SECONDS) + 1e-6


def test_a_burst_passes_and_then_the_rate() -> None:
    now = 0.0
    bucket = TokenBucket(2, clock=lambda: now)
    assert [bucket.take() for _ in range(11)] == [True] * 10 + [False]
    now = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]


def test_sockets_are_counted_under_each_key_and_all_let_go() -> None:
    count = SocketCount()
    assert count.enter(("owner:a", "address:x"), 2)
    assert count.enter(("owner:b", "address:x"), 2)
    assert not count.enter(("owner:c", "address:x"), 2)
    count.leave(("owner:a", "address:x"))
    assert count.enter(("owner:c", "address:x"), 2)
    count.leave(("owner:b", "address:x"))
    count.leave(("owner:c", "address:x"))
    assert len(count) == 0


def test_a_large_event_costs_more_but_never_more_than_there_can_be() -> None:
    now = 0.0
    bucket = TokenBucket(1, clock=lambda: now, burst=10)
    assert bucket.take(8)
    assert not bucket.take(3)
    assert bucket.take(2)
    now = 10.0
    assert bucket.take(1000)
    assert not bucket.take()
