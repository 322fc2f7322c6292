"""What the tests of the chat page do with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

PATIENCE = 90_000
LONG = "Write a very long story about the sea, with many chapters."

OpenPage = Callable[..., Page]


@contextmanager
def pages(browser: Browser, url: str) -> Iterator[OpenPage]:
    """Opens pages; at the end what still runs is stopped, and no page may have complained.

    `open_page(like=page)` is another tab of the same visitor; `path` is where it begins.
    """
    complaints: list[str] = []
    contexts: list[BrowserContext] = []

    def open_page(*, like: Page | None = None, path: str = "/", **options: Any) -> Page:
        if like is None:
            contexts.append(browser.new_context(**options))
        page = (like.context if like else contexts[-1]).new_page()
        watch(page, complaints)
        page.goto(url + path)
        expect_connected(page)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            if not page.is_closed():
                stop_if_running(page)
                page.wait_for_timeout(50)
        context.close()
    assert complaints == []


def watch(page: Page, complaints: list[str]) -> None:
    """Collect script errors and what the console says, the policy's complaints included."""
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: _collect(message, complaints))


def _collect(message: ConsoleMessage, complaints: list[str]) -> None:
    is_offline = "net::ERR_INTERNET_DISCONNECTED" in message.text  # a test did that
    if message.type in ("error", "warning") and not is_offline:
        complaints.append(message.text)


def expect_connected(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "open", timeout=PATIENCE)


def ask(page: Page, text: str) -> Locator:
    """Type and send, on a phone by the button; the answer's element."""
    count = page.locator(".answer").count()
    page.locator("#prompt").fill(text)
    if page.evaluate("matchMedia('(pointer: coarse)').matches"):
        page.locator("#send").tap()
    else:
        page.locator("#prompt").press("Enter")
    answer = page.locator(".answer").nth(count)
    expect(answer).to_be_attached()
    return answer


def expect_status(answer: Locator, status: str | re.Pattern[str]) -> None:
    expect(answer).to_have_attribute("data-status", status, timeout=PATIENCE)


def expect_answered(answer: Locator) -> None:
    expect_status(answer, re.compile("^(completed|incomplete)$"))


def stop(page: Page, answer: Locator) -> None:
    page.locator("#stop").click()
    expect_status(answer, "cancelled")


def stop_if_running(page: Page) -> None:
    """In one go: between a look and a click the answer may end and its button go."""
    page.evaluate(
        """() => {
            const stop = document.getElementById("stop");
            if (stop && !stop.hidden) stop.click();
        }"""
    )


def expect_waiting(answer: Locator) -> None:
    """The server has its prompt: what is taken back before that is in the box again."""
    expect(answer).to_have_attribute("data-state", re.compile("^(queued|held)$"), timeout=PATIENCE)


def withdraw(answer: Locator) -> None:
    """Take a waiting prompt back, by its card or its line."""
    expect_waiting(answer)
    # The line of one that is in the queue gives way to the card as soon as that is loaded.
    is_held = answer.get_attribute("data-state") == "held"
    answer.locator(".withdraw" if is_held else ".wait-withdraw").click()
    expect_status(answer, "cancelled")


def wait_for_text(answer: Locator) -> None:
    expect(answer.locator(".text")).to_have_text(re.compile(r"\S[\s\S]{8,}"), timeout=PATIENCE)


def text_of(answer: Locator) -> str:
    return answer.locator(".text").inner_text()


def prompts(page: Page) -> list[str]:
    return page.locator(".bubble").all_inner_texts()


def answers(page: Page) -> list[str]:
    return [text.strip() for text in page.locator(".answer .text").all_inner_texts()]
