"""A reduced storm; the full one is a command (`docs/faults.md`)."""

from __future__ import annotations

from pathlib import Path

from tests.faults.storm import REDUCED, run_storm
from tests.valkey import start_or_skip


async def test_every_promise_is_kept_in_a_storm(tmp_path: Path) -> None:
    valkey = start_or_skip(durable=True)
    try:
        report = await run_storm(tmp_path, valkey, REDUCED, print)
    finally:
        valkey.stop()
    print(report)
    assert not report.broken
