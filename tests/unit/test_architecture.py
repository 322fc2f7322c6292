"""What `docs/architecture.md` says of rooms, functions and files is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
APP = [path.read_text(encoding="utf-8") for path in (ROOT / "streaming").rglob("*.py")]
FOLDERS = ("streaming/", "static/", "templates/", "docs/", "tests/", "chatsite/")
MOST_PLACES = 4


def rows(heading: str) -> list[list[str]]:
    """The cells of the rows of the table in a section, its head left out."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def test_the_rooms_stand_in_the_linters_order() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    line_of = {
        room.strip().removeprefix("streaming."): number
        for number, line in enumerate(layers)
        for room in re.split("[|:]", line)
    }
    told = [room for row in rows("The rooms") for room in quoted(row[0])]
    assert set(told) == line_of.keys() - {"chatsite", "__main__"}
    lines = [line_of[room] for room in told]
    assert lines == sorted(lines)


WHERE = rows("Where do I change ...?")


@pytest.mark.parametrize(("what", "where"), WHERE, ids=[row[0] for row in WHERE])
def test_each_change_has_its_place_in_few_files_that_are_there(what: str, where: str) -> None:
    places = [name for name in quoted(where) if name.startswith(FOLDERS)]
    for place in places:
        assert (ROOT / place.replace("NAME", "")).parent.is_dir(), place
        assert "NAME" in place or (ROOT / place).exists(), place
    whole = [place for place in places if not place.startswith("tests/")]
    assert 0 < len(whole) <= MOST_PLACES
    for name in re.findall(r"\(`(\w+)`[,)]", where):
        assert any(re.search(rf"\b{name}\b", text) for text in APP), name


def test_the_functions_of_the_journey_of_a_token_are_there() -> None:
    journey = PAGE.split("**The journey of a token**")[1].split("\n\n")[1]
    assert len(re.findall(r"^\d+\. ", journey, re.MULTILINE)) == 10
    for name in quoted(journey):
        if re.fullmatch(r"[\w.]+\.\w+", name):
            function = name.rpartition(".")[2]
            found = rf"(def|class) {function}\b|{function} ="
            is_module = (ROOT / "streaming" / f"{name.replace('.', '/')}.py").exists()
            is_script = function == "js"
            assert is_module or is_script or any(re.search(found, text) for text in APP), name
