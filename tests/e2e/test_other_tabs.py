"""What happens elsewhere is seen here: another tab's sign-out, turns and drafts, the operator's
closing and reopening."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.operators import OPERATOR, PATIENCE, button, new_staff, open_queue
from tests.e2e.page import (
    OpenPage,
    answers,
    ask,
    expect_connected,
    expect_status,
    prompts,
    wait_for_text,
)
from tests.e2e.visitors import (
    PASSWORD,
    Visitors,
    ask_and_read,
    new_name,
    serving_fast,
    sign_in,
    sign_up,
    visiting,
)
from tests.support.processes import ServeProcess

NEW_USER = """
from django.contrib.auth.models import User
User.objects.create_user({!r}, password={!r})
"""
EXPIRE = "from django.contrib.sessions.models import Session; Session.objects.all().delete()"


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(tmp_path_factory.mktemp("tabs"))


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server without visitors."""
    yield from serving_fast(tmp_path_factory.mktemp("members"), CHATSTREAM_ANONYMOUS="false")


@pytest.fixture
def visitors(browser: Browser, fast: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, fast)


def sign_out(page: Page) -> None:
    page.locator(".side-foot").get_by_role("button", name="Sign out").click()


def path_of(page: Page) -> str:
    return re.sub(r"^https?://[^/]+", "", page.url)


# --- signed out ---


def expect_told_and_nothing_private(page: Page, title: str, name: str) -> None:
    expect(page.locator("#notice")).to_contain_text("You have been signed out")
    expect(page.locator("#notice-close")).to_be_hidden()
    expect(page.locator("#side").get_by_text(title)).to_have_count(0)
    expect(page.locator("#side").get_by_text(name)).to_have_count(0)
    expect(page.locator("h1")).not_to_contain_text(title)
    assert title not in page.title()


def test_signed_out_in_another_tab(visitors: Visitors, fast: ServeProcess) -> None:
    page, name = visitors.open(), new_name()
    sign_up(page, fast, name)
    ask_and_read(page, "stop 3")
    path = path_of(page)
    other = page.context.new_page()
    other.goto(fast.url)
    sign_out(other)
    expect_told_and_nothing_private(page, "stop 3", name)
    expect_connected(page)  # as the visitor that the browser is now; it stays said
    expect_told_and_nothing_private(page, "stop 3", name)
    page.locator("#notice .notice-link").click()
    sign_in(page, name)
    page.wait_for_url(fast.url + path)
    expect(page.locator(".side-link")).to_have_text(["stop 3"])


def test_signed_out_while_an_answer_comes(visitors: Visitors, fast: ServeProcess) -> None:
    """Neither it nor the prompt behind it is said to be somebody else's."""
    page = visitors.open()
    sign_up(page, fast, new_name())
    answer = ask(page, "stop 380")
    wait_for_text(answer)
    held = ask(page, "stop 6")
    expect(held.locator(".wait")).to_be_visible()
    other = page.context.new_page()
    other.goto(fast.url)
    sign_out(other)
    for each in (answer, held):
        expect_status(each, "failed")
        expect(each.locator(".meta-text")).to_have_text("You have been signed out.")


def test_signed_out_where_one_must_sign_in(browser: Browser, members: ServeProcess) -> None:
    them, name = Visitors(browser, members), new_name()
    members.manage("shell", "-c", NEW_USER.format(name, PASSWORD))
    page = them.open()
    sign_in(page, name)
    expect_connected(page)
    ask_and_read(page, "stop 4")
    path = path_of(page)
    other = page.context.new_page()
    other.goto(members.url)
    sign_out(other)
    expect_told_and_nothing_private(page, "stop 4", name)
    page.locator("#notice .notice-link").click()
    sign_in(page, name)
    page.wait_for_url(members.url + path)
    assert all("401" in complaint for complaint in them.complaints), them.complaints
    them.complaints.clear()
    them.close()


