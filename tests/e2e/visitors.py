"""What the tests of pages share: a fast server, and visitors whose pages must not complain."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.e2e.page import ask
from tests.support.processes import ServeProcess

PASSWORD = "correct horse battery"
ENDLESS = "go on"
"""The fake engine says a word each 20 ms, up to the token limit."""

_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
    console.error(`CSP ${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
});
"""


def serve_fast(folder: Path, **settings: str) -> ServeProcess:
    """`manage.py serve` whose engine says `w0 w1 w2 ...`; a prompt `stop N` ends it after N."""
    process = ServeProcess(
        folder,
        env={
            "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
            "CHATSTREAM_MAX_RUNNING": "2",
            **settings,
        },
    )
    try:
        process.wait_until_ready()
    except BaseException:
        process.stop()
        raise
    return process


def serving_fast(folder: Path, **settings: str) -> Iterator[ServeProcess]:
    """The rest of a fixture: a server as of `serve_fast`, until its tests have ended."""
    process = serve_fast(folder, **settings)
    yield process
    process.stop()


class Visitors:
    """Browser contexts, each another visitor, and everything their pages complain of."""

    def __init__(self, browser: Browser, server: ServeProcess) -> None:
        self._browser = browser
        self._server = server
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def open(self, path: str = "/", **options: Any) -> Page:
        context = self._browser.new_context(**options)
        context.add_init_script(_WATCH)
        self._contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)
        page.on("request", self._asked)
        page.goto(self._server.url + path)
        return page

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self._server.url, "data:")):
            self.complaints.append(f"a third host: {request.url}")

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        assert self.complaints == [], "\n".join(self.complaints)


def visiting(browser: Browser, server: ServeProcess) -> Iterator[Visitors]:
    """The rest of a fixture: visitors of a server, whose pages complained of nothing."""
    visitors = Visitors(browser, server)
    yield visitors
    visitors.close()


def ask_and_read(page: Page, text: str) -> Locator:
    """Ask, and wait for the end."""
    answer = ask(page, text)
    expect(answer).to_have_attribute("data-status", "completed", timeout=20_000)
    return answer


def bytes_moved(page: Page, load: Callable[[], object]) -> dict[str, int]:
    """What a load moves over the wire, headers included, with nothing cached: bytes by URL.

    What was under way before is not the load's; Chromium tells of its end all the same.
    """
    network = page.context.new_cdp_session(page)
    urls: dict[str, str] = {}
    moved: dict[str, int] = {}
    network.on(
        "Network.requestWillBeSent",
        lambda e: urls.update({e["requestId"]: e["request"]["url"]}),
    )
    network.on(
        "Network.loadingFinished",
        lambda e: (
            e["requestId"] in urls and moved.update({urls[e["requestId"]]: e["encodedDataLength"]})
        ),
    )
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    load()
    network.detach()
    print("bytes moved:", sum(moved.values()))
    return moved


def new_name() -> str:
    return f"user-{uuid.uuid4().hex[:8]}"


def sign_up(page: Page, server: ServeProcess, name: str) -> None:
    page.goto(f"{server.url}/accounts/signup/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url(f"{server.url}/")


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """On the sign-in page."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
