"""Log lines: plain text or JSON, with the response that they are about, without secrets.

Prompts, answers, cookies and credentials are not logged anywhere; as a second guard, every line
is searched for the configured secrets and for what looks like a credential. A record is one line
whatever its arguments are; a traceback has more, none of which a text of its exceptions can forge.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from uuid import UUID

from streaming.system.escaping import bounded, each_line, json_line, one_line, traceback_of

HIDDEN = "***"

_response_id: ContextVar[str | None] = ContextVar("response_id", default=None)

_CREDENTIALS = re.compile(
    r"\bcs-[\w-]{20,}"  # an API key
    r"|(?<=sessionid=)[^\s;'\"]+|(?<=csrftoken=)[^\s;'\"]+|(?<=visitor=)[^\s;'\"]+"
    r"|(?i:(?<=bearer )[^\s'\",]+)"
    r"|(?<=://)[^/\s@'\"]*(?=@)"  # the user and password in an address
)

_SHORTEST_SECRET = 6


@contextlib.contextmanager
def about(response_id: UUID | str | None) -> Iterator[None]:
    """Name this response in what is logged meanwhile, in this task and those that it starts."""
    token = _response_id.set(None if response_id is None else str(response_id))
    try:
        yield
    finally:
        _response_id.reset(token)


def response_of(record: logging.LogRecord) -> str | None:
    """Return the id of the response that a record is about: the one in its `extra`, or among its
    arguments, or that of the task that wrote it; None without any."""
    if said := getattr(record, "response_id", None):
        return str(said)
    for argument in record.args if isinstance(record.args, tuple) else ():
        if _is_id(argument):
            return str(argument)
    return _response_id.get()


def _is_id(argument: object) -> bool:
    if isinstance(argument, str) and len(argument) == 36:
        try:
            UUID(argument)
        except ValueError:
            return False
        return True
    return isinstance(argument, UUID)


class _Formatter(logging.Formatter):
    def __init__(self, *args: object, secrets: Iterable[str] = (), **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        longest_first = sorted(set(secrets), key=len, reverse=True)
        self._secrets = [secret for secret in longest_first if len(secret) >= _SHORTEST_SECRET]

    def without_secrets(self, text: str) -> str:
        """Return a text with the secrets and credentials in it hidden."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _CREDENTIALS.sub(HIDDEN, text)

    def traceback(self, record: logging.LogRecord) -> str:
        """Return the record's traceback, empty without one. What another formatter has left in the
        record is not taken."""
        if record.exc_info and record.exc_info[1] is not None:
            return traceback_of(record.exc_info)
        return each_line(record.exc_text) if record.exc_text else ""


class PlainFormatter(_Formatter):
    """A line for people; the response's id stands at its end if the message does not name it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line for people, its traceback below it."""
        record.message = bounded(record.getMessage())
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        line = self.formatMessage(record)
        response_id = response_of(record)
        if response_id is not None and response_id not in line:
            line = f"{line} [response {response_id}]"
        parts = [one_line(line), self.traceback(record)]
        if record.stack_info:
            parts.append(each_line(self.formatStack(record.stack_info)))
        return self.without_secrets("\n".join(part for part in parts if part))


class JsonFormatter(_Formatter):
    """One JSON object a line: time, level, logger, message, process, host, and `response_id` if
    the line is about one; the fields of `extra={"data": {...}}`, and a traceback if there is one.
    """

    host = socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object in one line."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": bounded(record.getMessage()),
            "process": record.process,
            "host": self.host,
        }
        if response_id := response_of(record):
            fields["response_id"] = response_id
        fields |= getattr(record, "data", {})
        if traceback := self.traceback(record):
            fields["traceback"] = traceback
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        clean = {
            name: self.without_secrets(value) if isinstance(value, str) else value
            for name, value in fields.items()
        }
        return json_line(clean)
