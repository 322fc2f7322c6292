"""Which prompt is prepared when, and what becomes of those that nobody wants any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from streaming.engine.base import ChatMessage, EngineError, GenerationRequest, SamplingParams
from streaming.engine.local.prompts.preparer import Prepared, Preparer
from streaming.engine.local.prompts.prompt import OnProgress
from streaming.engine.local.prompts.prompt_queue import SHORT_CHARS, PromptQueue, _PromptThread

PATIENCE = 60.0


def asked(name: str, chars: int = 5) -> GenerationRequest:
    return GenerationRequest(name, (ChatMessage("user", "x" * chars),), SamplingParams(1, 1))


class Desk:
    """A `PromptQueue` whose preparations end when they are let go."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.ready = threading.Condition(self.lock)
        self.prompt_queue = PromptQueue(self.lock, self.ready)
        self.begun: list[str] = []
        self.changed = threading.Condition()
        self.gates: dict[str, threading.Event] = {}

    def prepare(self, request: GenerationRequest, on_progress: OnProgress) -> Prepared:
        with self.changed:
            self.begun.append(request.response_id)
            gate = self.gates.setdefault(request.response_id, threading.Event())
            self.changed.notify_all()
        assert gate.wait(PATIENCE)
        return Prepared(request, fault=EngineError("none"))

    def add(self, *requests: GenerationRequest) -> None:
        with self.lock:
            for request in requests:
                self.prompt_queue.add(request)

    def wait_begun(self, name: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: name in self.begun, PATIENCE)

    def let_go(self, *names: str) -> None:
        with self.changed:
            for name in names:
                self.gates.setdefault(name, threading.Event()).set()

    def take(self) -> Prepared:
        with self.lock:
            assert self.ready.wait_for(lambda: self.prompt_queue.can_take, PATIENCE)
            prepared = self.prompt_queue.take()
        assert prepared is not None
        return prepared


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    desk.prompt_queue.start(desk.prepare)
    yield desk
    with desk.lock:
        desk.prompt_queue.close()
    desk.let_go(*"abcdef", "long", "longer", "longest")


def test_short_ones_in_their_order_beside_long_ones(desk: Desk) -> None:
    desk.add(asked("longest", 9 * SHORT_CHARS))
    desk.wait_begun("longest")
    desk.add(asked("longer", 3 * SHORT_CHARS), asked("long", 2 * SHORT_CHARS))
    desk.add(asked("a", 9), asked("b", 1), asked("c", 5))
    with desk.lock:
        assert (len(desk.prompt_queue), desk.prompt_queue.expected) == (6, True)
    desk.let_go("a", "b", "c")
    assert [desk.take().request.response_id for _ in "abc"] == ["a", "b", "c"]
    with desk.lock:
        assert (len(desk.prompt_queue), desk.prompt_queue.expected) == (3, False)
    desk.let_go("long", "longer", "longest")
    ended = [desk.take().request.response_id for _ in range(3)]
    assert ended == ["longest", "long", "longer"]


def test_the_longest_is_not_passed_over_for_ever() -> None:
    """Who sends long ones again and again does not keep a longer one from its turn."""
    lock = threading.RLock()
    lane = _PromptThread(lock, in_order=False)
    longest = asked("longest", 20 * SHORT_CHARS)
    with lock:
        lane.add(longest, 20 * SHORT_CHARS)
        for passed in range(100):
            lane.add(asked(f"{passed}"), 2 * SHORT_CHARS)
            if lane.begin() is longest:
                break
    assert 10 < passed < 50


def test_those_that_are_taken_out_never_begin(desk: Desk) -> None:
    desk.add(asked("a"), asked("b"), asked("c"))
    desk.wait_begun("a")
    with desk.lock:
        out = desk.prompt_queue.take_out({"a", "b", "unknown"})
        assert sorted(request.response_id for request in out) == ["a", "b"]
        assert len(desk.prompt_queue) == 1
    again = asked("a")
    desk.add(again)  # while the first of this name is still at it
    desk.let_go("a", "c")
    assert desk.take().request.response_id == "c"
    assert desk.take().request is again
    desk.add(asked("d"))
    desk.let_go("d")
    with desk.lock:
        assert desk.ready.wait_for(lambda: desk.prompt_queue.can_take, PATIENCE)
        assert [r.response_id for r in desk.prompt_queue.take_out({"d"})] == ["d"]
        assert desk.prompt_queue.take() is None
        assert len(desk.prompt_queue) == 0


def test_closing_forgets_all(desk: Desk) -> None:
    desk.add(asked("a"), asked("b"))
    desk.wait_begun("a")
    with desk.lock:
        desk.prompt_queue.close()
        assert len(desk.prompt_queue) == 0
    desk.let_go("a")
    for thread in threading.enumerate():
        if thread.name == "chatstream-prompts" and not thread.daemon:
            raise AssertionError("the process would not end")
    assert desk.begun == ["a"]


def test_a_thread_is_at_work_also_for_nobody(desk: Desk) -> None:
    """One that hangs is to be noticed, whoever still waits for it."""
    desk.add(asked("a"))
    desk.wait_begun("a")
    with desk.lock:
        before, long = desk.prompt_queue.threads
        desk.prompt_queue.take_out({"a"})
        assert desk.prompt_queue.threads == (before, long)
    assert (before.at_work, long.at_work) == (True, False)
    assert before.thread_id in [thread.ident for thread in threading.enumerate()]
    desk.add(asked("b"))
    desk.let_go("a", "b")
    assert desk.take().request.response_id == "b"
    with desk.lock:
        short, _ = desk.prompt_queue.threads
    assert not short.at_work
    assert short.progress > before.progress


def test_a_panic_of_the_tokenizer_is_the_end_of_one_prompt() -> None:
    class Panic(BaseException):
        """As what Rust raises in Python."""

    class Panicking:
        answers = SimpleNamespace(thinks=False)

        def fit(self, *told: Any) -> Any:
            raise Panic

    preparer: Any = Preparer(Panicking(), 100, 100)  # type: ignore[arg-type]
    prepared = preparer.prepare(asked("a"), lambda: None)
    assert prepared.fault.code == "engine_error"
