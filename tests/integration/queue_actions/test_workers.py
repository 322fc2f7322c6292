"""Operators pause, drain and bound workers."""

from __future__ import annotations

import pytest

from streaming.waiting_list.interface import (
    Orders,
    WorkerBeat,
    WorkerState,
)
from tests.integration.queue_actions.conftest import Operator, Queue, asked

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_worker_is_paused_and_resumed(queue: Queue, operator: Operator) -> None:
    queue.beat("host:1")
    queue.beat("host:2")
    queue.ask()
    operator.act("pause", worker_id="host:1")
    assert operator.said == [
        "Worker host:1 is paused: it finishes what it runs and claims nothing new."
    ]
    assert [row.paused for row in queue.look().workers] == [True, False]
    assert queue.call("claim", "host:1", 60) is None
    operator.act("resume", worker_id="host:1")
    assert operator.said == ["Worker host:1 claims again."]
    assert queue.call("claim", "host:1", 60) is not None
    assert operator.log() == [
        ("", "Worker host:1", "Paused."),
        ("", "Worker host:1", "Resumed."),
    ]


def test_all_workers_are_paused_and_resumed(queue: Queue, operator: Operator) -> None:
    queue.beat("host:1")
    queue.ask()
    page = operator.act("pause", all="1")
    text = asked(page)
    assert "Pause all workers?" in text
    assert "host:1 · 0 of 1 running" in text
    assert not queue.look().paused
    operator.confirm(page)
    assert queue.look().paused
    assert queue.call("claim", "host:1", 60) is None
    operator.act("pause", worker_id="host:1")
    operator.act("resume", worker_id="host:1")
    assert operator.said == ["Worker host:1 is resumed, but all workers are paused."]
    operator.act("pause", worker_id="host:1")
    operator.act("resume", all="1")
    assert operator.said == [
        "Resumed: the workers claim again.",
        "1 worker is still paused by itself.",
    ]
    assert not queue.look().paused
    assert operator.log()[0] == ("", "The queue", "Paused.")
    assert operator.log()[-1] == ("", "The queue", "Resumed.")


def test_a_worker_is_drained_and_taken_back(queue: Queue, operator: Operator) -> None:
    queue.beat("host:1", 2)
    queue.ask()
    queue.run()
    page = operator.act("drain", worker_id="host:1")
    text = asked(page)
    assert "Drain worker host:1?" in text
    assert "1 response that is being answered goes on to its end." in text
    assert "No other worker serves" in text
    assert queue.look().workers[0].orders == Orders()
    operator.confirm(page)
    assert operator.said == ["Worker host:1 drains: it finishes 1 response and claims nothing new."]
    assert queue.look().workers[0].state is WorkerState.DRAINING
    queue.beat("host:2")
    assert "No other worker serves" not in asked(operator.act("drain", worker_id="host:1"))
    operator.act("undrain", worker_id="host:1")
    assert operator.said == ["Worker host:1 serves again."]
    assert queue.look().workers[0].state is WorkerState.READY
    assert operator.log() == [
        ("", "Worker host:1", "Ordered to drain."),
        ("", "Worker host:1", "Ordered to serve again."),
    ]


def test_a_worker_that_ends_by_itself_is_not_taken_back(
    memory_queue: Queue, operator: Operator
) -> None:
    memory_queue.call("heartbeat", WorkerBeat("host:1", 1, WorkerState.DRAINING, 600))
    operator.act("undrain", worker_id="host:1")
    assert operator.said == ["Worker host:1 is ending by itself; it serves no more."]


def test_a_capacity_is_changed_live(queue: Queue, operator: Operator) -> None:
    queue.beat("host:1", 2, rows=4)
    for _ in range(3):
        queue.ask()
    queue.run()
    queue.run()
    operator.act("capacity", worker_id="host:1", **{"capacity:host:1": "1"})
    assert operator.said == [
        "Worker host:1 runs up to 1 response at once.",
        "2 responses that are being answered go on to their ends.",
    ]
    assert queue.look().workers[0].capacity == 1
    operator.act("capacity", worker_id="host:1", **{"capacity:host:1": " 4 "})
    assert operator.said == ["Worker host:1 runs up to 4 responses at once."]
    assert queue.beat("host:1", 4, rows=4) == Orders(4)
    operator.act("capacity", worker_id="host:1", **{"capacity:host:1": "0"})
    assert queue.look().workers[0].capacity == 0
    assert [entry[1:] for entry in operator.log()] == [
        ("Worker host:1", "Ordered to run up to 1 at once."),
        ("Worker host:1", "Ordered to run up to 4 at once."),
        ("Worker host:1", "Ordered to run up to 0 at once."),
    ]


def test_a_capacity_that_is_none(memory_queue: Queue, operator: Operator) -> None:
    memory_queue.beat("host:1", 2, rows=4)
    for given in ("5", "-1", "", "1.5", "two", "1e1", "9" * 500, "²", "1_0", None):
        fields = {} if given is None else {"capacity:host:1": given}
        operator.act("capacity", worker_id="host:1", **fields)
        (said,) = operator.said
        assert said.endswith("is not allowed: worker host:1 runs 0 to 4 responses at once.")
        assert len(said) < 200
    assert memory_queue.look().workers[0].orders == Orders()
    assert operator.log() == []


def test_the_bound_of_a_worker_that_loads_is_its_own(
    memory_queue: Queue, operator: Operator
) -> None:
    memory_queue.beat("host:1", 2)  # its rows are not known yet
    operator.act("capacity", worker_id="host:1", **{"capacity:host:1": "3"})
    assert "runs 0 to 2 responses" in operator.said[0]
    operator.act("capacity", worker_id="host:1", **{"capacity:host:1": "1"})
    assert memory_queue.look().workers[0].capacity == 1


@pytest.mark.parametrize("name", ["pause", "resume", "drain", "undrain", "capacity"])
def test_a_worker_that_is_gone(queue: Queue, operator: Operator, name: str) -> None:
    queue.beat("host:1", rows=4)
    for worker_id in ("host:2", "\x00", "<b>x</b>", "w" * 9000):
        operator.act(name, worker_id=worker_id, confirmed="1")
        (said,) = operator.said
        assert said.startswith("There is no worker ")
        assert len(said) < 150
    operator.act(name, confirmed="1")
    assert operator.said == ["Nothing was done: the form does not say which worker."]
    if name in ("pause", "resume"):
        operator.act(name, worker_id="host:1", all="1", confirmed="1")
        assert operator.said == ["Nothing was done: the form does not say which worker."]
    assert not queue.look().paused
    assert not queue.look().workers[0].paused
    assert queue.look().workers[0].orders == Orders()
    assert operator.log() == []
