"""The waiting list in memory is atomic because none of its operations awaits anything."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from streaming.waiting_list import memory

MODULES = sorted(Path(memory.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_operation_of_the_list_in_memory_awaits(path: Path) -> None:
    awaiting = (ast.Await, ast.AsyncFor, ast.AsyncWith)
    tree = ast.parse(path.read_text("utf-8"))
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, awaiting)] == []
