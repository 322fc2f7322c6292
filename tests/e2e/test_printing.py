"""What is printed is the conversation, whole, on white paper."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.page import OpenPage, ask, expect_status, stop, wait_for_text

ANSWER = (
    "say ```python\nx = "
    + "123456 * " * 30
    + "7\n```\n\n"
    + "\n\n".join(f"Paragraph number {number} of many." for number in range(70))
)
TALE = "a long tale " * 500


def sheets(page: Page) -> int:
    """How many pages a print has."""
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))


def colours(page: Page, selector: str) -> list[str]:
    """Of the paper, and of what is written on it."""
    found: list[str] = page.locator(selector).first.evaluate(
        "e => ['backgroundColor', 'color'].map((name) => getComputedStyle(e)[name])"
    )
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_printing_prints_the_conversation(open_fast: OpenPage, scheme: Any) -> None:
    page = open_fast(color_scheme=scheme, viewport={"width": 1280, "height": 700})
    expect_status(ask(page, ANSWER), "completed")
    answer = ask(page, TALE)
    wait_for_text(answer)
    stop(page, answer)
    print("sheets:", sheets(page))
    assert sheets(page) >= 3
    page.emulate_media(media="print")
    for selector in ("#side", ".dock", ".brand", ".model", ".new", ".actions", ".more", ".skip"):
        for found in page.locator(selector).all():
            expect(found).not_to_be_visible()
    expect(page.locator("h1")).to_be_visible()
    cut = """() => [...document.querySelectorAll("#scroller, .bubble, html, body")]
        .filter((e) => getComputedStyle(e).overflowY !== "visible"
            && e.scrollHeight > e.clientHeight + 1).map((e) => e.className || e.tagName)"""
    assert page.evaluate(cut) == []
    assert colours(page, "body") == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    assert colours(page, ".code") == ["rgb(244, 242, 236)", "rgb(0, 0, 0)"]
    for box in page.locator("pre").all():  # a long line goes on in the next one
        assert box.evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0


def test_details_are_printed_whole(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 1280, "height": 700})
    inside = "\n\n".join(f"Paragraph number {number} of many." for number in range(70))
    text = f"say <details>\n<summary>More</summary>\n\n{inside}\n\n</details>"
    expect_status(ask(page, text), "completed")
    details = page.locator(".answer .text details")
    assert details.evaluate("e => e.offsetHeight") < 100
    page.emulate_media(media="print")
    assert details.evaluate("e => e.offsetHeight") > 1500
