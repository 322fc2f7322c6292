"""Log lines: the response they are about, JSON that a machine can read, and no secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from streaming.monitoring import logs

Write = Callable[..., logging.Logger]


@pytest.fixture
def lines() -> Any:
    """`lines(formatter)`: a logger with it; and what was written."""
    logger = logging.Logger("streaming.test", logging.DEBUG)
    stream = io.StringIO()

    def use(formatter: logging.Formatter) -> tuple[logging.Logger, Callable[[], str]]:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        logger.addHandler(handler)
        return logger, stream.getvalue

    return use


def test_a_json_line_says_when_where_how_bad_and_which_response(lines: Any) -> None:
    logger, written = lines(logs.JsonFormatter())
    response_id = uuid4()
    logger.warning("The lease of %s was lost.", response_id, extra={"data": {"attempt": 2}})
    line = json.loads(written())
    assert line["time"].endswith("+00:00")
    assert line["level"] == "WARNING"
    assert line["logger"] == "streaming.test"
    assert line["message"] == f"The lease of {response_id} was lost."
    assert line["response_id"] == str(response_id)
    assert line["attempt"] == 2
    assert isinstance(line["process"], int)


@pytest.mark.parametrize("text", ["two\nlines", 'a "quote"', "日本語", "\x1b[31mred"])
def test_a_json_line_is_one_line_whatever_it_says(lines: Any, text: str) -> None:
    logger, written = lines(logs.JsonFormatter())
    logger.info("%s", text)
    assert written().count("\n") == 1
    assert json.loads(written())["message"] == text


def test_a_traceback_is_a_field(lines: Any) -> None:
    logger, written = lines(logs.JsonFormatter())
    try:
        raise ValueError("of no use")
    except ValueError:
        logger.exception("It failed.")
    line = json.loads(written())
    assert line["message"] == "It failed."
    assert "ValueError: of no use" in line["traceback"]


def test_a_line_without_a_response_has_no_id(lines: Any) -> None:
    logger, written = lines(logs.JsonFormatter())
    logger.info("%s and %s", "text", 5)
    assert "response_id" not in json.loads(written())


def test_what_a_task_logs_is_about_its_response(lines: Any) -> None:
    logger, written = lines(logs.PlainFormatter("%(message)s"))
    response_id = uuid4()
    with logs.about(response_id):
        logger.info("It could not be handled.")
    logger.info("Something else.")
    assert written() == f"It could not be handled. [response {response_id}]\nSomething else.\n"


def test_a_plain_line_names_the_response_once(lines: Any) -> None:
    logger, written = lines(logs.PlainFormatter("%(message)s"))
    response_id = str(uuid4())
    logger.info("Response %s.", response_id)
    assert written() == f"Response {response_id}.\n"


@pytest.mark.parametrize(
    "text",
    [
        "the key is django-secret-value",
        "redis://:hunter2hunter2@db:6379/0",
        "postgres://chat:pw@host/db",
        "Authorization: Bearer cs-abcdefghijklmnopqrstuvwxyz0123456789",
        "token cs-abcdefghijklmnopqrstuvwxyz0123456789!",
        "Cookie: sessionid=abcdef0123; csrftoken=zyxwvu9876",
        "Cookie: theme=dark; visitor=ImFiY2RlZjAxMjMi:abcdef0123:zyxwvu9876",
    ],
)
@pytest.mark.parametrize("formatter", [logs.PlainFormatter, logs.JsonFormatter])
def test_secrets_are_hidden(lines: Any, formatter: Any, text: str) -> None:
    logger, written = lines(formatter(secrets=["django-secret-value", "hunter2hunter2", ""]))
    logger.info(text)
    try:
        raise RuntimeError(text)
    except RuntimeError:
        logger.exception("It failed.")
    for secret in ("secret-value", "hunter2", "chat:pw", "cs-abc", "abcdef0123", "zyxwvu"):
        assert secret not in written()
    assert logs.HIDDEN in written()
