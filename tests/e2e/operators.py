"""What the tests of the live queue share: operators, the queue's controls, and who fills it."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from typing import Any

from playwright.sync_api import Locator, Page, expect
from websockets.sync.client import ClientConnection, connect

from tests.e2e.visitors import ENDLESS, PASSWORD, Visitors, new_name
from tests.e2e.wire import TERMINAL
from tests.support.processes import ServeProcess

PATIENCE = 30_000
QUEUE = "/admin/streaming/response/queue/"
OPERATOR = ("view_queue", "view_response", "cancel_response", "control_queue")

NEW_STAFF = """
from django.contrib.auth.models import Permission, User
user = User.objects.create_user({name!r}, password={password!r}, is_staff=True)
user.user_permissions.set(Permission.objects.filter(codename__in={permissions!r}))
"""


class Asker:
    """A visitor without a browser, who asks one thing and reads on."""

    def __init__(self, socket: ClientConnection, text: str) -> None:
        self._socket = socket
        assert self._next()["type"] == "chatstream:session"
        self._socket.send(json.dumps({"type": "response.create", "input": text}))
        self.id: str = self.until("response.queued")["response_id"]

    def _next(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self._socket.recv(PATIENCE / 1000))
        return event

    def until(self, type_: str) -> dict[str, Any]:
        while (event := self._next())["type"] != type_:
            assert event["type"] not in (*TERMINAL, "error"), event
        return event

    def until_end(self) -> dict[str, Any]:
        """The response as its last event has it."""
        while (event := self._next())["type"] not in TERMINAL:
            assert event["type"] != "error", event
        response: dict[str, Any] = event["response"]
        return response

    def cancel(self) -> None:
        """And wait until it is."""
        self._socket.send(json.dumps({"type": "response.cancel", "response_id": self.id}))
        self.until_end()


class Crowd:
    """Visitors who ask one after the other."""

    def __init__(self, server: ServeProcess) -> None:
        self._server = server
        self._sockets = ExitStack()

    def ask(self, text: str = ENDLESS) -> Asker:
        return Asker(
            self._sockets.enter_context(connect(self._server.ws_url, max_queue=None)), text
        )

    def fill(self) -> tuple[Asker, Asker]:
        """Both places taken."""
        two = self.ask(), self.ask()
        for asker in two:
            asker.until("response.in_progress")
        return two

    def leave(self) -> None:
        self._sockets.close()


def new_staff(server: ServeProcess, *permissions: str) -> str:
    name = new_name()
    code = NEW_STAFF.format(name=name, password=PASSWORD, permissions=permissions)
    server.manage("shell", "-c", code)
    return name


def open_queue(visitors: Visitors, name: str, **options: Any) -> Page:
    page = visitors.open(f"/admin/login/?next={QUEUE}", **options)
    page.locator("#id_username").fill(name)
    page.locator("#id_password").fill(PASSWORD)
    page.locator("input[type=submit]").click()
    page.wait_for_url(re.compile(f"{QUEUE}$"))
    if options.get("java_script_enabled", True):
        expect(page.locator("#live")).to_have_attribute("data-state", "open", timeout=PATIENCE)
    return page


def button(page: Page, action: str, name: str, value: str) -> Locator:
    return page.locator(
        f"button[formaction$='/queue/{action}/'][name='{name}'][value='{value}']"
    ).first


def item(page: Page, action: str, name: str, value: str) -> Locator:
    """As `button`, of one in a menu, which is open then."""
    one = button(page, action, name, value)
    expect(one).to_be_attached(timeout=PATIENCE)
    if not one.is_visible():
        menu = one.locator("xpath=ancestor::*[@popover]").get_attribute("id")
        page.locator(f"[popovertarget='{menu}']").click()
        expect(one).to_be_visible()
    return one


def worker_id(page: Page) -> str:
    return page.locator("#workers tr[data-key]").get_attribute("data-key") or ""


def row(page: Page, state: str, response_id: str) -> Locator:
    return page.locator(f"#{state} tr[data-key='{response_id}']")
