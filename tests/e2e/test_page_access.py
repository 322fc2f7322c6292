"""The page for everybody: by keyboard, by screen reader, on every width, light and dark."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.page import (
    LONG,
    OpenPage,
    ask,
    expect_status,
    stop,
    wait_for_text,
)
from tests.e2e.visitors import bytes_moved
from tests.support.processes import ServeProcess

RICH = (
    "say ## Title\n\nSome `code` in *text*.\n\n"
    "```python\nx = 1\n```\n\n| a | b |\n|--|--|\n| 1 | 2 |"
)
WORLD = (
    rf"say Long: \({' + '.join(f'a_{{{number}}}' for number in range(60))}\), and $$x^2$$.[^1]"
    "\n\n- [ ] open\n- [x] *done*, see ![a cat](https://example.com/cat.png)\n\n"
    "<details>\n<summary>More</summary>\n\nInside, <kbd>Ctrl</kbd> and <mark>this</mark>.\n\n"
    "</details>\n\n[^1]: A note."
)


def is_accessible(page: Page) -> None:
    found: dict[str, Any] = Axe().run(page).response
    serious = [
        f"{violation['id']}: {[node['html'][:120] for node in violation['nodes']]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_fast: OpenPage, scheme: Any) -> None:
    page = open_fast(color_scheme=scheme, reduced_motion="reduce")
    is_accessible(page)
    expect_status(ask(page, RICH), "completed")
    page.locator(".regenerate").click()
    expect(page.locator(".version")).to_have_text("2 / 2")
    expect_status(page.locator(".answer"), "completed")
    is_accessible(page)
    page.locator(".like").click()
    page.locator(".edit").click()
    is_accessible(page)
    page.keyboard.press("Escape")
    running = ask(page, LONG)
    ask(page, "say later")
    wait_for_text(running)
    is_accessible(page)
    stop(page, running)
    page.locator("#tune").click()
    page.get_by_label("Temperature").fill("7")
    is_accessible(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious_in_what_is_written(
    open_fast: OpenPage, scheme: Any, width: int
) -> None:
    """Formulas, notes, tasks, details, a clamped prompt, and turns that wait."""
    page = open_fast(color_scheme=scheme, viewport={"width": width, "height": 800})
    answer = ask(page, WORLD)
    expect_status(answer, "completed")
    answer.locator(".text summary").click()
    running = ask(page, LONG + "\n" * 30 + "More.")
    wait_for_text(running)
    expect(ask(page, "say later").locator(".wait")).to_be_visible()
    is_accessible(page)
    stop(page, running)


def test_everything_is_in_reach_of_the_keyboard(open_fast: OpenPage) -> None:
    page = open_fast()
    page.keyboard.type(RICH.splitlines()[0])
    page.keyboard.press("Enter")
    answer = page.locator(".answer")
    expect_status(answer, "completed")
    expect(page.locator("#prompt")).to_be_focused()
    reached = []
    for _ in range(8):
        page.keyboard.press("Shift+Tab")
        reached.append(
            page.evaluate("document.activeElement.className || document.activeElement.id")
        )
    assert reached == [
        "round plain",
        "round plain",
        "icon regenerate",
        "icon dislike",
        "icon like",
        "icon copy-answer",
        "icon edit",
        "icon copy-prompt",
    ]
    for selector in (".regenerate", ".edit", "#tune"):
        page.locator(selector).focus()
        page.keyboard.press("Enter")
        if selector == ".regenerate":
            expect(page.locator(".version")).to_have_text("2 / 2")
            expect(page.locator("#prompt")).to_be_focused()
            expect_status(answer, "completed")
        else:
            page.keyboard.press("Escape")
            expect(page.locator(selector)).to_be_focused()


def test_the_streaming_text_is_not_announced(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = ask(page, LONG)
    wait_for_text(answer)
    live = "e => e.closest('[aria-live]:not([aria-live=off]), [role=status], [role=alert]')"
    assert answer.locator(".text").evaluate(f"e => ({live})(e) === null")
    expect(page.locator("#status")).to_have_text("The answer begins.")
    stop(page, answer)
    expect(page.locator("#status")).to_have_text("The answer was stopped.")


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_screen(open_fast: OpenPage, width: int) -> None:
    page = open_fast(viewport={"width": width, "height": 740})
    wide = "x = " + "1 + " * 100
    table = "|" + " a column |" * 30
    rule = "|" + "--|" * 30
    answer = ask(page, f"say {'W' * 300}\n\n```python\n{wide}\n```\n\n{table}\n{rule}\n{table}")
    expect_status(answer, "completed")

    def fits() -> None:
        for selector in ("html", "#scroller", ".dock"):
            over = page.locator(selector).evaluate("e => e.scrollWidth - e.clientWidth")
            assert over <= 0, f"{selector} is {over} px too wide"

    fits()
    page.locator(".edit").click()
    fits()
    page.keyboard.press("Escape")
    page.locator("#tune").click()
    expect(page.locator("#settings")).to_be_visible()  # loaded when it is first asked for
    fits()
    box = page.locator("#settings").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_a_load_is_light(browser: Browser, fast_server: ServeProcess) -> None:
    """The first visit."""
    context = browser.new_context()
    page = context.new_page()
    moved = bytes_moved(page, lambda: page.goto(fast_server.url, wait_until="networkidle"))
    assert len(moved) > 20
    assert sum(moved.values()) < 150_000, moved
    assert all(url.startswith(fast_server.url) for url in moved)
    context.close()
