"""The client's exception."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from pydantic import ValidationError


class ChatError(Exception):
    """The server refused something, or cannot be reached.

    `code` is one of the protocol's, or one of the client's own: `unreachable` (no connection),
    `bad_server` (what answers does not speak this protocol), `closed` (by this program).
    `param` names the wrong field, `response_id` the answer it was about. Asking again with that
    id is never a second answer.
    """

    def __init__(
        self,
        code: str,
        message: str,
        param: str | None = None,
        response_id: UUID | None = None,
        *,
        passing: bool = False,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.param = param
        self.response_id = response_id
        self.passing = passing
        """Whether it may pass, so that another try is worth it."""


@contextmanager
def invalid_event(response_id: UUID) -> Iterator[None]:
    """Raise ChatError, with the first fault, for a ValidationError within the block."""
    try:
        yield
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        param = ".".join(str(part) for part in fault["loc"]) or None
        raise ChatError("invalid_event", f"{fault['msg']}.", param, response_id) from None
