"""A short siege; the long one, with its bounds in milliseconds, is a command (`docs/faults.md`)."""

from __future__ import annotations

from pathlib import Path

from tests.faults.siege.__main__ import lay


async def test_a_server_under_attack_answers_others_and_loses_nothing(tmp_path: Path) -> None:
    siege = await lay(3, 6, tmp_path)
    assert not siege.lost, siege.lost
