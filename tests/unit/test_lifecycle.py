"""One place accepts, starts, ends and forgets a response; the table of transitions is whole."""

from __future__ import annotations

import ast
import pkgutil
from functools import cache
from pathlib import Path

import pytest

import streaming
from streaming.lifecycle.transitions import ENDED, OPEN, TRANSITIONS, Stage
from streaming.models import OPEN as OPEN_ROWS
from streaming.models import TERMINAL

ROOT = Path(streaming.__file__).parent


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    """The app's files below `streaming`, and what they say."""
    paths = sorted(ROOT.rglob("*.py"))
    return [(path.relative_to(ROOT), ast.parse(path.read_text())) for path in paths]


@cache
def calls() -> list[tuple[str, str, str]]:
    """Each call of a method or of a module's function in the app: file and function, what it is
    called on, its name."""
    found = []
    for path, tree in trees():
        if path.parts[0] in ("waiting_list", "migrations"):
            continue
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    on = ast.unparse(node.func.value)
                    found.append((f"{path}:{function.name}", on, node.func.attr))
    return found


def callers(name: str, *targets: str) -> set[str]:
    """Where `name` of something that ends with one of the targets is called."""
    return {where for where, on, what in calls() if what == name and on.endswith(targets)}


LISTS = ("waiting_list", "._list", "_list()")
MARKERS = {"lifecycle/arrivals.py:mark_queued", "lifecycle/reconciler.py:_put_back"}
DELETERS = {"lifecycle/forgetting.py:forget", "lifecycle/forgetting.py:forget_in_transaction"}


@pytest.mark.parametrize(
    ("name", "targets", "where"),
    [
        ("create", ("creation",), {"lifecycle/accepting.py:accept"}),
        ("enqueue", LISTS, {"lifecycle/accepting.py:admit"}),
        ("discard", ("deletion",), {"lifecycle/accepting.py:_place"}),
        ("mark_queued", ("standing",), MARKERS),
        ("start_all", ("starts",), {"lifecycle/starting.py:start"}),
        ("end", ("endings",), {"lifecycle/ending.py:end"}),
        ("finish", LISTS, {"lifecycle/ending.py:_take_out"}),
        ("withdraw", LISTS, {"lifecycle/ending.py:_take_out"}),
        ("delete", ("deletion",), DELETERS),
    ],
)
def test_record_and_list_are_touched_together_in_one_place(
    name: str, targets: tuple[str, ...], where: set[str]
) -> None:
    assert callers(name, *targets) == where


GUARDED = {
    "creation": {"lifecycle/accepting.py"},
    "starts": {"lifecycle/starting.py"},
    "endings": {"lifecycle/ending.py"},
    "deletion": {"lifecycle/accepting.py", "lifecycle/forgetting.py"},
    "standing": {
        "lifecycle/arrivals.py",
        "lifecycle/reconciler.py",
        "lifecycle/recovery.py",
    },
}
"""Modules of the record that write what the list must hear of, and who imports them. Data classes
may be imported from them by anybody, functions not."""


@pytest.mark.parametrize("module", GUARDED)
def test_what_writes_the_record_is_imported_by_the_lifecycle_alone(module: str) -> None:
    """So that no other name leads past the test of the calls."""
    found = set()
    for where, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom | ast.Import):
                continue
            names = {alias.name for alias in node.names}
            of = node.module if isinstance(node, ast.ImportFrom) else ""
            if of == "streaming.record" and module in names:
                found.add(str(where))
            inside = of == f"streaming.record.{module}" and where.parts[0] != "record"
            if inside and any(not name[0].isupper() for name in names):
                found.add(str(where))
            if f"streaming.record.{module}" in names:
                found.add(str(where))
    assert found == GUARDED[module]


def test_rows_of_the_record_are_made_and_deleted_in_the_record_alone() -> None:
    """Through Django's managers and instances, as far as their names tell."""
    tables = tuple(f"{model}.objects" for model in ("Conversation", "Message", "Response"))
    writes = ("create", "acreate", "bulk_create", "get_or_create", "delete", "adelete")
    found = {where for where, on, name in calls() if name in writes and on.startswith(tables)}
    assert {where.partition(":")[0] for where in found} == {
        "record/conversation_items.py",
        "record/creation.py",
        "record/endings.py",
        "record/retention.py",
        "record/titles.py",
    }


def test_nothing_but_the_records_end_writes_an_ended_status() -> None:
    """Whatever else updates rows of responses names an open status, or none."""
    ended = {status.name for status in TERMINAL}
    found = set()
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".update"):
                words = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if words.get("status", "").rpartition(".")[2] in ended or None in words:
                    found.add(f"{path}: {ast.unparse(node)}")
    of_the_lock = "record/lock_row.py: seen.update(**ours)"  # a table of its own
    of_a_name = (  # who did it: columns that are found by their kind
        "accounts/deletion.py: model._default_manager.filter(**of_user).update(**{field.name: ''})"
    )
    of_a_message = (  # without the item that is taken out of it
        "record/conversation_items.py: Message.objects.filter(pk=key).update(**left)"
    )
    ends = "record/endings.py: open_rows.update(**fields)"
    assert found == {ends, of_the_lock, of_a_name, of_a_message}


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


def test_the_functions_that_the_table_names_exist() -> None:
    for name in {name for transition in TRANSITIONS for name in transition.by}:
        of_list = name.startswith("WaitingList.")
        package = "waiting_list.interface.waiting_list" if of_list else "lifecycle"
        assert callable(pkgutil.resolve_name(f"streaming.{package}.{name}")), name


def named(stages: tuple[Stage, ...]) -> str:
    if stages in (OPEN, (*OPEN, *ENDED)):
        return "any open" if stages == OPEN else "any"
    return ", ".join(stage if stage is Stage.NONE else f"`{stage}`" for stage in stages)


def test_the_table_of_the_documentation_is_the_one_in_the_code() -> None:
    page = (ROOT.parent / "docs" / "architecture.md").read_text()
    table = page.split("**The transitions of a response**")[1].split("\n| from |")[1]
    rows = table.split("\n\n")[0].splitlines()[2:]
    for row, each in zip(rows, TRANSITIONS, strict=True):
        by = ", ".join(f"`{name}`" for name in each.by)
        words = (each.asked_by, by, each.first, each.then, each.mended)
        assert row == f"| {' | '.join([named(each.before), named(each.after), *words])} |"
