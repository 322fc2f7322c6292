"""How a worker ends what it has begun."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from streaming.worker import tasks as worker_tasks


async def stubborn(cancellations: int) -> None:
    """Swallows so many cancellations."""
    for _ in range(cancellations):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def test_many_that_do_not_end_are_a_line_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_tasks, "POLL_SECONDS", 0.05)
    tasks = [asyncio.create_task(stubborn(2)) for _ in range(500)]
    await asyncio.sleep(0)
    with caplog.at_level(logging.WARNING):
        await worker_tasks.cancel_all(*tasks)
    assert all(task.done() for task in tasks)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1, lines[:3]
    assert "500" in lines[0]
    assert "stubborn" in lines[0]
    assert len(lines[0]) < 300
