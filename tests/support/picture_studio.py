"""A server whose pictures are taken, its browser, and the crowd that waits there."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from typing import Any

from playwright.sync_api import Browser, Page
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.e2e.page import expect_connected
from tests.e2e.visitors import PASSWORD
from tests.support.processes import ServeProcess

ASKED = (
    "Summarise these minutes in five sentences for people who were not there.",
    "Translate the letter of our landlord.",
    "Write a cover letter for a job as a nurse in a children's ward; I have four years' experience "
    "and speak Polish and German.",
    "What is wrong with this query?",
    "Draft an agenda for Thursday.",
    "Explain compound interest to a pupil of twelve, with an example from a savings account.",
)


class Studio:
    """A server, its browser, and who waits at it."""

    def __init__(self, browser: Browser, server: ServeProcess, secrets: list[str]) -> None:
        self.browser, self.server = browser, server
        self._secrets = secrets[2:]  # the first two are seen on pictures
        self._sockets = ExitStack()
        self._asked = 0

    def crowd(self, count: int) -> None:
        """Have so many more wait: visitors, and users by their keys."""
        for _ in range(count):
            number = self._asked
            self._asked += 1
            secret = self._secrets[number % len(self._secrets)] if number % 5 < 2 else ""
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            socket = self._sockets.enter_context(
                connect(self.server.ws_url, additional_headers=headers, max_queue=None)
            )
            text = ASKED[number % len(ASKED)]
            socket.send(json.dumps({"type": "response.create", "input": text}))
            queued = until(socket, "response.queued")
            self._sockets.callback(withdraw, socket, queued["response_id"])

    def leave(self) -> None:
        """Nobody waits any more."""
        self._sockets.close()

    def open(self, path: str = "/", **options: object) -> Page:
        page = self.browser.new_context(**options).new_page()  # type: ignore[arg-type]
        page.goto(self.server.url + path)
        if path == "/":
            expect_connected(page)
        return page

    def sign_in(self, name: str, **options: object) -> Page:
        page = self.open("/accounts/login/", **options)
        page.locator("#id_username").fill(name)
        page.locator("#id_password").fill(PASSWORD)
        page.locator("#id_password").press("Enter")
        expect_connected(page)
        return page

    def operate(self, path: str, **options: object) -> Page:
        page = self.open(f"/admin/login/?next={path}", **options)
        page.locator("#id_username").fill("operator")
        page.locator("#id_password").fill(PASSWORD)
        page.locator("input[type=submit]").click()
        page.wait_for_load_state()
        return page


def until(socket: ClientConnection, type_: str) -> dict[str, Any]:
    event: dict[str, Any] = {"type": ""}
    while event["type"] != type_:
        event = json.loads(socket.recv())
    return event


def withdraw(socket: ClientConnection, response_id: str) -> None:
    """End a response, which would keep its place for a while."""
    socket.send(json.dumps({"type": "response.cancel", "response_id": response_id}))
    with suppress(ConnectionClosed):
        until(socket, "response.completed")
