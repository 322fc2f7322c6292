"""The codes of errors, and the exception that becomes an `error` event."""

from __future__ import annotations

from typing import Literal

ErrorCode = Literal[
    "invalid_event",  # malformed, or a field is wrong: `param` names it
    "unsupported_version",  # the client speaks another version of the protocol
    "input_too_long",
    "invalid_file",  # it is not taken: the message says why, `param` names the part
    "queue_full",
    "user_limit",
    "address_limit",
    "queue_closed",  # by an operator, whose words the message is
    "not_found",
    "forbidden",
    "already_done",
    "already_started",  # too late to edit the prompt
    "unavailable",  # no worker, or the server is ending
    "login_required",
    "session_changed",  # signed in or out elsewhere: connect again
    "rate_limited",  # events or sockets: too many
    "internal_error",
]

FaultCode = Literal[
    "input_too_long",  # in tokens
    "context_length_exceeded",  # the same, where `truncation` is `disabled`
    "context_full",  # of an answer that was to be continued
    "invalid_messages",  # the model's chat template refuses them
    "invalid_params",
    "template_overrun",  # the template took too long, or too much memory
    "engine_error",
    "worker_lost",  # three of them
    "queue_timeout",
    "generation_timeout",
    "unavailable",
    "upstream_unavailable",
    "upstream_refused",
    "not_continuable",
    "tool_calls",
    "content_filter",
    "internal_error",
]
"""Why a response failed: `error.code` of its resource. Other engines may have further codes."""


class ProtocolError(Exception):
    """A client's event cannot be served; it is answered with one `error` event."""

    def __init__(self, code: ErrorCode, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
