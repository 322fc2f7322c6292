"""The page before anything is asked: what it is, which model answers, and what one could ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.e2e.page import OpenPage, expect_connected, expect_status, prompts, stop_if_running
from tests.e2e.scripted import ScriptedServer
from tests.e2e.visitors import Visitors, serving_fast, visiting
from tests.support.processes import ServeProcess


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(
        tmp_path_factory.mktemp("starters"),
        CHATSTREAM_STARTERS='["say <b>bold</b>", "say two\\nlines"]',
    )


@pytest.fixture
def own_visitors(browser: Browser, own_server: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, own_server)


def test_a_starter_is_asked_at_once_and_a_draft_stays(open_fast: OpenPage) -> None:
    page = open_fast()
    expect(page.locator("#welcome-model")).to_have_text("fake")
    starters = page.locator(".starter")
    expect(starters).to_have_count(4)
    page.locator("#prompt").fill("half a thought")
    text = starters.nth(2).inner_text()
    starters.nth(2).click()
    answer = page.locator(".answer")
    expect_status(answer, "in_progress")
    assert prompts(page) == [text]
    expect(page.locator("#welcome")).to_be_hidden()
    expect(page.locator("#prompt")).to_have_value("half a thought")
    expect(page.locator("#prompt")).to_be_focused()
    expect(page).to_have_url(re.compile("/c/"))
    stop_if_running(page)  # the button is Send's while something is written
    expect_status(answer, "cancelled")
    page.reload()
    expect_connected(page)
    expect(page.locator("#welcome")).to_be_hidden()
    assert prompts(page) == [text]


def test_a_model_that_is_loaded_later_is_named_without_a_word(open_fast: OpenPage) -> None:
    page = open_fast()
    server = ScriptedServer(page, model=None, service="loading")
    expect(page.locator("#welcome-model")).to_be_hidden()
    page.evaluate(
        """() => {
            window.states = [];
            const seen = ({ target }) => window.states.push(target.dataset.state);
            new MutationObserver((all) => all.forEach(seen)).observe(
                document.getElementById("connection"),
                { attributeFilter: ["data-state"] },
            );
        }"""
    )
    server.load(model="late")
    expect(page.locator("#welcome-model")).to_have_text("late")
    expect(page.locator("#model")).to_have_text("late")
    assert set(page.evaluate("window.states")) <= {"open"}
    expect_status(server.ask("say on"), "in_progress")
    server.end(text="on")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_by_keyboard_in_japanese_on_every_width(
    open_fast: OpenPage, width: int, scheme: Any
) -> None:
    page = open_fast(locale="ja-JP", color_scheme=scheme, viewport={"width": width, "height": 640})
    expect(page.locator("#welcome-model")).to_be_visible()
    for selector in ("html", "#scroller"):
        assert page.locator(selector).evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    starters = page.get_by_role("list", name="質問の例").get_by_role("button")
    texts = starters.all_inner_texts()
    assert [text for text in texts if re.search("[A-Za-z]", text)] == []
    starters.first.focus()
    page.keyboard.press("Tab")
    expect(starters.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect_status(page.locator(".answer"), re.compile("queued|in_progress"))
    assert prompts(page) == [texts[1]]


def test_the_operators_own_are_text_and_nothing_else(own_visitors: Visitors) -> None:
    page = own_visitors.open()
    expect_connected(page)
    expect(page.locator(".starter")).to_have_text(["say <b>bold</b>", "say two lines"])
    page.locator(".starter").nth(1).click()
    answer = page.locator(".answer")
    expect_status(answer, "completed")
    assert prompts(page) == ["say two\nlines"]
