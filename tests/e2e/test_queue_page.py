"""The live queue in the admin, in a real Chromium, on a real server with the real model."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.e2e.page import stop_if_running, withdraw
from tests.support.processes import ServeProcess

PATIENCE = 90_000
PASSWORD = "correct horse battery"
QUEUE = "/admin/streaming/response/queue/"
LONG = "Write a very long story about the sea, with many chapters."

NEW_USER = """
from django.contrib.auth.models import Permission, User
user = User.objects.create_user({name!r}, password={password!r}, is_staff={staff})
user.user_permissions.set(Permission.objects.filter(codename__in={permissions!r}))
"""


@pytest.fixture(scope="module")
def superuser(server: ServeProcess) -> str:
    name = f"boss-{uuid.uuid4().hex[:8]}"
    args = ["createsuperuser", "--noinput", "--username", name, "--email", "boss@example.com"]
    server.manage(*args, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    return name


def new_user(server: ServeProcess, *permissions: str, staff: bool = True) -> str:
    name = f"user-{uuid.uuid4().hex[:8]}"
    code = NEW_USER.format(name=name, password=PASSWORD, staff=staff, permissions=permissions)
    server.manage("shell", "-c", code)
    return name


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    complaints: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def visitor(browser: Browser, server: ServeProcess) -> Iterator[Page]:
    """Somebody who has asked for a long answer and reads it."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.locator("#prompt").fill(LONG)
    page.locator("#prompt").press("Enter")
    expect(page.locator(".answer .text")).to_have_text(re.compile(r"\S"), timeout=PATIENCE)
    yield page
    stop_if_running(page)
    expect(page.locator("#stop")).to_be_hidden(timeout=PATIENCE)
    context.close()


def sign_in(page: Page, server: ServeProcess, name: str) -> None:
    page.goto(f"{server.url}/admin/login/")
    page.locator("#id_username").fill(name)
    page.locator("#id_password").fill(PASSWORD)
    page.locator("input[type=submit]").click()
    page.wait_for_url(re.compile(r"(/admin/|/)$"))


def test_strangers_are_sent_to_the_login(page: Page, server: ServeProcess) -> None:
    page.goto(server.url + QUEUE)
    expect(page).to_have_url(re.compile(r"/admin/login/\?next="))


def test_staff_without_the_permission_is_refused(page: Page, server: ServeProcess) -> None:
    sign_in(page, server, new_user(server, "view_response"))
    assert page.context.request.get(server.url + QUEUE).status == 403
    page.goto(f"{server.url}/admin/streaming/response/")
    expect(page.get_by_role("link", name="Live queue")).to_have_count(0)


def test_staff_with_the_permission_may_watch(page: Page, server: ServeProcess) -> None:
    sign_in(page, server, new_user(server, "view_queue"))
    page.goto(server.url + QUEUE)
    expect(page.locator("#live")).to_have_attribute("data-state", "open")
    expect(page.locator("#workers tr")).to_have_count(1)


def test_a_running_response_appears_and_vanishes(
    page: Page, server: ServeProcess, superuser: str, browser: Browser
) -> None:
    sign_in(page, server, superuser)
    page.goto(f"{server.url}/admin/streaming/response/")
    page.locator("#content-main").get_by_role("link", name="Live queue").click()
    expect(page.locator("#live")).to_have_attribute("data-state", "open")
    expect(page.locator("#running tr")).to_have_count(0, timeout=PATIENCE)
    expect(page.get_by_text("Nothing is being answered.")).to_be_visible()

    context = browser.new_context()
    chat = context.new_page()
    chat.goto(server.url)
    for text in (LONG, "And then?"):
        chat.locator("#prompt").fill(text)
        chat.locator("#prompt").press("Enter")
    response_id = chat.locator(".answer").first.get_attribute("data-response-id") or ""

    row = page.locator(f"#running tr[data-key='{response_id}']")
    expect(row).to_be_visible(timeout=PATIENCE)
    expect(row).to_contain_text("visitor:")
    expect(row).to_contain_text(re.compile(r"[1-9]\d* / \d+"), timeout=PATIENCE)
    expect(page.locator("#count-running")).to_have_text("1 of 2")
    expect(page.locator("#waiting tr")).to_have_count(1)
    expect(page.locator("#waiting tr")).to_contain_text("—")
    expect(page.locator("#count-held")).to_have_text("1")

    withdraw(chat.locator(".answer").nth(1))
    expect(page.locator("#waiting tr")).to_have_count(0, timeout=PATIENCE)
    chat.locator("#stop").click()
    expect(row).to_have_count(0, timeout=PATIENCE)
    expect(page.get_by_text("Nobody waits.")).to_be_visible()
    context.close()


