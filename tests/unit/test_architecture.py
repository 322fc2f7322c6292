"""What `docs/architecture.md` says of rooms, functions and files is so."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
APP = [path.read_text(encoding="utf-8") for path in (ROOT / "streaming").rglob("*.py")]
FOLDERS = ("streaming/", "static/", "templates/", "docs/", "tests/", "chatsite/")
MOST_PLACES = 4
FOLDERS_OR_EVENTS = ("delivery", "response")
DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


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


def members() -> dict[str, set[str]]:
    """What each class of the app, and each module by its last name, has of functions and classes;
    a class also what its bases have."""
    found: dict[str, set[str]] = defaultdict(set)
    bases: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "streaming").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[path.stem] |= {node.name for node in tree.body if isinstance(node, DEFINED)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name] |= {each.name for each in node.body if isinstance(each, DEFINED)}
                bases[node.name] |= {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    for _ in range(4):
        for name, above in bases.items():
            found[name] |= set().union(*(found[base] for base in above if base in found))
    return found


@pytest.mark.parametrize("of", ["prompt", "token"])
def test_the_functions_of_a_journey_are_there(of: str) -> None:
    journey = PAGE.split(f"**The journey of a {of}**")[1].split("\n\n")[1]
    assert len(re.findall(r"^\d+\. ", journey, re.MULTILINE)) == 10
    known = members()
    named = [name.split(".") for name in quoted(journey) if re.fullmatch(r"\w+\.\w+", name)]
    named = [parts for parts in named if parts[1] != "js" and parts[0] not in FOLDERS_OR_EVENTS]
    assert len(named) > 10
    for owner, function in named:
        assert function in known[owner], (owner, function)
