"""A long answer moves nothing and leaves the page to its reader's keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.page import PATIENCE, ask, pages, wait_for_text
from tests.e2e.smoothness import watched
from tests.e2e.visitors import serving_fast
from tests.support.every_kind import EVERY_KIND
from tests.support.fake_engine import SAID
from tests.support.processes import ServeProcess

TOKENS = 2000
TYPED = "What I want to ask next, while it still writes. "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """50 deltas a second."""
    folder = tmp_path_factory.mktemp("smooth")
    yield from serving_fast(folder, CHATSTREAM_MAX_TOKENS=str(TOKENS), FAKE_STEP_SECONDS="0.02")


def test_a_long_answer_is_smooth(browser: Browser, server: ServeProcess, tmp_path: Path) -> None:
    text = (EVERY_KIND + "\n\n") * (TOKENS * SAID // len(EVERY_KIND) + 1)
    with pages(browser, server.url) as open_page:
        page = open_page(viewport={"width": 1280, "height": 800})
        answer = ask(page, "say " + text[: TOKENS * SAID - SAID])
        wait_for_text(answer)
        page.wait_for_timeout(500)  # the box, which the prompt has left, is small again
        with watched(browser, page, tmp_path / "trace.json") as seen:
            while answer.get_attribute("data-status") == "in_progress":
                page.locator("#prompt").press_sequentially(TYPED, delay=120)
                page.locator("#prompt").fill("")  # a second line would make the box grow
            expect(answer).to_have_attribute("data-status", "completed", timeout=PATIENCE)
    print(seen)
    assert len(seen.scripts) > 200
    assert [shift for shift in seen.shifts if shift[0] > 0.02] == []
    assert seen.script_p95 < 8
    assert seen.key_median < 50
