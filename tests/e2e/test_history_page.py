"""The history in the admin, in a real Chromium: filtered, one opened, exported."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.visitors import PASSWORD, Visitors, new_name, serving_fast, visiting
from tests.support.processes import ServeProcess

LIST = "/admin/streaming/response/"

RECORD = """
from datetime import timedelta
from django.utils import timezone
from streaming.models import Conversation, Message, Response
at = timezone.now() - timedelta(minutes=30)
for number in range(12):
    slow = number == 5
    one = Conversation.objects.create(owner=f"visitor:{number:022}", title="On the sea")
    prompt = Message.objects.create(conversation=one, role="user", content="Tell me of the sea.")
    row = Response.objects.create(
        conversation=one, prompt=prompt, owner=one.owner, text="=The sea is wide.",
        status="failed" if number == 7 else "completed", worker="gpu-1.example.org:4711:ab12cd",
        error_code="engine_error" if number == 7 else "", attempt=2 if slow else 1,
        prompt_tokens=12, completion_tokens=90 + 7 * number,
    )
    start = at + timedelta(seconds=75 if slow else number / 3)
    Response.objects.filter(pk=row.pk).update(
        created_at=at, started_at=start, first_token_at=start + timedelta(seconds=0.8),
        finished_at=start + timedelta(seconds=6 + number / 2),
    )
    at += timedelta(minutes=1)
"""


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(tmp_path_factory.mktemp("history"))


@pytest.fixture(scope="module")
def superuser(fast: ServeProcess) -> str:
    """Of a server whose record has a dozen responses in it."""
    name = new_name()
    args = ["createsuperuser", "--noinput", "--username", name, "--email", "boss@example.com"]
    fast.manage(*args, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    fast.manage("shell", "-c", RECORD)
    return name


@pytest.fixture
def visitors(browser: Browser, fast: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, fast)


def open_history(visitors: Visitors, name: str, **options: object) -> Page:
    page = visitors.open(f"/admin/login/?next={LIST}", **options)
    page.locator("#id_username").fill(name)
    page.locator("#id_password").fill(PASSWORD)
    page.locator("input[type=submit]").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(12)
    return page


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_slow_one_is_found_and_its_timeline_read(
    visitors: Visitors, superuser: str, tmp_path: Path
) -> None:
    page = open_history(visitors, superuser, viewport={"width": 1600, "height": 1100})
    expect(page.locator("#result_list svg.cs-bar")).to_have_count(12)
    page.screenshot(path=tmp_path / "history.png")
    page.get_by_role("link", name="Queue time over 1 min").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export all of this list as CSV").click()
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert row["queue_ms"] == "75000"
    assert row["answer"] == "'=The sea is wide."
    page.locator("#result_list tbody th a, #result_list tbody td a").first.click()
    drawing = page.get_by_role("img", name=re.compile("^Waiting 1 min 15 s, reading the prompt"))
    expect(drawing).to_be_visible()
    for name in ("created, queued", "started", "first token", "finished"):
        expect(drawing.get_by_text(name, exact=True)).to_be_visible()
    expect(page.locator(".cs-phases")).to_contain_text("1 min 15 s")
    expect(page.locator(".cs-note")).to_contain_text("Attempt 2: a worker died")
    page.screenshot(path=tmp_path / "timeline.png")
    page.get_by_role("link", name="gpu-1.example.org:4711:ab12cd").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(12)


def test_the_selected_are_downloaded(visitors: Visitors, superuser: str) -> None:
    page = open_history(visitors, superuser)
    for row in (2, 4):
        page.locator("#result_list .action-select").nth(row).check()
    page.locator("select[name=action]").select_option("export_selected")
    with page.expect_download() as download:
        page.get_by_role("button", name="Go").click()
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_days_are_chosen(visitors: Visitors, superuser: str) -> None:
    page = open_history(visitors, superuser)
    page.locator("#changelist-filter input[name=created_to]").fill("2026-01-01")
    page.locator("#changelist-filter").get_by_role("button", name="Show").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(0)
    expect(page.locator("#changelist-filter input[name=created_to]")).to_have_value("2026-01-01")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_history_fits(
    visitors: Visitors, superuser: str, tmp_path: Path, width: int, scheme: str
) -> None:
    page = open_history(
        visitors, superuser, viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    page.locator(".cs-retention summary").click()
    expect(page.get_by_text("manage.py prune --dry-run")).to_be_visible()
    assert fits(page)
    page.screenshot(path=tmp_path / "list.png", full_page=True)
    page.locator("#result_list tbody th a, #result_list tbody td a").first.click()
    expect(page.locator("svg.cs-life")).to_be_visible()
    assert fits(page)
    page.screenshot(path=tmp_path / "timeline.png", full_page=True)
    colours = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, ...['waiting', 'reading', 'answering']"
        ".map((name) => getComputedStyle(document.querySelector(`.cs-life .cs-${name}`)).fill)]"
    )
    assert len(set(colours)) == 4, colours
    page.locator(".field-conversation_link a").click()
    expect(page.locator(".cs-turns tbody tr")).to_have_count(1)
    assert fits(page)
