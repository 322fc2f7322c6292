"""A pool that calls at once, in this process: for tests that look at what is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from streaming.markup import RENDERER


class InlinePool:
    """`streaming.system.bounded.BoundedPool` without its processes."""

    is_starting = False

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def warm(self) -> None:
        pass

    def wait_for_start(self, seconds: float = 0.0) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def inline_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[InlinePool]:
    """Everything is rendered in this process, and nothing was rendered before."""
    pool = InlinePool()
    monkeypatch.setattr(RENDERER.markdown, "pool", pool)
    monkeypatch.setattr(RENDERER.code, "pool", pool)
    RENDERER.forget()
    yield pool
    RENDERER.forget()
