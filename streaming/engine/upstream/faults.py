"""What can be wrong with the server, in a sentence for people and in details for the operator.

Neither holds anything that the server said, which may be a prompt, nor its address. The beginning
of what it said stands passed_fields them, for the log of whoever asks for it (DEBUG).
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import httpx2

from streaming.engine.base import EngineError, context_exceeded

_LONGEST_WAIT = 60.0
"""Seconds; a `Retry-After` of more is taken to be this."""

_SAID_CHARS = 300
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

_PROMPT_REPEATED = re.compile(r"['\"]input['\"]\s*:.*|\binput_value=.*", re.DOTALL)


class FaultKind(StrEnum):
    """What can be done about a fault."""

    AWAY = "away"  # or busy: wait and try again
    REFUSED = "refused"  # the request is not understood
    TOO_LONG = "too_long"  # for the model's context
    BROKEN = "broken"  # it began to answer and failed
    THINKS = "thinks"  # instead of going on with a text
    FATAL = "fatal"  # no use to try again


class UpstreamFault(EngineError):
    """A fault of the server, or of what it was asked.

    - `message` and `code` are for the client, `detail` is for the log, `said` (the server's words)
      for its DEBUG level alone.
    - `retry_after`: seconds that the server asks to wait; None if it does not.
    - `lengths`: tokens of a prompt that is too long and of the context; 0 where the server does not
      say.
    """

    def __init__(
        self,
        kind: FaultKind,
        detail: str,
        message: str = "The model's server failed while answering.",
        code: str = "engine_error",
        retry_after: float | None = None,
        said: str = "",
        lengths: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(message, code)
        self.prompt_tokens, self.context_tokens = lengths
        self.kind = kind
        self.detail = detail
        self.said = _PROMPT_REPEATED.sub("...", said)[:_SAID_CHARS]
        self.retry_after = retry_after


def no_messages() -> UpstreamFault:
    """Return the fault of a request without a message to answer."""
    message = "There is no message to answer."
    return UpstreamFault(FaultKind.FATAL, "no messages", message, "invalid_messages")


def broken(detail: str, said: str = "") -> UpstreamFault:
    """Return the fault of an answer that began and failed."""
    return UpstreamFault(FaultKind.BROKEN, detail, said=said)


def away(detail: str, retry_after: float | None = None, said: str = "") -> UpstreamFault:
    """Return the fault of a server that cannot be reached or is busy; `retry_after` in seconds."""
    message = "The model's server is away or too busy. Try again later."
    return UpstreamFault(FaultKind.AWAY, detail, message, "upstream_unavailable", retry_after, said)


def misconfigured(detail: str, said: str = "") -> UpstreamFault:
    """Return the fault of a server that refuses whatever it is asked."""
    message = "The model's server refused to answer; the operator of this service has to look."
    return UpstreamFault(FaultKind.FATAL, detail, message, "upstream_refused", said=said)


def too_long(detail: str, said: str = "", lengths: tuple[int, int] = (0, 0)) -> UpstreamFault:
    """Return the fault of a prompt that is too long; `lengths` as in UpstreamFault."""
    message = "The message is too long for the model. Send a shorter one."
    code = "input_too_long"
    return UpstreamFault(FaultKind.TOO_LONG, detail, message, code, said=said, lengths=lengths)


def too_long_to_keep(fault: UpstreamFault, context: int) -> UpstreamFault:
    """Return `fault`, of a request that must not be trimmed; `context` in tokens, 0 if nobody
    knows."""
    error = context_exceeded(fault.context_tokens or context, fault.prompt_tokens)
    return UpstreamFault(FaultKind.FATAL, fault.detail, str(error), error.code, said=fault.said)


def context_full(fault: UpstreamFault) -> UpstreamFault:
    """Return `fault`, of a request that continues an answer behind which not even a token fits."""
    message = (
        "The answer fills the model's context. Nothing can be added to it; "
        "ask a new question instead."
    )
    return UpstreamFault(FaultKind.TOO_LONG, fault.detail, message, "context_full", said=fault.said)


def too_much(detail: str) -> UpstreamFault:
    """Return the fault of a server that sends more than an answer can be."""
    message = "The model's server sent more than an answer can be."
    return UpstreamFault(FaultKind.FATAL, detail, message)


def refused_with(names: Iterable[str], fault: UpstreamFault) -> UpstreamFault:
    """Return `fault`, of a request with these parameters that were passed on; the message names
    those that the server names, or else all."""
    given = sorted(names)
    named = [name for name in given if re.search(rf"\b{name}\b", fault.said)] or given
    message = f"The model's server does not accept this request with {', '.join(named)}."
    return UpstreamFault(FaultKind.FATAL, fault.detail, message, "invalid_params", said=fault.said)


def cannot_continue() -> UpstreamFault:
    """Return the fault of a request that continues an answer, where the server cannot."""
    message = "The model's server cannot go on with an answer; ask again instead."
    return UpstreamFault(
        FaultKind.FATAL, "it cannot continue a message", message, "not_continuable"
    )


def thinks_again() -> UpstreamFault:
    """Return the fault of a server that thinks where it was to go on with a text, so that nobody
    can tell the two apart."""
    return UpstreamFault(FaultKind.THINKS, "it thinks where it was to go on", "It cannot go on.")


def of_transport(error: Exception) -> UpstreamFault:
    """Return the fault of a connection that was not made (`AWAY`), or broke (`BROKEN`)."""
    detail, said = type(error).__name__, str(error)
    if isinstance(error, httpx2.ConnectError):  # of the system, not of the server
        detail = f"{detail}: {ascii(said[:_SAID_CHARS])[1:-1]}"
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
    status = code if isinstance(code, int) and 400 <= code <= 599 else 500
    return _of_code(status, said, {})


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
    if 300 <= status < 400:
        return misconfigured(f"HTTP {status}: it redirects", headers.get("location", ""))
    return misconfigured(detail, text)


def _text(said: Any) -> str:
    """The message of an error in any of the shapes that servers give it."""
    for _ in range(_NESTED):
        if not isinstance(said, dict):
            break
        said = next((said[name] for name in ("error", "message", "detail") if said.get(name)), "")
    if isinstance(said, list):  # of FastAPI, which repeats the prompt passed_fields it
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
