"""What the record says of a span of time: loads, tokens and percentiles, bin by bin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streaming.models import Conversation, Message, Response
from streaming.record import series

pytestmark = pytest.mark.django_db

START, WIDTH = 1_700_000_000.0, 100.0


def answered(asked: float, started: float | None, ended: float | None, **values: Any) -> None:
    """A response, by seconds since START."""

    def moment(seconds: float | None) -> datetime | None:
        if seconds is None:
            return None
        return datetime.fromtimestamp(START, UTC) + timedelta(seconds=seconds)

    talk = Conversation.objects.create(owner="user:1")
    prompt = Message.objects.create(conversation=talk, role="user", content="?")
    row = Response.objects.create(conversation=talk, prompt=prompt, owner="user:1", **values)
    first = None if started is None else started + 1
    Response.objects.filter(pk=row.pk).update(
        created_at=moment(asked),
        started_at=moment(started),
        first_token_at=moment(first),
        finished_at=moment(ended),
    )


def test_an_empty_record_knows_nothing() -> None:
    found = series.read(START, WIDTH, 5)
    assert (found.load, found.tokens, found.wait, found.ttft) == ({}, {}, {}, {})


def test_what_ran_and_waited_at_the_beginning_of_each_bin() -> None:
    answered(-50, -20, 150, completion_tokens=300)  # runs at the beginning
    answered(-10, 160, 250, completion_tokens=200)
    answered(120, None, 130)  # withdrawn
    answered(210, None, None)  # still waits
    found = series.read(START, WIDTH, 4)
    assert found.load == {0: (1, 1), 1: (1, 1), 2: (1, 0), 3: (0, 1)}
    assert found.tokens == {1: 300, 2: 200}
    assert found.wait[1] == pytest.approx((170, 170), abs=0.01)
    assert series.read(START, WIDTH, 4, loads=False).load == {}


def test_before_the_first_that_is_known_there_is_a_gap() -> None:
    answered(210, 220, 230)
    assert series.read(START, WIDTH, 4).load == {2: (0, 0), 3: (0, 0)}


def test_percentiles_are_of_the_nearest_rank() -> None:
    for wait in range(1, 21):
        answered(100, 100 + wait, 199)
    answered(205, 205.5, 300)
    found = series.read(START, WIDTH, 4)
    assert found.wait[1] == pytest.approx((10, 19), abs=0.01)
    assert found.ttft[1] == pytest.approx((11, 20), abs=0.01)
    assert found.wait[2] == pytest.approx((0.5, 0.5), abs=0.01)
