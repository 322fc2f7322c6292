"""An account's life in a real Chromium: sessions, keys, mail, download, deletion. Shortcuts, and
the page as an app."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.page import ask, expect_connected, expect_status
from tests.e2e.test_accounts_page import check
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

NEW = "another horse battery"


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mailbox")


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory, mailbox: Path) -> Iterator[ServeProcess]:
    yield from serving_fast(
        tmp_path_factory.mktemp("life"),
        EMAIL_URL=f"filemail:///{mailbox}",
        DEFAULT_FROM_EMAIL="chat@here.example",
        FAKE_STEP_SECONDS="0.02",
    )


@pytest.fixture
def visitors(browser: Browser, fast: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, fast)


def mailed_link(page: Page, mailbox: Path, to: str) -> str:
    """The link of the newest mail to an address; waits until it is there."""
    for _ in range(300):
        for path in sorted(mailbox.iterdir(), key=lambda each: each.stat().st_mtime_ns)[::-1]:
            message = message_from_bytes(path.read_bytes(), policy=default)
            text = message.get_content()
            if message["To"] == to and (found := re.search(r"http://\S+", text)):
                return found[0]
        page.wait_for_timeout(100)
    raise AssertionError(f"no mail to {to}")


def test_an_address_is_confirmed_and_a_forgotten_password_set_anew(
    visitors: Visitors, fast: ServeProcess, mailbox: Path
) -> None:
    page, name = visitors.open("/accounts/signup/"), new_name()
    address = f"{name}@here.example"
    page.get_by_label("Username").fill(name)
    page.get_by_label("E-mail (optional)").fill(address)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url(f"{fast.url}/")
    page.goto(mailed_link(page, mailbox, address))
    page.get_by_role("button", name="Confirm the address").click()
    expect(page.get_by_text(f"E-mail: {address}")).to_be_visible()
    for path in mailbox.iterdir():
        path.unlink()

    stranger = visitors.open("/accounts/login/")
    stranger.get_by_role("link", name="Forgot the password?").click()
    stranger.get_by_label("E-mail").fill(address)
    stranger.keyboard.press("Enter")
    expect(stranger.get_by_role("status")).to_contain_text("If an account has this address")
    check(stranger)
    stranger.goto(mailed_link(stranger, mailbox, address))
    check(stranger)
    stranger.get_by_label("New password", exact=True).fill(NEW)
    stranger.get_by_label("New password confirmation").fill(NEW)
    stranger.get_by_role("button", name="Set the password").click()
    expect(stranger.get_by_role("status")).to_contain_text("Your new password is set")
    sign_in(stranger, name, NEW)
    stranger.wait_for_url(f"{fast.url}/")
    page.reload()
    expect(page.get_by_text("You are not signed in.")).to_be_visible()


def test_a_new_keys_command_works_when_it_is_pasted(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_up(page, fast, new_name())
    page.goto(f"{fast.url}/accounts/")
    page.get_by_label("Name of the new key").fill("laptop")
    page.get_by_role("button", name="Make a key").click()
    check(page)
    page.get_by_role("button", name="Copy the base URL").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{fast.url}/v1"
    page.get_by_role("button", name="Copy the command").click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.includes('curl'))")
    command = page.evaluate("navigator.clipboard.readText()")
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:2] == ["curl", f"{fast.url}/v1/chat/completions"]
    assert json.loads(words[-1])["model"] == "fake"
    if shutil.which("curl"):
        run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        assert json.loads(run.stdout)["choices"][0]["message"]["content"].startswith("w0 w1")
        page.reload()
        expect(page.locator(".keys").last).to_contain_text("last used")


def test_another_browser_is_signed_out_at_once(visitors: Visitors, fast: ServeProcess) -> None:
    page, name = visitors.open(), new_name()
    sign_up(page, fast, name)
    phone = visitors.open(
        "/accounts/login/",
        user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) Version/18.6 Safari/1",
    )
    sign_in(phone, name)
    phone.wait_for_url(f"{fast.url}/")
    expect_connected(phone)
    page.goto(f"{fast.url}/accounts/")
    expect(page.locator(".sessions li")).to_have_count(2)
    check(page)
    page.get_by_role("button", name="Sign out Safari on iPhone").click()
    expect(page.get_by_role("status")).to_contain_text("signed out")
    expect(page.locator(".sessions li")).to_have_count(1)
    expect(phone.get_by_role("alert")).to_contain_text("signed out")  # without touching it


def test_everything_is_taken_along_and_the_account_deleted_while_it_answers(
    visitors: Visitors, fast: ServeProcess, tmp_path: Path
) -> None:
    page, name = visitors.open(), new_name()
    sign_up(page, fast, name)
    ask_and_read(page, "stop 3")
    address = page.url
    answer = ask(page, "go on")
    expect(answer.locator(".text")).to_contain_text("w5")
    tab = page.context.new_page()
    tab.goto(f"{fast.url}/accounts/delete/")
    check(tab)
    with tab.expect_download() as waited:
        tab.get_by_role("button", name="Download everything first").click()
    waited.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as found:
        names = found.namelist()
        assert [each.rpartition(".")[2] for each in sorted(names)] == ["json", "json", "md"]
        assert json.loads(found.read("account.json"))["username"] == name
        assert b"w0 w1 w2" in found.read(next(each for each in names if each.endswith("md")))
    tab.get_by_label("Your username, typed out").fill(name)
    tab.get_by_label("Your password").fill("wrong")
    tab.get_by_role("button", name="Delete the account").click()
    expect(tab.get_by_role("alert")).to_contain_text("This is not your password.")
    tab.get_by_label("Your password").fill(PASSWORD)
    tab.get_by_role("button", name="Delete the account").click()
    expect(tab.locator("h1")).to_have_text("The account is deleted")
    assert tab.evaluate("Object.keys(localStorage).length") == 0
    expect(page.get_by_role("alert")).to_contain_text("signed out")
    assert page.context.request.get(address).status == 404
    tab.goto(f"{fast.url}/accounts/login/")
    sign_in(tab, name)
    expect(tab.get_by_role("alert")).to_contain_text("correct username and password")


def test_shortcuts_do_what_their_list_says(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect_connected(page)
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.type("what?")  # a text's own
    expect(page.locator("#shortcuts")).to_have_count(0)
    expect(page.locator("#prompt")).to_have_value("what?")
    page.locator("#prompt").fill("")
    answer = ask(page, "go on")
    expect(answer.locator(".text")).to_contain_text("w5")
    page.keyboard.press("Control+/")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    check(page)
    page.keyboard.press("Control+Shift+O")  # nothing beside an open question
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(answer).to_have_attribute("data-status", "in_progress")  # only the list was closed
    page.keyboard.type("half a thou")
    page.keyboard.press("Escape")
    expect_status(answer, "cancelled")
    expect(page.locator("#prompt")).to_have_value("half a thou")
    page.keyboard.press("Control+Shift+C")
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.includes('w0 w1'))")
    page.keyboard.press("Control+k")
    expect(page.locator("#side-query")).to_be_focused()
    page.keyboard.press("Shift+Escape")
    expect(page.locator("#prompt")).to_be_focused()
    page.locator("#prompt").fill("")
    page.locator("h1").first.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Shift+O")
    page.wait_for_url(f"{fast.url}/")
    expect(page.locator(".answer")).to_have_count(0)


def test_a_mac_has_its_own_keys_and_a_phone_its_drawer(
    visitors: Visitors, fast: ServeProcess
) -> None:
    page = visitors.open(locale="ja-JP", viewport={"width": 390, "height": 800})
    page.add_init_script(
        "for (const [name, value] of [['platform', 'MacIntel'], ['userAgentData', undefined]])"
        "Object.defineProperty(navigator, name, { get: () => value });"
    )
    page.reload()
    expect_connected(page)
    page.keyboard.press("Meta+/")
    dialog = page.get_by_role("dialog", name="キーボードショートカット")
    expect(dialog.locator("kbd").nth(3)).to_have_text("⌘")
    check(page)
    page.keyboard.press("Escape")
    page.keyboard.press("Meta+k")
    expect(page.locator("#side-query")).to_be_focused()
    expect(page.locator("#app")).to_have_attribute("data-drawer", "open")


def test_without_a_connection_there_is_a_page(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    expect_connected(page)
    page.evaluate("navigator.serviceWorker.ready")
    page.wait_for_function("navigator.serviceWorker.controller !== null || caches.keys()")
    kept = page.evaluate(
        "caches.keys().then((names) => caches.open(names[0]))"
        ".then((cache) => cache.keys()).then((keys) => keys.map((key) => key.url))"
    )
    assert len(kept) == 5
    assert kept[0] == f"{fast.url}/offline/en/"
    page.goto("about:blank")
    page.context.set_offline(True)
    page.goto(f"{fast.url}/")
    expect(page.locator("h1")).to_have_text("You are offline")
    width = page.locator("main").evaluate("(main) => getComputedStyle(main).maxWidth")
    assert width != "none"  # its styles are there, too
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect_connected(page)
    visitors.complaints[:] = [
        each for each in visitors.complaints if "ERR_INTERNET_DISCONNECTED" not in each
    ]
