"""What can be wrong with the server, in a sentence for people and in details for the operator.

The sentence never holds anything that the server said, nor its address; the details go to the log,
without what the server repeats of a prompt.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import httpx2

from streaming.engine.base import EngineError

_LONGEST_WAIT = 60.0
"""Seconds; a `Retry-After` of more is taken to be this."""

_DETAIL_CHARS = 300

_TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window)|longer than the model|token count exceeds"
    r"|max_new_tokens.{0,20}must be|too many (input )?tokens|(prompt|input)s? (is|are) too long",
    re.IGNORECASE,
)

_PROMPT_REPEATED = re.compile(r"['\"]input['\"]\s*:.*|\binput_value=.*", re.DOTALL)


class Kind(StrEnum):
    AWAY = "away"  # or busy: wait and try again
    REFUSED = "refused"  # the request is not understood
    TOO_LONG = "too_long"  # for the model's context
    BROKEN = "broken"  # it began to answer and failed
    FATAL = "fatal"  # no use to try again


class UpstreamFault(EngineError):
    """`message` and `code` are for the client, `detail` for the log; `retry_after` in seconds."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        message: str = "The model's server failed while answering.",
        code: str = "engine_error",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code)
        self.kind = kind
        self.detail = _PROMPT_REPEATED.sub("...", detail)[:_DETAIL_CHARS]
        self.retry_after = retry_after


def broken(detail: str) -> UpstreamFault:
    return UpstreamFault(Kind.BROKEN, detail)


def away(detail: str, retry_after: float | None = None) -> UpstreamFault:
    message = "The model's server is away or too busy. Try again later."
    return UpstreamFault(Kind.AWAY, detail, message, "upstream_unavailable", retry_after)


def misconfigured(detail: str) -> UpstreamFault:
    message = "The model's server refused to answer; the operator of this service has to look."
    return UpstreamFault(Kind.FATAL, detail, message, "upstream_refused")


def too_long(detail: str) -> UpstreamFault:
    message = "The message is too long for the model."
    return UpstreamFault(Kind.TOO_LONG, detail, message, "input_too_long")


def cannot_continue() -> UpstreamFault:
    message = "The model's server cannot go on with an answer; ask again instead."
    return UpstreamFault(Kind.FATAL, "it cannot continue a message", message, "not_continuable")


def of_transport(error: Exception) -> UpstreamFault:
    """A connection that was not made, or did not hold."""
    detail = f"{type(error).__name__}: {error}"
    not_made = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
    return away(detail) if isinstance(error, not_made) else broken(detail)


def of_status(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamFault:
    """An answer that is none."""
    try:
        said: Any = json.loads(body)
    except ValueError:
        said = body.decode("utf-8", "replace")
    return _of_code(status, said, headers)


def of_event(said: Any) -> UpstreamFault:
    """An error in the middle of a stream; `said` is the value of its `error`."""
    code = said.get("code") if isinstance(said, dict) else None
    return _of_code(code if isinstance(code, int) else 500, said, {})


def _of_code(status: int, said: Any, headers: Mapping[str, str]) -> UpstreamFault:
    text = _text(said)
    detail = f"HTTP {status}: {text}"
    if status in (429, 502, 503, 504, 529):
        return away(detail, _retry_after(headers.get("retry-after", "")))
    if status in (400, 413, 422):
        if _TOO_LONG.search(f"{text} {_names(said)}"):
            return too_long(detail)
        message = "The model's server does not accept this request."
        return UpstreamFault(Kind.REFUSED, detail, message, "upstream_refused")
    if status >= 500:
        return broken(detail)
    if 300 <= status < 400:
        detail = f"HTTP {status}: it redirects to {headers.get('location', 'somewhere')!r}"
    return misconfigured(detail)


def _text(said: Any) -> str:
    """The message of an error in any of the shapes that servers give it."""
    if isinstance(said, dict):
        inner = next((said[name] for name in ("error", "message", "detail") if said.get(name)), "")
        return _text(inner)
    if isinstance(said, list):  # of FastAPI, which repeats the prompt beside it
        faults = [fault for fault in said if isinstance(fault, dict)]
        return "; ".join(f"{fault.get('loc')}: {fault.get('msg')}" for fault in faults)
    return str(said)


def _names(said: Any) -> str:
    error = said.get("error", said) if isinstance(said, dict) else None
    if not isinstance(error, dict):
        return ""
    return f"{error.get('code')} {error.get('type')}"


def _retry_after(value: str) -> float | None:
    """Seconds from now, of a number or a date; None if it is neither."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(_LONGEST_WAIT, max(0.0, seconds)) if seconds == seconds else None
