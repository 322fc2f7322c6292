"""Prompts that wait on the page: each with a status and a Cancel of its own, also while offline."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.page import (
    LONG,
    OpenPage,
    ask,
    expect_connected,
    expect_status,
    prompts,
    stop,
    wait_for_text,
    withdraw,
)

BANNER = "#queue-banner"
STATE = "#connection"


def offline(page: Page) -> None:
    page.context.set_offline(True)
    expect(page.locator(STATE)).to_have_attribute("data-state", "lost")


def test_each_held_turn_has_its_own_status_and_cancel(open_fast: OpenPage) -> None:
    page = open_fast()
    first = ask(page, LONG)
    wait_for_text(first)
    second, third = ask(page, "say two"), ask(page, "say three")
    for held in (second, third):
        expect(held.locator(".wait-text")).to_have_text("Waits for your previous answer")
        expect(held.locator(".withdraw")).to_be_visible()
    # Above the box, below the third one, nothing takes the second one back.
    expect(page.locator(BANNER)).to_contain_text("2 of your prompts wait")
    expect(page.locator("#withdraw")).to_be_hidden()
    expect(page.locator(BANNER)).to_be_hidden()  # each says it in its place
    withdraw(third)
    expect(second).to_have_attribute("data-status", "queued")
    expect(second.locator(".withdraw")).to_be_visible()
    stop(page, first)
    expect_status(second, "completed")
    expect(second.locator(".wait")).to_be_hidden()


def test_a_prompt_that_waits_alone_is_told_once_and_in_its_place(open_fast: OpenPage) -> None:
    busy, page = open_fast(), open_fast()
    running = ask(busy, LONG)
    wait_for_text(running)
    waiting = ask(page, "say hello")
    expect(waiting.locator(".wait-card")).to_contain_text("You are next")
    expect(waiting.locator(".wait")).to_be_hidden()
    expect(page.locator(BANNER)).to_be_hidden()
    withdraw(waiting)
    stop(busy, running)


def test_what_is_written_offline_is_not_sent_yet_and_the_loss_stays_said(
    open_fast: OpenPage,
) -> None:
    page = open_fast()
    offline(page)
    expect(page.locator("#notice")).to_contain_text("Connection lost")
    first = ask(page, "say one")
    expect(page.locator(BANNER)).to_contain_text("Not sent yet")
    expect(page.locator("#notice")).to_contain_text("Connection lost")
    second = ask(page, "say two")
    for waiting in (first, second):
        expect(waiting.locator(".wait-text")).to_have_text("Not sent yet")
    expect(page.locator("#notice")).to_contain_text("Connection lost")
    second.locator(".withdraw").click()  # was never sent: it is in the box again
    expect(page.locator("#prompt")).to_have_value("say two")
    assert prompts(page) == ["say one"]
    page.context.set_offline(False)
    expect_connected(page)
    expect_status(first, "completed")
    expect(page.locator("#notice")).to_be_hidden()


def test_the_loss_is_said_again_below_what_covered_it(open_fast: OpenPage) -> None:
    """A passing notice lies over the standing one, and does not end it."""
    page = open_fast()
    answer = ask(page, "say hello")
    expect_status(answer, "completed")
    offline(page)
    answer.locator(".like").click()
    expect(page.locator("#notice")).to_contain_text("The rating could not be kept")
    page.locator("#notice-close").click()
    expect(page.locator("#notice")).to_contain_text("Connection lost")
    expect(page.locator("#notice-close")).to_be_hidden()
    page.context.set_offline(False)
    expect_connected(page)
    expect(page.locator("#notice")).to_be_hidden()
