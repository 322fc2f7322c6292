"""The README says what is true."""

from __future__ import annotations

from streaming.conf import settings_table
from tests.support.processes import ROOT


def test_the_settings_table_is_the_codes() -> None:
    assert settings_table() in (ROOT / "README.md").read_text(encoding="utf-8")
