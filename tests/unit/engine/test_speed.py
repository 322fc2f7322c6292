"""Tokens per second over the last ten seconds."""

from streaming.engine.speed import Speed


def test_only_the_last_moments_count() -> None:
    now = 0.0
    speed = Speed(lambda: now)
    assert speed.per_second() == 0
    for _ in range(100):  # 4 tokens, ten times a second, for ten seconds
        speed.add(4)
        now += 0.1
    assert 36 <= speed.per_second() <= 40
    now += 5
    assert 18 <= speed.per_second() <= 20
    now += 5
    assert speed.per_second() == 0


def test_what_it_keeps_is_bounded() -> None:
    now = 0.0
    speed = Speed(lambda: now)
    for _ in range(100_000):
        speed.add(1)
        now += 0.001
    assert len(speed._grains) <= 41
    assert 970 <= speed.per_second() <= 1000