def test_the_page_shows_the_queue_without_javascript(
    browser: Browser, server: ServeProcess, superuser: str, visitor: Page
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, server, superuser)
    page.goto(server.url + QUEUE)
    response_id = visitor.locator(".answer").get_attribute("data-response-id") or ""
    page.locator("#running").get_by_role("link", name=response_id[:8]).click()
    expect(page.locator(".field-prompt_text")).to_contain_text(LONG)
    expect(page.locator(".field-status")).to_contain_text("In Progress")
    context.close()


def test_prompts_and_answers_need_their_own_permission(
    page: Page, server: ServeProcess, visitor: Page
) -> None:
    sign_in(page, server, new_user(server, "view_response", "view_conversation", "view_message"))
    words = "very long story"
    pages = 0
    for model in ("response", "conversation", "message"):
        changelist = f"{server.url}/admin/streaming/{model}/"
        page.goto(changelist)
        assert words not in page.content()
        page.locator("#result_list tbody a").first.click()
        assert words not in page.content()
        pages += page.url != changelist
        page.goto(f"{changelist}?q=story")
        expect(page.locator("#result_list tbody tr")).to_have_count(0)
    assert pages == 3


@pytest.mark.parametrize("bulk", [False, True], ids=["alone", "selected"])
def test_deleting_a_conversation_stops_its_answer(
    page: Page, server: ServeProcess, superuser: str, visitor: Page, bulk: bool
) -> None:
    conversation_id = visitor.url.rstrip("/").rsplit("/", 1)[1]
    response_id = visitor.locator(".answer").get_attribute("data-response-id") or ""
    sign_in(page, server, superuser)
    changelist = f"{server.url}/admin/streaming/conversation/"
    if bulk:
        page.goto(f"{changelist}?q={conversation_id}")
        page.locator("#result_list .action-select").check()
        page.locator("select[name=action]").select_option("delete_selected")
        page.get_by_role("button", name="Go").click()
    else:
        page.goto(f"{changelist}{conversation_id}/delete/")
    page.locator("#content input[type=submit]").click()
    expect(page.locator(".messagelist .success")).to_contain_text("uccessfully")
    expect(visitor.locator(".answer")).to_have_attribute(
        "data-status", "cancelled", timeout=PATIENCE
    )
    assert visitor.context.request.get(visitor.url).status == 404
    page.goto(server.url + QUEUE)
    expect(page.locator("#live")).to_have_attribute("data-state", "open")
    expect(page.locator(f"#running tr[data-key='{response_id}']")).to_have_count(
        0, timeout=PATIENCE
    )


def test_the_socket_refuses_who_may_not_watch(server: ServeProcess, page: Page) -> None:
    sign_in(page, server, new_user(server, "view_queue", staff=False))
    member = "; ".join(f"{c['name']}={c['value']}" for c in page.context.cookies())
    for cookie in ("", member):
        event, code = first_event(server.url, cookie)
        assert (event["type"], event["code"], code) == ("error", "forbidden", 4403)


def first_event(url: str, cookie: str) -> tuple[dict[str, str], int | None]:
    """The first event of the queue's socket, and the close code that follows."""
    address = url.replace("http", "ws", 1) + "/ws/queue/"
    headers = {"Cookie": cookie} if cookie else {}
    with connect(address, origin=Origin(url), additional_headers=headers) as socket:
        event = json.loads(socket.recv(10))
        try:
            socket.recv(10)
        except ConnectionClosed as closed:
            return event, closed.rcvd.code if closed.rcvd else None
        raise AssertionError("the socket stayed open")
