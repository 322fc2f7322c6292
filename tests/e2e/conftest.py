"""A real server with the real model, and a real Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, expect, sync_playwright

from tests.e2e.page import OpenPage, pages
from tests.support.prerequisites import missing
from tests.support.processes import ServeProcess
from tests.support.valkey import Valkey, start_or_skip

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Five seconds by default, which a loaded machine may need; what is there earlier is seen earlier.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """`manage.py serve` with the default model, ready to answer."""
    process = ServeProcess(tmp_path_factory.mktemp("serve"), env={"CHATSTREAM_MAX_RUNNING": "2"})
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="session")
def fast_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server that runs one answer at a time, its words known in advance (`FakeEngine`)."""
    env = {
        "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
        "CHATSTREAM_MAX_RUNNING": "1",
        "CHATSTREAM_MAX_TOKENS": "400",
        "CHATSTREAM_DISCONNECT_GRACE": "10",
        "FAKE_STEP_SECONDS": "0.02",
    }
    process = ServeProcess(tmp_path_factory.mktemp("fast"), env=env)
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.stop()


@pytest.fixture
def open_fast(browser: Browser, fast_server: ServeProcess) -> Iterator[OpenPage]:
    """Opens pages of the fast server."""
    with pages(browser, fast_server.url) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For a module: Playwright keeps an event loop running, beside which no async test can run."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        missing("Chromium is not installed (set CHROMIUM to its path)")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        except Error as error:
            missing(f"Chromium does not start: {error}")
        yield browser
        browser.close()


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    server = start_or_skip()
    yield server
    server.stop()
