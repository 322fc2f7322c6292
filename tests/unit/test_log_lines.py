"""Nobody's text forges a line of the log, hides in it, or fills it."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils.log import log_response
from hypothesis import example, given
from hypothesis import strategies as st

from streaming.monitoring import logs
from streaming.system.outages import log_fault

FORGED = "2026-01-01 00:00:00,000 ERROR streaming.worker.queue_worker The server was taken over."
BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"]
HIDING = [
    "\x00",
    "\x1b[2K\x1b[1A",
    "\x08",
    "\u202e",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\ud800",
    "\x9b",
]
FORMATTERS = {
    "plain": lambda: logs.PlainFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"),
    "json": logs.JsonFormatter,
}
TEXTS = st.text(st.characters(), max_size=60) | st.text(
    st.sampled_from([*"".join(BREAKS + HIDING), "a", " ", "%", "\\", '"']), max_size=20
)

Write = Callable[[Callable[[logging.Logger], object]], str]


def written(kind: str, log: Callable[[logging.Logger], object]) -> str:
    """What a formatter makes of what is logged, as it stands in a file of UTF-8."""
    logger = logging.Logger("streaming.test", logging.DEBUG)
    file = io.BytesIO()
    stream = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(FORMATTERS[kind]())
    handler.handleError = _raise  # type: ignore[method-assign]
    logger.addHandler(handler)
    log(logger)
    return file.getvalue().decode()


def _raise(record: logging.LogRecord) -> None:
    raise  # as it is called, in an `except`


def is_clean(text: str) -> bool:
    """No character that a terminal, an editor or a reader of lines takes for more than itself."""
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)


def lines(text: str) -> list[str]:
    assert text.endswith("\n")
    return text[:-1].split("\n")


@pytest.mark.parametrize("kind", FORMATTERS)
@given(text=TEXTS)
@example(f"x\n{FORGED}")
@example(f"x\u2028{FORGED}")
@example("\x1b[2J")
def test_a_record_is_one_line(kind: str, text: str) -> None:
    for log in (
        lambda logger: logger.error("The server said %s", text),
        lambda logger: logger.error("The server said %(it)s", {"it": text}),
        lambda logger: logger.error(text.replace("%", "")),
        lambda logger: logger.error("About", extra={"response_id": text, "data": {"name": text}}),
        lambda logger: log_fault(logger, OSError(text), "It is away."),
    ):
        (line,) = lines(written(kind, log))
        assert is_clean(line)
        if kind == "json":
            json.loads(line)
    (line,) = lines(written("json", lambda logger: logger.error("%s", text)))
    assert json.loads(line)["message"] == text


def chained(text: str) -> Exception:
    try:
        try:
            raise KeyError(text)
        except KeyError as error:
            raise ValueError(text) from error
    except ValueError:
        try:
            raise OSError(text)
        except OSError as error:
            error.add_note(text)
            return error


def grouped(text: str) -> Exception:
    return ExceptionGroup(text, [chained(text), ExceptionGroup(text, [RuntimeError(text)])])


def of_syntax(text: str) -> Exception:
    return SyntaxError(text, (text, 1, 1, text))


class Shy(Exception):
    def __str__(self) -> str:
        raise RuntimeError


ERRORS: dict[str, Callable[[str], Exception]] = {
    "plain": ValueError,
    "chained": chained,
    "grouped": grouped,
    "syntax": of_syntax,
    "named": lambda text: type(f"X{text[:9].encode('ascii', 'replace').hex()}\n", (Shy,), {})(),
    "without a text": lambda text: Shy(text),
}


@pytest.mark.parametrize("make", ERRORS.values(), ids=ERRORS)
@given(text=TEXTS)
@example(f"x\n{FORGED}")
@example(f"x\n\nTraceback (most recent call last):\n{FORGED}")
def test_a_traceback_has_no_line_of_an_exceptions_text(
    make: Callable[[str], Exception], text: str
) -> None:
    def log(logger: logging.Logger) -> None:
        try:
            raise make(text)
        except Exception:
            logger.exception("It failed.", stack_info=True)

    first, *rest = lines(written("plain", log))
    assert first.endswith("It failed.")
    assert all(map(is_clean, rest))
    assert not any(line.startswith("2026") for line in rest)
    (line,) = lines(written("json", log))
    assert is_clean(line)
    found = json.loads(line)["traceback"].split("\n")
    assert found == rest[: len(found)]
    assert "Traceback (most recent call last):" in found


def test_a_traceback_reads_as_pythons_own() -> None:
    def log(logger: logging.Logger) -> None:
        try:
            raise chained("of no use")
        except OSError:
            logger.exception("It failed.")

    found = lines(written("plain", log))[1:]
    assert [line for line in found if not line.startswith("  ")] == [
        "Traceback (most recent call last):",
        "KeyError: 'of no use'",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        "ValueError: of no use",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        "OSError: of no use",
        "of no use",
    ]
    assert sum(line.startswith('  File "') for line in found) == 4


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    found = written("plain", lambda logger: logger.error("x", exc_info=first))
    assert found.count("first") == 1
    chain: BaseException = ValueError("the first")
    for number in range(5000):
        following = ValueError(f"number {number}")
        following.__context__ = chain
        chain = following
    found = written("plain", lambda logger: logger.error("x", exc_info=chain))
    assert len(found) < 10_000


@pytest.mark.parametrize("kind", FORMATTERS)
def test_what_another_formatter_left_is_not_taken(kind: str) -> None:
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "It failed.", (), None)
    record.exc_text = f"ValueError: x\n{FORGED}"
    assert f"\n{FORGED}" not in FORMATTERS[kind]().format(record)
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "It failed.", (), None)
    record.exc_info = (ValueError, ValueError(f"x\n{FORGED}"), None)
    logging.Formatter().format(record)
    assert f"\n{FORGED}" not in FORMATTERS[kind]().format(record)


@pytest.mark.parametrize("kind", FORMATTERS)
def test_a_line_is_bounded(kind: str) -> None:
    def log(logger: logging.Logger) -> None:
        try:
            raise ValueError("x" * 1_000_000)
        except ValueError:
            logger.exception("It failed: %s", "y" * 1_000_000)

    assert len(written(kind, log)) < 20_000


@pytest.mark.parametrize("kind", FORMATTERS)
def test_a_refused_row_is_not_told(kind: str) -> None:
    """As PostgreSQL tells it."""
    text = 'null value in column "owner"\nDETAIL:  Failing row contains (my secret prompt, 7).'

    def log(logger: logging.Logger) -> None:
        try:
            raise ValueError(text)
        except ValueError as error:
            logger.exception("It failed: %s", error)

    found = written(kind, log)
    assert "my secret prompt" not in found
    assert "null value in column" in found


@pytest.mark.parametrize("kind", FORMATTERS)
@pytest.mark.parametrize("path", [f"/x\n{FORGED}", f"/x\r{FORGED}", "/\x1b[2J", "/\u2028x"])
def test_djangos_line_of_a_path(kind: str, path: str, rf: Any) -> None:
    request = rf.get("/")
    request.path = path
    response = rf.get("/")
    response.status_code = 404

    def log(logger: logging.Logger) -> None:
        log_response("%s: %s", "Not Found", path, request=request, response=response, logger=logger)  # type: ignore[arg-type]
        logger.warning("Invalid HTTP_HOST header: %r", path)
        logger.warning(f"{path} failed.")

    found = lines(written(kind, log))
    assert len(found) == 3
    assert all(map(is_clean, found))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No faults of logging itself are swallowed."""
    raising, logging.raiseExceptions = logging.raiseExceptions, True
    yield
    logging.raiseExceptions = raising


def test_every_logger_of_the_site_writes_so(settings: Any) -> None:
    """None keeps a handler of its own, Django's `django.server` included."""
    config = settings.LOGGING
    assert set(config["handlers"]) == {"console"}
    assert config["loggers"]["django.server"] == {"handlers": [], "propagate": True}
    assert all(not logger.get("handlers") for logger in config["loggers"].values())
