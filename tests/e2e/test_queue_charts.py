"""The charts of the last hour in the live queue, in a real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect
from websockets.sync.client import connect

from streaming.admin.charts import board
from streaming.waiting_list.samples import Sample
from tests.e2e.operators import new_staff, open_queue
from tests.e2e.visitors import ENDLESS, Visitors, serving_fast, visiting
from tests.support.processes import ServeProcess

PATIENCE = 90_000
QUEUE = "/admin/streaming/response/queue/"
SHOW = """([whole, next]) => {
    const others = (event) => event.detail.ours || event.stopImmediatePropagation();
    document.addEventListener("queue:samples", others, { capture: true });
    for (const detail of [whole, next])
        document.dispatchEvent(new CustomEvent("queue:samples", { detail }));
    const line = (item) => {
        const key = item.dataset.line;
        const drawn = document.querySelector(`g[data-line="${key}"]`);
        return [
            key,
            drawn.querySelector(".cs-chart-line").getAttribute("d"),
            drawn.querySelector(".cs-chart-area").getAttribute("d"),
            item.querySelector(".cs-chart-last").textContent,
            item.querySelector(".cs-chart-most").textContent,
        ];
    };
    const charts = [...document.querySelectorAll(".cs-chart")];
    return charts.map((chart) => [
        chart.querySelector(".cs-chart-top-value").textContent,
        chart.querySelector("desc").textContent,
        ...[...chart.querySelectorAll("li")].map(line),
    ]);
}"""
"""Shows two frames, and from then on nothing that the page's own socket brings."""


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
    expect(page.locator(".cs-chart")).to_have_count(4)
    expect(page.locator(".cs-charts .cs-empty")).to_be_hidden()
    expect(line).to_have_attribute("d", re.compile(r"^M\d+ \d+(L|h0)"))
    expect(last(page, "capacity")).to_have_text("2")
    expect(page.get_by_role("img", name="Running and waiting")).to_have_count(1)


def test_new_samples_arrive(visitors: Visitors, operator: str, charted: ServeProcess) -> None:
    page = open_queue(visitors, operator)
    expect(last(page, "running")).to_have_text("0", timeout=PATIENCE)
    with connect(charted.ws_url, max_queue=None) as asker:
        asker.send(json.dumps({"type": "response.create", "input": ENDLESS}))
        expect(last(page, "running")).to_have_text("1", timeout=PATIENCE)
        expect(page.locator("#chart-load-desc")).to_contain_text("Running: last 1, most 1.")
        expect(last(page, "tokens")).to_have_text(re.compile(r"^[1-9]"), timeout=PATIENCE)
    expect_accessible(page)


def test_a_moment_is_chosen_by_keys(visitors: Visitors, operator: str) -> None:
    page = open_queue(visitors, operator)
    now = int(page.evaluate("Date.now() / 1000"))
    samples = [sample(now - 300, waiting=9, rejected=2), sample(now, waiting=1)]
    page.evaluate(SHOW, [frame([], True), frame(samples, True)])
    slider = page.get_by_role("slider").first
    slider.focus()
    page.keyboard.press("Home")
    expect(last(page, "waiting")).to_have_text("9")
    expect(last(page, "rejected")).to_have_text("2")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r": .*Waiting 9$"))
    expect(page.locator(".cs-chart-cursor").last).to_have_attribute(
        "d", re.compile(r"^M3[23]\d\d 0V")
    )
    expect_accessible(page)
    page.keyboard.press("Escape")
    expect(slider).to_have_attribute("aria-valuetext", "now")


def sample(at: float, **values: Any) -> dict[str, Any]:
    fields = {
        "at": at, "seconds": 10.0, "running": 1, "waiting": 0, "capacity": 2,
        "tokens_per_second": 0.0, "queue_seconds": None, "rejected": 0,
    }  # fmt: skip
    return {**fields, **values}


def frame(samples: list[dict[str, Any]], whole: bool) -> dict[str, Any]:
    return {"type": "queue.samples", "samples": samples, "whole": whole, "ours": True}


def test_script_and_server_draw_the_same(visitors: Visitors, operator: str) -> None:
    page = open_queue(visitors, operator)
    now = int(page.evaluate("Date.now() / 1000"))
    samples = [
        sample(
            now - 10 * n,
            seconds=0.0 if n == 200 else 10.0,
            running=n % 3,
            waiting=n * 37 % 130,
            tokens_per_second=n * 1234.567,
            queue_seconds=n / 7 if n % 4 else None,
            rejected=n * 11 % 5 if n < 150 else 0,
        )
        for n in reversed([*range(100), *range(150, 380)])
    ]
    shown = page.evaluate(SHOW, [frame(samples[:-1], True), frame(samples[-1:], False)])
    expected = board([_as_taken(one) for one in samples], now)
    assert shown == [
        [
            chart.top,
            chart.summary,
            *([ln.key, ln.path, ln.area, ln.last, f"most {ln.most}"] for ln in chart.lines),
        ]
        for chart in expected.charts
    ]


def _as_taken(outline: dict[str, Any]) -> Sample:
    rejected = {"queue_full": outline["rejected"]}
    more = {"workers": 1, "tokens": 0, "accepted": 0, "accepted_in_all": 0}
    return Sample(**{**outline, **more, "rejected": rejected, "rejected_in_all": rejected})


def test_an_hour_without_samples_is_empty(visitors: Visitors, operator: str) -> None:
    page = open_queue(visitors, operator)
    old = int(page.evaluate("Date.now() / 1000")) - 7200
    page.evaluate(SHOW, [frame([sample(old)], True), frame([], True)])
    shown = page.evaluate(
        """() => {
            const none = { detail: { samples: [], whole: true, ours: true } };
            document.dispatchEvent(new CustomEvent("queue:samples", none));
            const note = document.querySelector(".cs-charts .cs-empty");
            return [note.hidden, note.textContent];
        }"""
    )
    assert shown == [False, "No samples yet"]
