"""The modules that `docs/engine.md` names are there."""

from __future__ import annotations

import re

import pytest

from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "engine.md").read_text(encoding="utf-8")
ENGINE = ROOT / "streaming" / "engine"
PATHS = sorted({path for path in re.findall(r"`([\w./-]+(?:\.py|/))`", PAGE) if "://" not in path})


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("path", PATHS)
def test_a_module_is_where_the_page_says(path: str) -> None:
    """From the repository, from the engine's folder, or beside one that was named by its folder."""
    rooms = [ROOT, ENGINE, *(each for each in ENGINE.rglob("*") if "/" not in path)]
    assert any((room / path).exists() for room in rooms)


def test_each_module_of_the_upstream_engine_has_a_row() -> None:
    named = set(re.findall(r"`(\w+\.py)`", section("The upstream engine")))
    modules = {path.name for path in (ENGINE / "upstream").glob("*.py")}
    assert modules - named == {"__init__.py", "host.py"}


def test_the_rooms_are_those_of_the_engine() -> None:
    rooms = {path.parent for path in ENGINE.rglob("__init__.py")} - {ENGINE}
    table = PAGE.split("\n## ")[0]
    told = {ENGINE / name for name in re.findall(r"`([\w/]+)/`", table)}
    assert rooms <= told
