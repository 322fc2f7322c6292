"""The systemd units in `deploy/` start what there is, and the documentation installs them all."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest
from django.core.management import get_commands

from tests.support.processes import ROOT

UNITS = sorted(
    path for path in (ROOT / "deploy").iterdir() if path.suffix in (".service", ".timer")
)


def read(path: Path) -> ConfigParser:
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(path.read_text(encoding="utf-8"))
    return unit


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_documented_and_starts_something(path: Path) -> None:
    unit = read(path)
    assert unit["Unit"]["Description"].startswith("ChatStream")
    assert f"deploy/{path.name}" in (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    if path.suffix == ".timer":
        assert unit["Install"]["WantedBy"] == "timers.target"
        assert path.with_suffix(".service") in UNITS
    else:
        _python, manage, command, *_options = unit["Service"]["ExecStart"].split()
        assert manage == "manage.py"
        assert get_commands()[command] == "streaming"


def test_old_data_has_a_timer() -> None:
    assert {"chatstream-prune.service", "chatstream-prune.timer"} <= {path.name for path in UNITS}


def test_each_file_to_deploy_is_documented() -> None:
    docs = "".join(
        (ROOT / "docs" / name).read_text(encoding="utf-8")
        for name in ("deployment.md", "monitoring.md")
    )
    docs += (ROOT / "deploy" / "Procfile").read_text(encoding="utf-8")
    names = {path.name for path in (ROOT / "deploy").iterdir()}
    assert {path.name for path in UNITS} < names
    assert [name for name in sorted(names) if f"deploy/{name}" not in docs] == []
