"""An answer without a word: said, with ways on, while the page is open and after a reload."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.page import OpenPage, ask, expect_connected, expect_status

NOTHING = "The model wrote nothing"


def test_an_empty_answer_says_so_and_leaves_ways_on(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = ask(page, "stop 0")
    expect_status(answer, "completed")
    for _ in range(2):
        expect(answer.locator(".meta-text")).to_contain_text(NOTHING)
        expect(answer.locator(".retry")).to_be_visible()
        expect(answer.locator(".rewrite")).to_be_visible()
        expect(answer.locator(".copy-answer")).to_be_hidden()
        page.reload()
        expect_connected(page)
    answer.locator(".rewrite").click()
    box = page.locator(".editor-text")
    expect(box).to_be_focused()
    box.fill("say hello")
    box.press("Enter")
    expect_status(answer, "completed")
    expect(answer.locator(".text")).to_have_text("hello")
    expect(page.locator(".prompt .version")).to_have_text("2 / 2")
    expect(answer.locator(".rewrite")).to_be_hidden()


def test_it_is_heard_and_can_be_asked_again(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = ask(page, "stop 0")
    expect_status(answer, "completed")
    expect(page.locator("#status")).to_have_text(NOTHING + ".")
    answer.locator(".retry").click()
    expect(answer.locator(".version")).to_have_text("2 / 2")
    expect_status(answer, "completed")
    expect(answer.locator(".meta-text")).to_contain_text(NOTHING)
    expect_status(ask(page, "say on"), "completed")


@pytest.mark.parametrize("blank", [" \n\n ", "\u200b"])
def test_so_does_one_of_blanks_alone(open_fast: OpenPage, blank: str) -> None:
    page = open_fast()
    answer = ask(page, f"say {blank}.")
    expect_status(answer, "completed")
    expect(answer.locator(".retry")).to_be_hidden()  # there is a full stop
    answer = ask(page, f"say {blank}")
    expect_status(answer, "completed")
    expect(answer.locator(".meta-text")).to_contain_text(NOTHING)
    expect(answer.locator(".retry")).to_be_visible()
    expect(answer.locator(".copy-answer")).to_be_hidden()
