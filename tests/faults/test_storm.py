"""Reduced storms; the full ones are a command (`docs/faults.md`)."""

from __future__ import annotations

from pathlib import Path

from tests.faults.storm import clustered, embedded
from tests.faults.storm.plan import REDUCED, REDUCED_ALONE
from tests.support.valkey import start_or_skip


async def test_every_promise_is_kept_in_a_storm(tmp_path: Path) -> None:
    valkey = start_or_skip(durable=True)
    try:
        report = await clustered.run(tmp_path, valkey, REDUCED, print)
    finally:
        valkey.stop()
    print(report)
    assert not report.broken


async def test_every_promise_is_kept_by_a_server_alone(tmp_path: Path) -> None:
    report = await embedded.run(tmp_path, REDUCED_ALONE, print)
    print(report)
    assert not report.broken
