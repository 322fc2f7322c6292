"""Every room says what it is for."""

from __future__ import annotations

import ast
from pathlib import Path

import streaming

APP = Path(streaming.__file__).parent
BY_NAME = {"apps.py", "models.py", "__init__.py", "__main__.py"}


def test_every_package_has_a_docstring() -> None:
    for path in sorted(APP.rglob("__init__.py")):
        if path.parent.name != "migrations":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_no_module_stands_beside_the_rooms() -> None:
    assert {path.name for path in APP.glob("*.py")} == BY_NAME
