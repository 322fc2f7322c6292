"""What is logged when the database or the channel layer is away, and when it is not that."""

from __future__ import annotations

import logging

import pytest
from django.db import IntegrityError, OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from streaming.system.outages import log_fault

logger = logging.getLogger("streaming.tests")


@pytest.mark.parametrize(
    "error",
    [OSError(111, "refused"), RedisConnectionError("gone"), OperationalError("no database")],
)
def test_what_is_away_is_one_line(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    log_fault(logger, error, "%s failed; trying again.", "beat")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"beat failed; trying again. ({type(error).__name__}: {error})"
    assert not record.exc_info


@pytest.mark.parametrize("error", [ValueError("ours"), IntegrityError("ours, too")])
def test_a_bug_keeps_its_traceback(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    log_fault(logger, error, "%s failed; trying again.", "beat")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "beat failed; trying again."
    assert record.exc_info
    assert record.exc_info[1] is error
