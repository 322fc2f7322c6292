"""One place accepts and one ends a response; the table of transitions is whole."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import streaming
from streaming.lifecycle.transitions import ENDED, OPEN, TRANSITIONS, Stage
from streaming.models import OPEN as OPEN_ROWS
from streaming.models import TERMINAL

ROOT = Path(streaming.__file__).parent

LIST_ITSELF = ROOT / "waiting_list"


def calls() -> Iterator[tuple[str, str, str]]:
    """Each call of a method or of a module's function in the app: file and function, what it is
    called on, its name."""
    for path in sorted(ROOT.rglob("*.py")):
        if LIST_ITSELF in path.parents or "migrations" in path.parts:
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            where = f"{path.relative_to(ROOT)}:{function.name}"
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    yield where, ast.unparse(node.func.value), node.func.attr


def callers(name: str, *targets: str) -> set[str]:
    """Where `name` of something that ends with one of the targets is called."""
    return {where for where, on, what in calls() if what == name and on.endswith(targets)}


MARKERS = {"lifecycle/arrivals.py:accept", "lifecycle/reconciler.py:_put_back"}
LISTS = ("waiting_list", "._list", "_list()")


@pytest.mark.parametrize(
    ("name", "targets", "where"),
    [
        ("end", ("queries",), {"lifecycle/ending.py:end"}),
        ("finish", LISTS, {"lifecycle/ending.py:_take_out"}),
        ("withdraw", LISTS, {"lifecycle/ending.py:_take_out"}),
        ("enqueue", LISTS, {"lifecycle/responses.py:enqueue"}),
        ("mark_queued", ("queries",), MARKERS),
    ],
)
def test_record_and_list_are_touched_together_in_one_place(
    name: str, targets: tuple[str, ...], where: set[str]
) -> None:
    assert callers(name, *targets) == where


def test_nothing_but_the_records_end_writes_an_ended_status() -> None:
    """Whatever else updates rows of responses names an open status, or none."""
    ended = {status.name for status in TERMINAL}
    found = set()
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".update"):
                words = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if words.get("status", "").rpartition(".")[2] in ended or None in words:
                    found.add(f"{path.relative_to(ROOT)}: {ast.unparse(node)}")
    of_the_lock = "lifecycle/list_lock.py: seen.update(**ours)"  # a table of its own
    assert found == {"record/queries.py: open_rows.update(**fields)", of_the_lock}


def test_the_table_leads_from_the_beginning_through_every_stage_to_every_end() -> None:
    after = {stage for transition in TRANSITIONS for stage in transition.after}
    before = {stage for transition in TRANSITIONS for stage in transition.before}
    assert after == before == set(Stage)
    for stage in OPEN:  # whoever is open can be cancelled and can fail
        ends = {end for each in TRANSITIONS if stage in each.before for end in each.after}
        assert {Stage.CANCELLED, Stage.FAILED} <= ends
    for each in TRANSITIONS:  # what has ended stays so
        assert not set(each.before) & set(ENDED) or each.after == (Stage.NONE,)


def test_the_stages_are_those_of_the_record_and_the_held_ones() -> None:
    assert set(ENDED) == {status.value for status in TERMINAL}
    assert set(OPEN) - {Stage.HELD} == {status.value for status in OPEN_ROWS}
