"""What people are told of a response that failed, whoever worded it."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from streaming.engine.base import Finished, FinishReason
from streaming.lifecycle.ending import ended_event
from streaming.models import Response, Status
from streaming.record import endings
from streaming.record.endings import Ending
from streaming.record.output import Output
from streaming.system.escaping import MOST_SHOWN_CHARS
from tests.integration.test_history import respond

pytestmark = pytest.mark.django_db(transaction=True)

SAID = "It failed:\n\n  \x1b[31mall\x00 \u202eis\u2028lost \ud800" + "x" * 100_000


def by_its_worker(row: Response) -> None:
    finished = Finished(str(row.pk), FinishReason.ERROR, 1, 1, "engine_error", SAID)
    how = Ending.generated(finished, Output(), first_token_at=timezone.now())
    attempt = endings.Attempt.of(row)
    assert async_to_sync(endings.end)([row.pk], how, attempt=attempt, row=row)


def by_somebody_else(row: Response) -> None:
    assert async_to_sync(endings.end)([row.pk], Ending.failed("worker_lost", SAID))


@pytest.mark.parametrize("end", [by_its_worker, by_somebody_else])
def test_an_errors_message_is_a_short_line(end: Any) -> None:
    row = respond(status=Status.IN_PROGRESS, worker="w", text="")
    end(row)
    row.refresh_from_db()
    assert row.status == Status.FAILED
    assert row.error_message.isprintable()
    assert row.error_message.startswith(r"It failed: \x1b[31mall\x00 \u202eis lost \ud800xxx")
    assert len(row.error_message) < MOST_SHOWN_CHARS + 100
    done = async_to_sync(ended_event)(str(row.pk))
    assert done is not None
    assert done.response.error is not None
    assert done.response.error.message == row.error_message
