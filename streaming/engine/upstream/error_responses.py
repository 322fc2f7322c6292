"""Tells the fault from what the server says instead of an answer, or from a broken connection."""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2

from streaming.engine.upstream.faults import (
    SAID_CHARS,
    FaultKind,
    UpstreamFault,
    away,
    broken,
    misconfigured,
    missing,
    too_long,
)

_LONGEST_WAIT = 60.0
"""Seconds; a `Retry-After` of more is taken to be this."""

_CODES = {
    "rate_limit_exceeded": 429,
    "server_overloaded": 503,
    "server_is_overloaded": 503,
    "context_length_exceeded": 400,
}
"""HTTP statuses of errors that have a name, in the middle of a stream."""

_NESTED = 10
"""Levels of an error's body that are looked into for its text."""

_TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window)|longer than the model|token count exceeds"
    r"|max_new_tokens.{0,20}must be|too many (input )?tokens|(prompt|input)s? (is|are) too long",
    re.IGNORECASE,
)

_PROMPT_TOKENS = re.compile(
    r"\b(\d{1,9}) (?:tokens )?(?:in the (?:messages|prompt)|input tokens|from the input messages)"
    r"|messages resulted in (\d{1,9}) tokens|\b(?:input|request) \((\d{1,9}) tokens",
    re.IGNORECASE,
)
_CONTEXT_TOKENS = re.compile(r"context (?:length|size|window)[^\d.]{0,20}(\d{1,9})", re.IGNORECASE)
_MOST_TOKENS = 10**9


def of_transport(error: Exception) -> UpstreamFault:
    """Return the fault of a connection that was not made (`AWAY`), or broke (`BROKEN`)."""
    detail, said = type(error).__name__, str(error)
    if isinstance(error, httpx2.ConnectError):  # of the system, not of the server
        detail = f"{detail}: {ascii(said[:SAID_CHARS])[1:-1]}"
    not_made = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
    return away(detail, said=said) if isinstance(error, not_made) else broken(detail, said)


def of_status(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamFault:
    """Return the fault that an HTTP status other than 200 stands for."""
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        said = body.decode("utf-8", "replace")
    return _of_code(status, said, headers)


def of_event(said: Any) -> UpstreamFault:
    """Return the fault of an error in the middle of a stream; `said` is the value of its
    `error`."""
    code = said.get("code") if isinstance(said, dict) else None
    if isinstance(code, str):
        return _of_code(_status_of(code), said, {})
    status = code if isinstance(code, int) and 400 <= code <= 599 else 500
    return _of_code(status, said, {})


def _status_of(code: str) -> int:
    """The HTTP status that an error's name stands for."""
    if code in _CODES:
        return _CODES[code]
    return 400 if code.startswith(("invalid_", "unsupported_", "image_")) else 500


def _of_code(status: int, said: Any, headers: Mapping[str, str]) -> UpstreamFault:
    text = _text(said)
    detail = f"HTTP {status}"
    if status in (429, 502, 503, 504, 529):
        return away(detail, _retry_after(headers.get("retry-after", "")), text)
    if status in (400, 413, 422):
        if _TOO_LONG.search(f"{text} {_names(said)}"):
            return too_long(detail, text, _lengths(said, text))
        message = "The model's server does not accept this request."
        return UpstreamFault(FaultKind.REFUSED, detail, message, "upstream_refused", said=text)
    if status >= 500:
        return broken(detail, text)
    if status in (404, 405):
        return missing(detail, text)
    if 300 <= status < 400:
        return misconfigured(f"HTTP {status}: it redirects", headers.get("location", ""))
    return misconfigured(detail, text)


def _text(said: Any) -> str:
    """The message of an error in any of the shapes that servers give it."""
    for _ in range(_NESTED):
        if not isinstance(said, dict):
            break
        said = next((said[name] for name in ("error", "message", "detail") if said.get(name)), "")
    if isinstance(said, list):  # of FastAPI, which repeats the prompt beside it
        faults = [fault for fault in said if isinstance(fault, dict)]
        return "; ".join(f"{fault.get('loc')}: {fault.get('msg')}" for fault in faults)
    return str(said)


def _lengths(said: Any, text: str) -> tuple[int, int]:
    """Tokens of the prompt and of the context, from llama.cpp's fields or from the sentences of
    OpenAI, vLLM, SGLang and llama.cpp; 0 for what is not there."""
    error = said.get("error", said) if isinstance(said, dict) else None
    fields = error if isinstance(error, dict) else {}
    return (
        _count(fields.get("n_prompt_tokens"), _PROMPT_TOKENS, text),
        _count(fields.get("n_ctx"), _CONTEXT_TOKENS, text),
    )


def _count(value: Any, pattern: re.Pattern[str], text: str) -> int:
    if isinstance(value, int) and 0 < value < _MOST_TOKENS:
        return value
    found = pattern.search(text)
    return int(found[found.lastindex or 0]) if found else 0


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
