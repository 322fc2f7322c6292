"""How the live queue says durations and sizes."""

from __future__ import annotations

import pytest

from streaming.live_queue.words import duration, place_word, size, state_word, time_left


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86399, "23 h 59 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "soon"), (0, "soon"), (0.1, "1 s"), (59.5, "1 min 0 s")]
)
def test_time_left(seconds: float, text: str) -> None:
    assert time_left(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (300 << 20, "300 MiB"),
        (3 << 29, "1.5 GiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_a_state_that_is_new_says_itself() -> None:
    assert state_word("held") == "held"
    assert state_word("dreaming") == "dreaming"
    assert (place_word("held"), place_word("waiting")) == ("held", "back")
