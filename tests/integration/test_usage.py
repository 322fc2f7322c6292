"""Usage per owner: totals, shares, percentiles, the window, the order, and the export."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from streaming.models import Conversation, Message, Response
from streaming.record import usage
from tests.integration.queue_actions.conftest import Operator

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/streaming/response/usage/"


def used(owner: str, *waits: float | None, ago: float = 3600, **fields: Any) -> None:
    """Responses of an owner that waited so many seconds (None: waits still), and ran for two."""
    one = Conversation.objects.create(owner=owner)
    prompt = Message.objects.create(conversation=one, role="user", content="Tell me.")
    at = timezone.now() - timedelta(seconds=ago)
    for wait in waits:
        row = Response.objects.create(
            conversation=one, prompt=prompt, owner=owner, prompt_tokens=10,
            completion_tokens=100, **{"status": "completed", **fields},
        )  # fmt: skip
        start = None if wait is None else at + timedelta(seconds=wait)
        end = start and start + timedelta(seconds=2)
        Response.objects.filter(pk=row.pk).update(created_at=at, started_at=start, finished_at=end)


@pytest.fixture
def record() -> str:
    """The name of an account that has used some."""
    account = User.objects.create_user("ada")
    used(f"user:{account.pk}", *range(1, 101))
    used("visitor:a", 3.0, 5.0, None, status="failed")
    used("visitor:old", 1.0, ago=90_000)
    return f"user:{account.pk}"


def test_totals_and_percentiles_of_a_window(record: str) -> None:
    now = timezone.now()
    owners, totals = usage.of_owners(now - timedelta(hours=24), now)
    ada, visitor = owners
    assert (ada.owner, ada.username, ada.responses, ada.completion_tokens) == (
        record, "ada", 100, 10_000,
    )  # fmt: skip
    assert (ada.wait_p50, ada.wait_p95) == pytest.approx((50, 95), abs=0.01)
    assert ada.seconds == pytest.approx(200, abs=0.5)
    assert (visitor.responses, visitor.failed, visitor.username) == (3, 3, "")
    assert (visitor.wait_p50, visitor.wait_p95) == pytest.approx((3, 5), abs=0.01)
    assert (totals.owners, totals.responses, totals.completion_tokens) == (2, 103, 10_300)
    assert usage.of_owners(now, now) == ([], usage.Totals(0, 0, 0, 0, 0, 0, 0.0))
    [first], all_of_them = usage.of_owners(now - timedelta(days=30), now, order="failed", most=1)
    assert (first.owner, all_of_them.owners, all_of_them.responses) == ("visitor:a", 3, 104)


def test_the_page_and_its_export(record: str) -> None:
    operator = Operator("view_response")
    page = operator.get(PAGE).content.decode()
    assert page.index(">ada<") < page.index(">visitor:a<")
    assert "97.1 %" in page
    assert "visitor:old" not in page
    assert "visitor:old" in operator.get(PAGE, {"window": "7d"}).content.decode()
    page = operator.get(PAGE, {"o": "failed"}).content.decode()
    assert page.index(">visitor:a<") < page.index(">ada<")
    export = operator.get(f"{PAGE}export/", {"window": "30d"})
    rows = list(csv.DictReader(io.StringIO(export.content.decode())))
    assert [row["owner"] for row in rows] == [record, "visitor:a", "visitor:old"]
    assert rows[0]["wait_p95_seconds"].startswith("95.0")
    assert "Exported the usage of 3 owners" in LogEntry.objects.get().change_message


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"},
        {"from": "2026-02-31"},
        {"from": "0001-01-01", "to": "9999-12-31"},
        {"from": "2026-05-02", "to": "2026-05-01"},
        {"window": "x" * 500, "o": "1; DROP TABLE"},
    ],
)
def test_nonsense_shows_the_last_day(record: str, query: dict[str, str]) -> None:
    answer = Operator("view_response").get(PAGE, query)
    assert answer.status_code == 200
    assert ">ada<" in answer.content.decode()


def test_days_are_chosen_and_a_name_is_no_formula(record: str) -> None:
    used("=cmd()", 1.0)
    operator = Operator("view_response")
    today = f"{timezone.localdate():%Y-%m-%d}"
    tomorrow = f"{timezone.localdate() + timedelta(days=1):%Y-%m-%d}"
    for first, last in ((today, today), (today, ""), ("", tomorrow)):
        query = {"from": first, "to": last}
        assert f'value="{first}"' in operator.get(PAGE, query).content.decode()
    text = operator.get(f"{PAGE}export/", {"window": "30d"}).content.decode()
    assert "'=cmd()" in text


def test_only_who_may_see_the_history(record: str) -> None:
    for address in (PAGE, f"{PAGE}export/"):
        assert Operator("view_queue").get(address).status_code == 403
        assert Client().get(address).status_code == 302
        assert Operator("view_response").post(address).status_code == 405
