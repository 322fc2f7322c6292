"""Takes the pictures of docs/: `python -m tests.support.pictures [NAME ...]`, all without a name.

A server with `PictureEngine`, a crowd that waits, and Chromium. With Pillow installed the files are
made small, by 256 colours; without it they are as Chromium writes them.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.e2e.operators import QUEUE
from tests.e2e.page import ask, expect_answered, expect_connected, expect_waiting
from tests.e2e.visitors import PASSWORD
from tests.support.processes import ROOT, ServeProcess

DOCS = ROOT / "docs"
DESKTOP = {"viewport": {"width": 1440, "height": 900}}
WINDOW = {"viewport": {"width": 1180, "height": 760}}
PHONE = {
    "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2,
    "is_mobile": True, "has_touch": True,
}  # fmt: skip

LOAN = "What do I pay each month for a loan of 200,000 at 3 %? Give me the formula and a function."
TRAIN = (
    "A train leaves Paris at 8:00 at 60 km/h, another one Lyon at 10:00 at 140. The first is at "
    "120 km/h from 10:00 on, the way is 420 km. When do they meet?"
)
TIDES = "Why are there two high tides a day, and not one?"
HAIKU = "秋の俳句を一つ作って、季語を説明してください。"
ASKED = (
    "Summarise these minutes in five sentences for people who were not there.",
    "Translate the letter of our landlord.",
    "Write a cover letter for a job as a nurse in a children's ward; I have four years' experience "
    "and speak Polish and German.",
    "What is wrong with this query?",
    "Draft an agenda for Thursday.",
    "Explain compound interest to a pupil of twelve, with an example from a savings account.",
)

SEED = ROOT / "tests" / "support" / "picture_record.py"


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
        until(socket, "response.done")


def take(page: Page, name: str) -> None:
    """Write the picture, small."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)
    path = DOCS / f"{name}.png"
    page.screenshot(path=path)
    with suppress(ImportError):
        from PIL import Image  # type: ignore[import-not-found]

        Image.open(path).convert("RGB").quantize(256, dither=0).save(path, optimize=True)
    print(name, path.stat().st_size)
    if (button := page.locator(".wait-withdraw")).is_visible():
        button.click()
        page.wait_for_timeout(500)
    page.context.close()


def answered(page: Page, prompt: str) -> None:
    expect_answered(ask(page, prompt))


# --- the pictures ---


def empty(studio: Studio) -> None:
    """The page before the first prompt, while others wait."""
    studio.crowd(8)
    take(studio.sign_in("maya.keller", **WINDOW), "chat-empty")


def wait(studio: Studio) -> None:
    """The seventh of twelve."""
    studio.crowd(8)
    page = studio.sign_in("maya.keller", **WINDOW)
    expect_waiting(ask(page, TIDES))
    studio.crowd(5)
    page.wait_for_timeout(3_000)
    take(page, "chat-wait")


def answer(studio: Studio) -> None:
    """Mathematics, a table and code."""
    page = studio.sign_in("maya.keller", **WINDOW)
    answered(page, LOAN)
    take(page, "chat-answer")


def thought(studio: Studio) -> None:
    """A thought folded above its answer."""
    page = studio.sign_in("jonas.weber", **WINDOW)
    answered(page, TRAIN)
    take(page, "chat-thought")


def share(studio: Studio) -> None:
    """The dialog with a link that was made."""
    page = studio.sign_in("maya.keller", **WINDOW)
    answered(page, TIDES)
    page.locator("#share").click()
    page.get_by_role("button", name="Make a link").click()
    take(page, "chat-share")


def phone(studio: Studio) -> None:
    """The wait on a phone."""
    studio.crowd(5)
    page = studio.open(**PHONE)
    expect_waiting(ask(page, TIDES))
    studio.crowd(3)
    take(page, "chat-phone")


def dark(studio: Studio) -> None:
    """An answer in dark colours."""
    page = studio.sign_in("maya.keller", color_scheme="dark", **WINDOW)
    answered(page, LOAN)
    take(page, "chat-dark")


def japanese(studio: Studio) -> None:
    """An answer on a phone in Japanese."""
    page = studio.open(locale="ja", **PHONE)
    answered(page, HAIKU)
    take(page, "chat-ja")


def queue(studio: Studio) -> None:
    """The live queue with eighty that wait, on a desk and on a phone."""
    studio.crowd(82)
    page = studio.operate(QUEUE, **DESKTOP)
    other = studio.operate(QUEUE, **PHONE)
    page.get_by_role("link", name="5 min").or_(page.get_by_role("button", name="5 min")).click()
    for _ in range(10):  # the lines of the charts
        page.wait_for_timeout(10_000)
        studio.crowd(80 - int(page.locator("#count-waiting").inner_text()))
    take(page, "queue")
    take(other, "queue-phone")


def transcript(studio: Studio) -> None:
    """A conversation, for those who may read it."""
    page = studio.sign_in("jonas.weber", **WINDOW)
    answered(page, TRAIN)
    answered(page, LOAN)
    page.wait_for_url("**/c/*/")
    name = page.url.rstrip("/").rpartition("/")[2]
    page.context.close()
    take(studio.operate(f"/admin/streaming/conversation/{name}/change/", **DESKTOP), "transcript")


def usage(studio: Studio) -> None:
    """What each owner has used."""
    take(studio.operate("/admin/streaming/response/usage/?window=7d", **DESKTOP), "usage")


def history(studio: Studio) -> None:
    """The list of responses, and the page of one."""
    take(studio.operate("/admin/streaming/response/", **DESKTOP), "history")
    page = studio.operate("/admin/streaming/response/?status__exact=completed", **DESKTOP)
    page.locator("#result_list tbody th a").first.click()
    page.wait_for_load_state()
    take(page, "history-timeline")


PICTURES: dict[str, Callable[[Studio], None]] = {
    one.__name__: one
    for one in (
        answer, thought, share, dark, japanese, transcript, usage, history, queue, empty, wait,
        phone,
    )
}  # fmt: skip


def main(names: list[str]) -> None:
    """Take the pictures of these functions, or all."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = ServeProcess(
            Path(folder),
            env={
                "CHATSTREAM_ENGINE": "tests.support.picture_engine.PictureEngine",
                "CHATSTREAM_MAX_RUNNING": "2",
                "CHATSTREAM_MAX_PER_ADDRESS": "0",
                "CHATSTREAM_MAX_SOCKETS": "500",
                "CHATSTREAM_DATA_DIR": folder,
                "FAKE_STEP_SECONDS": "0.06",
                "FAKE_THINKS": "1",
                "CHATSTREAM_MAX_REASONING_TOKENS": "512",
            },
        )
        try:
            server.wait_until_ready()
            secrets = server.manage("shell", "-v", "0", "-c", SEED.read_text()).split()
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
            for name in names or PICTURES:
                studio = Studio(browser, server, secrets)
                PICTURES[name](studio)
                studio.leave()
        finally:
            server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
