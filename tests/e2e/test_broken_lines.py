"""What people see while their server is gone, while it comes back, and when a line goes dead."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.e2e.page import ask, expect_connected, expect_status
from tests.support.processes import ManagedProcess
from tests.support.proxy import Proxy, proxy
from tests.support.terminal import chat
from tests.support.valkey import free_port

BANNER = "#queue-banner"
FAST = {
    "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
    "CHATSTREAM_MAX_RUNNING": "1",
    "FAKE_STEP_SECONDS": "0.1",
}


def serve(folder: Path, port: int, until: str = "^Ready:", **env: str) -> ManagedProcess:
    database = {"DATABASE_URL": f"sqlite:///{folder}/db.sqlite3"}
    server = ManagedProcess("serve", "--port", str(port), env={**database, **FAST, **env})
    server.wait_for(until)
    return server


WATCH_STATE = """() => {
    const connection = document.getElementById("connection");
    window.states = [];
    new MutationObserver(() => states.push(connection.dataset.state)).observe(connection, {
        attributes: true,
    });
}"""


def open_page(browser: Browser, url: str) -> Page:
    page = browser.new_context().new_page()
    page.goto(url)
    expect_connected(page)
    return page


def close_all(browser: Browser) -> None:
    for context in browser.contexts:
        context.close()


def banner(page: Page) -> str:
    return page.locator(f"{BANNER} .banner-text").text_content() or ""


def test_who_waits_over_a_restart(browser: Browser, tmp_path: Path) -> None:
    port, loaded, gate = free_port(), tmp_path / "loaded", tmp_path / "gate"
    env = {"FAKE_LOAD": str(loaded), "FAKE_GATE": str(gate)}
    loaded.touch()
    gate.touch()
    server = serve(tmp_path, port, **env)
    url = f"http://127.0.0.1:{port}/"
    try:
        busy = open_page(browser, url)
        expect_status(ask(busy, "stop 3"), "completed")  # so that there are estimates
        gate.unlink()
        running = ask(busy, "stop 20")
        expect_status(running, "in_progress")
        waiting = [open_page(browser, url) for _ in range(3)]
        answers = [ask(page, f"stop {3 + number}") for number, page in enumerate(waiting)]
        places = ["You are next", "2nd of 3 in the queue", "3rd of 3 in the queue"]
        for page, place in zip(waiting, places, strict=True):
            expect(page.locator(BANNER)).to_contain_text(place)
            expect(page.locator(BANNER)).to_contain_text("about")
            expect(page.locator("#model")).to_have_text("fake")

        server.stop(signal.SIGKILL)
        loaded.unlink()
        last = f"Your prompt keeps its place. Before the break: {places[2]} · 2 prompts ahead"
        for page, place in zip(waiting, places, strict=True):
            expect(page.locator(BANNER)).to_contain_text(f"Before the break: {place}")
        expect(waiting[2].locator(f"{BANNER} .banner-text")).to_have_text(last)
        waiting[2].wait_for_timeout(3000)  # nothing counts down meanwhile
        assert banner(waiting[2]) == last

        server = serve(tmp_path, port, "Chat page", **env)
        for page, place in zip(waiting, places, strict=True):
            expect_connected(page)
            expect(page.locator(BANNER)).to_contain_text(f"The model is loading · {place}")
            expect(page.locator("#model")).to_have_text("fake")
        loaded.touch()
        for page, place in zip(waiting, places, strict=True):
            expect(page.locator(BANNER)).not_to_contain_text("loading")
            expect(page.locator(BANNER)).to_contain_text(place)
        gate.touch()
        for answer in (running, *answers):
            expect_status(answer, "completed")
    finally:
        close_all(browser)
        server.stop(signal.SIGKILL)


@contextmanager
def line_to(port: int) -> Iterator[Proxy]:
    """A proxy before a server, on an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    manager = proxy(f"ws://127.0.0.1:{port}/")
    try:
        yield asyncio.run_coroutine_threadsafe(manager.__aenter__(), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_line_that_forwards_no_more_is_replaced(browser: Browser, tmp_path: Path) -> None:
    """Nobody closes it. The server still thinks that the page is there, and the page would think so
    of the server until its answer had been cancelled for want of a viewer."""
    port, gate = free_port(), tmp_path / "gate"
    server = serve(tmp_path, port, FAKE_GATE=str(gate), CHATSTREAM_DISCONNECT_GRACE="5")
    try:
        with line_to(port) as line:
            busy = open_page(browser, f"http://127.0.0.1:{port}/")
            running = ask(busy, "stop 20")
            expect_status(running, "in_progress")
            page = open_page(browser, line.url.replace("ws", "http", 1))
            answer = ask(page, "stop 3")
            expect(page.locator(BANNER)).to_contain_text("You are next")
            page.evaluate(WATCH_STATE)
            line.stall()
            page.wait_for_function("() => states.includes('lost')", timeout=60_000)
            expect_connected(page)
            expect(page.locator(BANNER)).to_contain_text("You are next")
            gate.touch()
            expect_status(answer, "completed")
            expect_status(running, "completed")
    finally:
        close_all(browser)
        server.stop(signal.SIGKILL)


def test_the_terminal_notices_such_a_line(tmp_path: Path) -> None:
    port, gate = free_port(), tmp_path / "gate"
    server = serve(tmp_path, port, FAKE_GATE=str(gate))
    try:
        with line_to(port) as line:
            terminal = chat("--url", line.url.replace("ws", "http", 1))
            terminal.until("> ")
            terminal.type("stop 10\r")
            terminal.until("w5")
            line.stall()
            gate.touch()
            terminal.until("w9")
            assert line.connections == 2
            terminal.close()
    finally:
        server.stop(signal.SIGKILL)
