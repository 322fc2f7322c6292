"""Deletes conversations: what is open is cancelled first, and what came in between after."""

from __future__ import annotations

import logging

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import QuerySet

from streaming import responses
from streaming.models import OPEN, Conversation, Response
from streaming.protocol import ProtocolError

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
_BATCH = 500


def remove(conversations: QuerySet[Conversation]) -> int:
    """Delete them; how many there were. Not within a transaction: speaking to the waiting list
    gives the database connection back.

    A prompt accepted after the cancelling goes with the rows, and out of the list by its id. One
    whose row is gone before it gets its place stands in the list until the reconciler or a
    worker's claim finds no row to it.
    """
    found = list(conversations.values_list("pk", flat=True))
    count = 0
    for begin in range(0, len(found), _BATCH):
        count += _remove(Conversation.objects.filter(pk__in=found[begin : begin + _BATCH]))
    return count


def _remove(conversations: QuerySet[Conversation]) -> int:
    layer = get_channel_layer()
    for response_id in _open(conversations):
        try:
            async_to_sync(responses.cancel)(layer, response_id)
        except ProtocolError as error:
            logger.info("%s was not cancelled: %s", response_id, error)
    count, late = _delete(conversations)
    for response_id in late:
        try:
            async_to_sync(responses.withdraw_ended)(layer, response_id)
        except Exception:
            logger.exception("%s is left to the reconciler.", response_id)
    return count


def _delete(conversations: QuerySet[Conversation]) -> tuple[int, list[str]]:
    """How many there were, and the ids of the responses that were still open."""
    for attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic():
                # Locked, so that no row is added to them meanwhile.
                locked = list(conversations.select_for_update().values_list("pk", flat=True))
                late = _open(conversations)
                conversations.delete()
            return len(locked), late
        except (IntegrityError, OperationalError):
            # A worker wrote an answer's end at the same moment, and was there first.
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _open(conversations: QuerySet[Conversation]) -> list[str]:
    rows = Response.objects.filter(conversation__in=conversations, status__in=OPEN)
    return [str(pk) for pk in rows.values_list("pk", flat=True)]
