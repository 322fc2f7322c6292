"""docs/models.md says what the tests try."""

from __future__ import annotations

import pytest

from tests.support.models_page import PAGE, with_tables


def test_its_tables_are_those_of_today() -> None:
    page = PAGE.read_text(encoding="utf-8")
    due = "docs/models.md is old; write it anew: python -m tests.support.models_page"
    assert with_tables(page) == page, due


def test_a_place_that_is_gone_is_noticed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    with pytest.raises(AssertionError, match="no place for the table of ggufs"):
        with_tables(page.replace("<!-- ggufs -->", ""))
