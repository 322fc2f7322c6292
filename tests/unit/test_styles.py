"""Style sheets: each is loaded somewhere, a page loads few, and no custom property is missing."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.processes import ROOT

STATIC = ROOT / "static"
SHEETS = sorted((STATIC / "streaming").rglob("*.css"))
MOST_OF_A_PAGE = 16
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


TOKENS = STATIC / "streaming/shared/tokens.css"
STATUSES = ("waiting", "running", "held", "ok", "failed")
COLOUR = re.compile(r"(--[\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG 2 defines it."""
    shares = [part / 255 for part in bytes.fromhex(colour[1:])]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_colour_of_a_role_or_a_status_can_be_read() -> None:
    """On what it stands on, in light (0) and dark (1): 4.5 to 1 for text, 3 to 1 for edges."""
    found = COLOUR.findall(TOKENS.read_text(encoding="utf-8"))
    colours = {name.removeprefix("--"): pair for name, *pair in found}
    surfaces = ("bg", "surface", "raised", "bubble")
    pairs = [
        (text, on, 4.5)
        for text in ("ink", "muted", "accent", "danger", *STATUSES)
        for on in (*surfaces, *((f"{text}-soft",) if f"{text}-soft" in colours else ()))
    ]
    pairs += [("accent-ink", "accent", 4.5), ("accent-ink", "accent-hover", 4.5)]
    pairs += [
        ("danger-ink", "danger", 4.5),
        ("line-strong", "surface", 3),
        ("line-strong", "bg", 3),
    ]
    poor = [
        (text, on, theme)
        for text, on, least in pairs
        for theme in (0, 1)
        if contrast(colours[text][theme], colours[on][theme]) < least
    ]
    assert poor == []


def test_the_tokens_style_no_element() -> None:
    """The admin loads them alone, beside its own styles."""
    text = re.sub(r"/\*.*?\*/", "", TOKENS.read_text(encoding="utf-8"), flags=re.S)
    selectors = {part.strip() for part in re.findall(r"([^{};]+)\{", text)}
    of_the_root = re.compile(r"@media .+|(html)?:root(\[.+\])?")
    assert [selector for selector in selectors if not of_the_root.fullmatch(selector)] == []
