"""What can be wrong with the server, in a sentence for people and in details for the operator.

Neither holds anything that the server said, which may be a prompt, nor its address. The beginning
of what it said stands beside them, for the log of whoever asks for it (DEBUG).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from streaming.engine.base import EngineError, context_exceeded

SAID_CHARS = 300
_PROMPT_REPEATED = re.compile(r"['\"]input['\"]\s*:.*|\binput_value=.*", re.DOTALL)


class FaultKind(StrEnum):
    """What can be done about a fault."""

    AWAY = "away"  # or busy: wait and try again
    REFUSED = "refused"  # the request is not understood
    MISSING = "missing"  # there is nothing at this address
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
        self.said = _PROMPT_REPEATED.sub("...", said)[:SAID_CHARS]
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


def missing(detail: str, said: str = "") -> UpstreamFault:
    """Return the fault of a server that has nothing at the address that was asked."""
    fault = misconfigured(detail, said)
    return UpstreamFault(FaultKind.MISSING, detail, str(fault), fault.code, said=said)


def takes_text_only(fault: UpstreamFault) -> UpstreamFault:
    """Return `fault`, of a request with images that the server's model cannot see."""
    message = "This model takes text only: it cannot be shown images."
    return UpstreamFault(FaultKind.FATAL, fault.detail, message, "invalid_params", said=fault.said)


def takes_no_tools(fault: UpstreamFault) -> UpstreamFault:
    """Return `fault`, of a request with tools that the server's model cannot call."""
    message = "This model takes no tools: its server does not accept a request with tools."
    return UpstreamFault(FaultKind.FATAL, fault.detail, message, "invalid_params", said=fault.said)


def completes_no_text(detail: str, said: str = "") -> UpstreamFault:
    """Return the fault of a bare text, where the server goes on with conversations alone."""
    message = "This model takes conversations only: its server does not go on with a bare text."
    return UpstreamFault(FaultKind.FATAL, detail, message, "invalid_params", said=said)


def unknown_part() -> UpstreamFault:
    """Return the fault of a request with a part of a message that the server has no words for."""
    message = "The model's server has no place for a part of this conversation."
    return UpstreamFault(FaultKind.FATAL, "a part of no known type", message, "invalid_params")


def unwanted_call(detail: str) -> UpstreamFault:
    """Return the fault of an answer that calls a tool though none was offered."""
    message = "The model wants to use a tool, and there is none here."
    return UpstreamFault(FaultKind.FATAL, detail, message, "tool_calls")


def unknown_item(kind: object) -> UpstreamFault:
    """Return the fault of an answer with an item, or a call, of a type that cannot be passed on:
    mostly of a tool that the server has itself."""
    named = str(kind) if re.fullmatch(r"[a-z0-9_:]{1,40}", str(kind)) else "of an unknown type"
    message = f"The model's server answered with an item that has no place here ({named})."
    return UpstreamFault(FaultKind.FATAL, f"an item: {named}", message, "tool_calls")


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
