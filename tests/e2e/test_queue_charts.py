"""The charts of the last hour in the live queue, in a real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.template.loader import render_to_string
from playwright.sync_api import Browser, Locator, Page, expect
from websockets.sync.client import connect

from streaming.admin.charts import board
from streaming.waiting_list.samples import Sample
from tests.e2e.operators import new_staff, open_queue
from tests.e2e.visitors import ENDLESS, Visitors, serving_fast, visiting
from tests.support.processes import ServeProcess

PATIENCE = 90_000
QUEUE = "/admin/streaming/response/queue/"


@pytest.fixture(scope="module")
def charted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(tmp_path_factory.mktemp("charts"), CHATSTREAM_MAX_TOKENS="4000")


@pytest.fixture(scope="module")
def operator(charted: ServeProcess) -> str:
    return new_staff(charted, "view_queue")


@pytest.fixture
def visitors(browser: Browser, charted: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, charted)


def last(page: Page, line: str) -> Locator:
    return page.locator(f"li[data-line={line}] .cs-chart-last")


def expect_accessible(page: Page) -> None:
    found = Axe().run(page, context=".cs-charts")
    assert found.violations_count == 0, found.generate_report()


def test_the_server_draws_the_charts(visitors: Visitors, operator: str) -> None:
    page = open_queue(visitors, operator, java_script_enabled=False)
    line = page.locator("g[data-line=capacity] .cs-chart-line")
    for _ in range(180):  # until a sample is taken, and not before the worker has said what it can
        if last(page, "capacity").inner_text() == "2":
            break
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator(".cs-chart")).to_have_count(6)
    expect(page.locator(".cs-charts .cs-empty")).to_be_hidden()
    expect(line).to_have_attribute("d", re.compile(r"^M\d+ \d+(L|h0)"))
    expect(last(page, "capacity")).to_have_text("2")
    expect(page.get_by_role("img", name="Running")).to_have_count(1)


def test_new_samples_arrive(visitors: Visitors, operator: str, charted: ServeProcess) -> None:
    page = open_queue(visitors, operator)
    expect(last(page, "running")).to_have_text("0", timeout=PATIENCE)
    with connect(charted.ws_url, max_queue=None) as asker:
        asker.send(json.dumps({"type": "response.create", "input": ENDLESS}))
        expect(last(page, "running")).to_have_text("1", timeout=PATIENCE)
        expect(page.locator("#chart-running-desc")).to_contain_text("Running: last 1, most 1.")
        expect(last(page, "tokens")).to_have_text(re.compile(r"^[1-9]"), timeout=PATIENCE)
    expect_accessible(page)


def drawn(page: Page, *samples: Sample) -> None:
    """Let the page fetch charts of these samples."""
    shown = board(samples, samples[-1].at if samples else 0.0)
    html = render_to_string("admin/streaming/response/queue_charts_drawn.html", {"charts": shown})
    page.route("**/queue/charts/?window=1h", lambda route: route.fulfill(body=html))
    page.locator("[data-window='1h']").click()


def test_a_moment_is_chosen_by_keys(visitors: Visitors, operator: str) -> None:
    page = open_queue(visitors, operator)
    now = int(page.evaluate("Date.now() / 1000")) // 60 * 60  # the beginning of a minute
    drawn(page, sample(now - 300, waiting=9, rejected={"queue_full": 2}), sample(now, waiting=1))
    expect(last(page, "waiting")).to_have_text("1")
    slider = page.get_by_role("slider", name="Waiting")
    slider.focus()
    page.keyboard.press("Home")
    expect(last(page, "rejected")).to_have_text("2")  # of the minute in which it was
    expect(last(page, "waiting")).to_have_text("9")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r": Waiting 9$"))
    expect(page.locator(".cs-chart-cursor").last).to_have_attribute(
        "d", re.compile(r"^M3[23]\d\d 0V")
    )
    # Other charts come, and what has the focus keeps it, with the moment.
    page.locator("[data-window='1h']").evaluate("link => link.click()")
    expect(slider).to_be_focused()
    expect(last(page, "waiting")).to_have_text("9")
    page.keyboard.press("ArrowRight")
    expect(last(page, "waiting")).to_have_text("–")  # nobody knows what was between
    expect_accessible(page)
    page.keyboard.press("Escape")
    expect(slider).to_have_attribute("aria-valuetext", "now")
    expect(last(page, "waiting")).to_have_text("1")


def test_windows_and_what_is_remembered(visitors: Visitors, operator: str) -> None:
    page = open_queue(visitors, operator)
    with page.expect_response("**/queue/charts/?window=24h") as answer:
        page.get_by_role("link", name="24 h").click()
    assert answer.value.ok
    expect(page.locator(".cs-chart-axis").first).to_contain_text("24 h ago")
    expect(page.locator("#chart-rejections")).to_contain_text("Kept for an hour only")
    expect_accessible(page)
    page.reload()
    expect(page.locator("[data-window='24h']")).to_have_attribute("aria-current", "true")
    expect(page.locator(".cs-chart-axis").first).to_contain_text("24 h ago")
    # Whatever sees it collapsed finds it remembered, also in the same task.
    said = page.locator("#queue-charts > summary").evaluate(
        "async (summary) => { summary.click(); await null; return document.cookie; }"
    )
    assert "queue_charts=closed.24h" in said
    expect(page.locator(".cs-chart").first).to_be_hidden()
    page.reload()
    expect(page.locator(".cs-chart")).to_have_count(0)  # nor read
    page.locator("#queue-charts > summary").click()
    expect(page.locator(".cs-chart")).to_have_count(6)


def sample(at: float, **values: Any) -> Sample:
    fields: dict[str, Any] = {
        "at": at, "seconds": 10.0, "running": 1, "waiting": 0, "workers": 1, "capacity": 2,
        "tokens": 0, "tokens_per_second": 0.0, "queue_seconds": None, "accepted": 0,
        "rejected": {}, "accepted_in_all": 0, "rejected_in_all": {},
    }  # fmt: skip
    return Sample(**{**fields, **values})


def test_an_hour_without_samples_is_empty(visitors: Visitors, operator: str) -> None:
    page = open_queue(visitors, operator)
    drawn(page)
    expect(page.locator(".cs-charts .cs-empty")).to_have_text("No samples yet")
    expect(page.locator(".cs-charts .cs-empty")).to_be_visible()
