"""Style sheets: each is loaded somewhere, a page loads few, and no custom property is missing."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.processes import ROOT

STATIC = ROOT / "static"
SHEETS = sorted((STATIC / "streaming").rglob("*.css"))
MOST_OF_A_PAGE = 12
"""Over HTTP/1.1 each is a request of its own; the one for printing is not waited for."""


def loaded(*templates: str) -> list[str]:
    """The style sheets that templates link, in their order."""
    text = "".join((ROOT / "templates" / name).read_text(encoding="utf-8") for name in templates)
    return re.findall(r'rel="stylesheet" href="{% static "([^"]+)" %}"', text)


def test_each_is_loaded() -> None:
    sources = [*(ROOT / "templates").rglob("*.html"), *(ROOT / "streaming/admin").glob("*.py")]
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    names = [sheet.relative_to(STATIC).as_posix() for sheet in SHEETS]
    assert [name for name in names if f'"{name}"' not in text] == []


def test_the_chat_page_loads_few_and_the_tokens_first() -> None:
    chat = loaded("streaming/base.html", "streaming/chat.html", "streaming/sidebar.html")
    assert chat[0] == "streaming/shared/tokens.css"
    assert len(chat) == len(set(chat))
    assert len(chat) - 1 <= MOST_OF_A_PAGE
    assert all((STATIC / name).is_file() for name in chat)


def properties(sheets: list[Path]) -> tuple[set[str], set[str]]:
    """The custom properties that style sheets set, and those that they use."""
    text = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    return set(re.findall(r"^\s*(--[\w-]+):", text, re.M)), set(
        re.findall(r"var\((--[\w-]+)", text)
    )


def test_no_property_is_used_that_is_not_set() -> None:
    """The admin's pages are left out: theirs are Django's."""
    chat = loaded("streaming/base.html", "streaming/chat.html", "streaming/sidebar.html")
    accounts = loaded("streaming/base.html", "streaming/accounts/base.html")
    for names in (chat, accounts):
        known, used = properties([STATIC / name for name in names])
        assert used - known == set()
