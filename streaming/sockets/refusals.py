"""Translates the refusals of lifecycle, record and waiting list into protocol errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from streaming.protocol.errors import ProtocolError
from streaming.record.errors import (
    AlreadyEnded,
    AlreadyStarted,
    NotFound,
    NothingToAnswer,
    NothingToContinue,
    NotOwner,
    OtherConversation,
    PromptAnswered,
    RecordError,
    StillOpen,
    Subject,
    TooManyTurns,
    UnknownCall,
)
from streaming.waiting_list.interface import WaitingListError

REFUSALS = (ProtocolError, RecordError, WaitingListError)
"""Exceptions that become an `error` event: refusals, as opposed to faults of the server."""

_FIELDS = {
    Subject.RESPONSE: "response_id",
    Subject.CONVERSATION: "conversation_id",
    Subject.PREVIOUS: "previous_response_id",
    Subject.REGENERATED: "regenerates",
    Subject.CONTINUED: "continues",
    Subject.ITEM: "item_id",
}
"""The field of an event that names each."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the exceptions of a refusal into a ProtocolError."""
    try:
        yield
    except WaitingListError as error:
        raise ProtocolError(error.code, str(error)) from None  # type: ignore[arg-type]
    except RecordError as error:
        raise _of_record(error) from None


def _of_record(error: RecordError) -> ProtocolError:
    field = _FIELDS[error.subject]
    match error:
        case NotFound(subject=Subject.CONVERSATION):
            return ProtocolError("not_found", "There is no such conversation.", field)
        case NotFound():
            return ProtocolError("not_found", "There is no such response.", field)
        case NotOwner():
            return ProtocolError("forbidden", "This response belongs to somebody else.", field)
        case AlreadyEnded():
            return ProtocolError("already_done", "This response has ended already.", field)
        case AlreadyStarted():
            message = "The answer has begun; send a new prompt."
            return ProtocolError("already_started", message, field)
        case StillOpen():
            message = f"`{field}`: it has not ended yet."
        case OtherConversation():
            message = f"`{field}`: of another conversation."
        case NothingToContinue():
            message = f"`{field}`: only an answer that was cut has more to come."
        case UnknownCall():  # no client of this socket sends results of tools
            message = f"`{field}`: the call of a tool and its result do not fit."
        case NothingToAnswer():
            message = f"`{field}`: there is nothing to answer."
        case TooManyTurns():
            message = f"`{field}`: it has as many turns as one may have; begin another one."
        case PromptAnswered():
            message = f"`{field}`: this prompt has an answer already; send a new one."
        case _:
            raise AssertionError(f"no words for {error!r}")
    return ProtocolError("invalid_event", message, field)
