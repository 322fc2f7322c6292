"""Deletes from the record while others write to it: what is open is cancelled first, and what came
in between goes with the rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import IntegrityError, OperationalError, models, transaction
from django.db.models import QuerySet

from streaming.lifecycle import ending
from streaming.models import OPEN, Conversation, Message, Response
from streaming.protocol.events import ProtocolError

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
_BATCH = 500

_GO_WITH: dict[type[models.Model], str] = {
    Conversation: "conversation__in",
    Message: "prompt__in",
    Response: "pk__in",
}
"""Which responses are deleted when rows of a table are."""


def remove(rows: QuerySet[Any]) -> int:
    """Delete conversations, messages or responses; how many there were. Not within a transaction:
    speaking to the waiting list gives the database connection back.

    A prompt accepted after the cancelling goes with the rows, and out of the list by its id. One
    whose row is gone before it gets its place stands in the list until the reconciler or a
    worker's claim finds no row to it.
    """
    found = list(rows.values_list("pk", flat=True))
    count = 0
    for begin in range(0, len(found), _BATCH):
        batch = rows.model._default_manager.filter(pk__in=found[begin : begin + _BATCH])
        cancel_open(batch)
        deleted, late = delete(batch)
        withdraw(late)
        count += deleted
    return count


def remove_of(user: Any) -> None:
    """Delete an account's conversations before itself, within its transaction; what they have open
    is withdrawn when that is committed."""
    _, late = delete(Conversation.objects.filter(user=user))
    transaction.on_commit(partial(withdraw, late))


def cancel_open(rows: QuerySet[Any]) -> None:
    """Cancel the open responses that go when these rows go. Not within a transaction."""
    layer = get_channel_layer()
    for response_id in _ids(_open(rows)):
        try:
            async_to_sync(ending.cancel)(layer, response_id)
        except ProtocolError as error:
            logger.info("%s was not cancelled: %s", response_id, error)


def delete(rows: QuerySet[Any]) -> tuple[int, list[str]]:
    """How many rows there were, and the ids of the responses that were still open."""
    still_open = _open(rows)
    for attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic():
                # Locked, so that nothing that refers to them is written meanwhile; in the order
                # of those who end a response: its row, then what its answer refers to.
                _ids(still_open.select_for_update(no_key=True))
                locked = _ids(rows.select_for_update())
                late = _ids(still_open)
                rows.delete()
            return len(locked), late
        except (IntegrityError, OperationalError):
            # Somebody wrote at the same moment, and was there first.
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def withdraw(late: Iterable[str]) -> None:
    """Take deleted responses out of the waiting list. Not within a transaction."""
    layer = get_channel_layer()
    for response_id in late:
        try:
            async_to_sync(ending.settle)(layer, response_id)
        except Exception:
            logger.exception("%s is left to the reconciler.", response_id)


def _open(rows: QuerySet[Any]) -> QuerySet[Response]:
    return Response.objects.filter(**{_GO_WITH[rows.model]: rows}, status__in=OPEN)


def _ids(rows: QuerySet[Any]) -> list[str]:
    return [str(pk) for pk in rows.values_list("pk", flat=True)]
