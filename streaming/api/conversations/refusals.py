"""What the record refuses of a conversation, as errors of the API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from streaming.api.errors import ApiError
from streaming.api.responses.refusals import conversation_not_found, item_not_found
from streaming.record.conversation_items import MOST_TURNS
from streaming.record.errors import NotFound, RecordError, StillOpen, Subject, TooManyTurns


@contextlib.contextmanager
def explained(conversation_id: str, item_id: str = "") -> Iterator[None]:
    """Turn the refusals of the record into ApiErrors about a conversation or its item."""
    try:
        yield
    except RecordError as error:
        match error:
            case NotFound(subject=Subject.ITEM):
                raise item_not_found(item_id, "item_id") from None
            case NotFound():
                raise conversation_not_found(conversation_id) from None
            case StillOpen():
                message = "A response of the conversation has not ended yet. Try again later."
                raise ApiError(400, "conversation_locked", message, "conversation_id") from None
            case TooManyTurns():
                message = f"A conversation has at most {MOST_TURNS:,} turns; begin another one."
                raise ApiError(400, "conversation_full", message, "conversation_id") from None
        raise