def test_a_link_of_ones_own_after_the_session_ended(visitors: Visitors, fast: ServeProcess) -> None:
    page, name = visitors.open(), new_name()
    sign_up(page, fast, name)
    ask_and_read(page, "stop 5")
    address = page.url
    page.goto("about:blank")
    fast.manage("shell", "-c", EXPIRE)
    page.goto(address)
    expect(page.locator("h1")).to_have_text("Not found")
    page.get_by_role("main").get_by_role("link", name="Sign in").click()
    sign_in(page, name)
    page.wait_for_url(address)
    expect(page.locator(".answer .text")).to_contain_text("w4")
    page.goto(f"{fast.url}/c/00000000-0000-0000-0000-000000000000/")
    expect(page.locator("h1")).to_have_text("Not found")  # signed in: nobody else could open it
    expect(page.get_by_role("main").get_by_role("link", name="Sign in")).to_have_count(0)
    visitors.complaints[:] = [one for one in visitors.complaints if "404" not in one]


# --- the same conversation ---


def test_an_idle_tab_shows_the_turns_of_another(open_fast: OpenPage) -> None:
    """Both in sight, side by side: none is looked at anew."""
    page = open_fast()
    expect_status(ask(page, "say one"), "completed")
    other = open_fast(like=page, path=path_of(page))
    page.locator("#prompt").fill("a draft")
    expect_status(ask(other, "say two"), "completed")
    expect(page.locator(".turn")).to_have_count(2)
    expect_status(page.locator(".answer").nth(1), "completed")
    assert (prompts(page), answers(page)) == (["say one", "say two"], ["one", "two"])
    expect(page.locator("#prompt")).to_have_value("a draft")
    expect_status(ask(page, "say three"), "completed")
    expect(other.locator(".turn")).to_have_count(3)


def test_an_idle_tabs_side_list_shows_what_began_in_another(open_fast: OpenPage) -> None:
    page = open_fast()
    other = open_fast(like=page)
    expect_status(ask(other, "say hello"), "completed")
    expect(page.locator(".side-link")).to_have_text(["say hello"])


# --- drafts ---


def test_two_new_chats_have_drafts_of_their_own(open_fast: OpenPage) -> None:
    page = open_fast()
    page.locator("#prompt").fill("the first one")
    other = open_fast(like=page)
    expect(other.locator("#prompt")).to_have_value("")
    other.locator("#prompt").fill("the second one")
    for tab, text in ((page, "the first one"), (other, "the second one")):
        tab.reload()
        expect(tab.locator("#prompt")).to_have_value(text)
    expect_status(ask(other, "say hello"), "completed")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("the first one")


def test_the_draft_of_a_closed_tab_is_found_again(open_fast: OpenPage) -> None:
    page = open_fast()
    page.locator("#prompt").fill("half a thought")
    keeper = page.context.new_page()
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    later = open_fast(like=keeper)
    expect(later.locator("#prompt")).to_have_value("half a thought")
    another = open_fast(like=keeper)
    expect(another.locator("#prompt")).to_have_value("")  # it is there once


# --- the operator's words ---


def test_reopening_takes_the_closing_words_away(visitors: Visitors, fast: ServeProcess) -> None:
    operator = open_queue(visitors, new_staff(fast, *OPERATOR))
    before = visitors.open()
    expect_connected(before)
    operator.locator("[name=closed_message]").fill("Back at noon.")
    button(operator, "close", "close", "1").click()
    operator.get_by_role("dialog").get_by_role("button", name="Yes, close it").click()
    expect(before.locator("#notice")).to_contain_text("Back at noon.", timeout=PATIENCE)
    after = visitors.open()
    refused = visitors.open()
    expect(after.locator("#notice")).to_contain_text("Back at noon.")
    refused.locator("#prompt").fill("stop 2")
    refused.locator("#prompt").press("Enter")
    expect(refused.locator("#prompt")).to_have_value("stop 2")
    button(operator, "reopen", "reopen", "1").click()
    for page in (before, after, refused):
        expect(page.locator("#notice")).to_be_hidden(timeout=PATIENCE)
    refused.locator("#prompt").press("Enter")
    expect_status(refused.locator(".answer"), "completed")
