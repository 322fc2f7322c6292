"""Accounts, language, theme and the content policy in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.page import ask, expect_connected
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


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(tmp_path_factory.mktemp("accounts"))


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """Neither visitors nor new accounts."""
    yield from serving_fast(
        tmp_path_factory.mktemp("closed"), CHATSTREAM_ANONYMOUS="false", CHATSTREAM_SIGNUP="false"
    )


@pytest.fixture
def visitors(browser: Browser, fast: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, fast)


def superuser(server: ServeProcess) -> str:
    name = new_name()
    args = ["createsuperuser", "--noinput", "--username", name, "--email", "boss@example.com"]
    server.manage(*args, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    return name


def test_a_visitors_conversation_goes_with_the_account(
    visitors: Visitors, fast: ServeProcess
) -> None:
    page, name = visitors.open(), new_name()
    ask_and_read(page, "stop 5")
    address = page.url
    page.get_by_role("link", name="Sign up").click()  # and it would come back here
    assert page.url.endswith(f"?next={quote(address.removeprefix(fast.url), safe='')}")
    sign_up(page, fast, name)
    expect(page.locator(".side-link")).to_have_text(["stop 5"])
    expect(page.locator(".side-account")).to_have_text(name)
    page.locator(".side-link").click()
    expect(page.locator(".answer")).to_have_attribute("data-status", "completed")
    assert page.url == address

    page.locator(".side-foot").get_by_role("button", name="Sign out").click()
    expect(page.locator(".side-none")).to_have_text("No conversations yet.")
    assert page.context.request.get(address).status == 404
    ask_and_read(page, "stop 2")  # as another visitor
    page.reload()
    expect(page.locator(".side-link")).to_have_count(1)

    elsewhere = visitors.open(f"/accounts/login/?next={address.removeprefix(fast.url)}")
    sign_in(elsewhere, name)
    elsewhere.wait_for_url(address)
    expect(elsewhere.locator(".answer .text")).to_contain_text("w4")


def test_an_answer_goes_on_over_signing_up(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    answer = ask(page, "go on")
    expect(answer.locator(".text")).to_contain_text("w5")
    address = page.url
    sign_up(page, fast, new_name())
    page.goto(address)
    expect(page.locator(".answer")).to_have_attribute("data-status", "in_progress")
    expect(page.locator(".answer .text")).to_contain_text("w60")
    page.locator("#stop").click()
    expect(page.locator(".answer")).to_have_attribute("data-status", "cancelled")


def test_other_tabs_are_who_the_browser_is_now(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    answer = ask(page, "go on")
    expect(answer.locator(".text")).to_contain_text("w5")
    other = page.context.new_page()
    other.goto(fast.url)
    with page.expect_websocket():  # nobody touches the tab
        sign_up(other, fast, new_name())
    expect_connected(page)
    expect(answer.locator(".text")).to_contain_text("w60")  # it goes on, as the account's
    page.locator("#stop").click()
    expect(answer).to_have_attribute("data-status", "cancelled")
    page.goto(fast.url)
    expect(page.locator(".side-link")).to_have_text(["go on"])
    expect_connected(page)
    with page.expect_websocket():
        other.locator(".side-foot").get_by_role("button", name="Sign out").click()
    expect_connected(page)
    expect(page.locator(".side-none")).to_have_text("No conversations yet.")
    ask_and_read(page, "stop 2")  # as the visitor that the other tab is, too
    other.reload()
    expect(other.locator(".side-link")).to_have_text(["stop 2"])


def test_without_visitors_and_sign_up(browser: Browser, closed: ServeProcess) -> None:
    them = Visitors(browser, closed)
    page = them.open()
    expect(page).to_have_url(re.compile(r"/accounts/login/\?next=/$"))
    expect(page.get_by_role("link", name="Sign up")).to_have_count(0)
    assert page.context.request.get(f"{closed.url}/accounts/signup/").status == 404
    sign_in(page, superuser(closed))
    page.wait_for_url(f"{closed.url}/")
    ask_and_read(page, "stop 3")
    page.locator(".side-foot").get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/accounts/login/"))
    them.close()


def test_wrong_passwords_by_keyboard(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open("/accounts/login/")
    for _ in range(5):
        expect(page.get_by_label("Username")).to_be_focused()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("nobody")
        page.keyboard.press("Tab")
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    sign_in(page, "nobody", "wrong")
    expect(page.get_by_role("alert")).to_contain_text("Too many failed attempts")


def test_a_key_is_made_copied_and_revoked(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_up(page, fast, new_name())
    page.goto(f"{fast.url}/accounts/")
    page.get_by_label("Name of the new key").fill("laptop")
    page.get_by_role("button", name="Make a key").click()
    secret = page.locator("#secret").input_value()
    assert re.fullmatch(r"cs-[\w-]{43}", secret)
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.reload()
    expect(page.locator("#secret")).to_have_count(0)
    expect(page.locator(".keys li")).to_have_count(1)
    page.get_by_role("link", name="Revoke laptop").click()
    expect(page.get_by_role("link", name="Cancel")).to_be_focused()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_role("status")).to_contain_text("was revoked")
    expect(page.locator(".keys")).to_have_count(0)


def test_the_language_is_switched_and_kept(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    ask_and_read(page, "stop 5")
    address = page.url
    page.get_by_role("button", name="日本語").click()
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    expect(page.locator(".side-new")).to_have_text("新しいチャット")
    expect(page.locator(".side-group h2")).to_have_text("今日")
    expect(page.locator(".meta-text")).to_contain_text("5トークン")
    assert page.url == address
    assert "/c/" in address
    page.locator("#side-query").fill("無い")
    expect(page.locator(".side-none")).to_have_text("見つかりませんでした。")
    expect(page.locator("#side-status")).to_have_text("0件の会話が見つかりました")
    page.goto(f"{fast.url}/accounts/login/")
    expect(page.locator("h1")).to_have_text("ログイン")
    page.goto(f"{fast.url}/accounts/")
    page.get_by_label("言語", exact=True).select_option("en")
    page.get_by_role("button", name="保存").click()
    expect(page.locator("h1")).to_have_text("Settings")


def test_a_browser_that_asks_for_japanese_gets_it(visitors: Visitors) -> None:
    page = visitors.open(locale="ja-JP")
    expect(page.locator("html")).to_have_attribute("lang", "ja")


def test_the_theme_is_chosen_and_kept(visitors: Visitors, fast: ServeProcess) -> None:
    dark, light = "rgb(23, 24, 22)", "rgb(250, 249, 246)"
    page = visitors.open("/accounts/", color_scheme="light")

    def has_background(colour: str) -> None:
        expect(page.locator("body")).to_have_css("background-color", colour)

    has_background(light)
    page.get_by_label("Appearance", exact=True).select_option("dark")
    page.get_by_role("button", name="Save").click()
    has_background(dark)
    page.goto(fast.url)
    has_background(dark)
    page.emulate_media(color_scheme="dark")
    page.goto(f"{fast.url}/accounts/")
    page.get_by_label("Appearance", exact=True).select_option("light")
    page.get_by_role("button", name="Save").click()
    has_background(light)
    page.get_by_label("Appearance", exact=True).select_option("system")
    page.get_by_role("button", name="Save").click()
    has_background(dark)


def test_every_page_keeps_to_the_policy(visitors: Visitors, fast: ServeProcess) -> None:
    """`visitors` fails for any violation, the console says each."""
    name = superuser(fast)
    page = visitors.open()
    ask_and_read(page, "stop 3")
    chat = page.url.removeprefix(fast.url)
    page.goto(f"{fast.url}/admin/login/?next=/admin/")
    sign_in_to_admin(page, name)
    page.goto(f"{fast.url}/accounts/")
    page.get_by_label("Name of the new key").fill("laptop")
    page.get_by_role("button", name="Make a key").click()
    href = page.get_by_role("link", name="Revoke laptop").get_attribute("href")
    paths = [
        *("/", chat, "/accounts/", "/accounts/password/", href or ""),
        *("/accounts/conversations/delete/", "/admin/", "/admin/auth/user/"),
        *("/admin/auth/user/add/", "/admin/streaming/response/", "/admin/streaming/message/"),
        *("/admin/streaming/conversation/", "/admin/streaming/response/queue/"),
    ]
    for path in paths:
        answer = page.goto(fast.url + path)
        assert answer is not None
        assert answer.status == 200, path
        assert "'none'" in answer.headers["content-security-policy"]
    page.goto(f"{fast.url}/admin/streaming/response/queue/")
    expect(page.locator("#live")).to_have_attribute("data-state", "open")
    page.goto(f"{fast.url}/admin/auth/user/add/")
    page.locator("#id_username").fill(new_name())
    page.locator("#id_password1").fill(PASSWORD)
    page.locator("#id_password2").fill(PASSWORD)
    page.locator("input[name=_continue]").click()
    expect(page.locator("#id_user_permissions_from")).to_be_visible()


def test_the_watch_for_violations_sees_one(browser: Browser, fast: ServeProcess) -> None:
    them = Visitors(browser, fast)
    page = them.open("/accounts/login/")
    with page.expect_console_message(lambda message: "CSP" in message.text):
        page.evaluate("document.body.setAttribute('style', 'color: red')")
    with pytest.raises(AssertionError):
        them.close()


def sign_in_to_admin(page: Page, name: str) -> None:
    page.locator("#id_username").fill(name)
    page.locator("#id_password").fill(PASSWORD)
    page.locator("input[type=submit]").click()
    expect(page.locator("#user-tools")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_and_can_be_used_by_everybody(
    visitors: Visitors, fast: ServeProcess, width: int, scheme: str
) -> None:
    page = visitors.open(
        "/accounts/signup/",
        viewport={"width": width, "height": 700},
        color_scheme=scheme,
        locale="ja-JP" if width == 390 else "en-US",
    )
    page.locator("#id_username").fill("a" * 150)
    page.locator("#id_password1").fill("a")
    page.locator("#id_password2").fill("b")
    page.locator("button.main").click()
    expect(page.locator("#errors")).to_be_visible()
    check(page)
    for path in ("/accounts/login/", "/accounts/", "/accounts/conversations/delete/"):
        page.goto(fast.url + path)
        check(page)


def check(page: Page) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{page.url} is {wide} px too wide"
    found = Axe().run(page).response["violations"]
    serious = [rule for rule in found if rule["impact"] in ("serious", "critical")]
    assert serious == [], page.url
