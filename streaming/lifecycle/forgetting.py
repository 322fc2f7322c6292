"""Forgetting conversations, messages or responses: what is open is cancelled first, then the rows
go, and what came in between is taken out of the waiting list.

A prompt accepted after the cancelling goes with the rows, and out of the list by its id. One whose
row is gone before it gets its place stands in the list until the reconciler or a worker's claim
finds no row to it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import transaction
from django.db.models import QuerySet

from streaming.lifecycle import ending
from streaming.record import deletion, responses
from streaming.record.errors import RecordError

logger = logging.getLogger(__name__)

_BATCH = 500


def forget(rows: QuerySet[Any]) -> int:
    """Delete conversations, messages or responses; return how many there were. Not within a
    transaction: speaking to the waiting list gives the database connection back."""
    found = list(rows.values_list("pk", flat=True))
    count = 0
    for begin in range(0, len(found), _BATCH):
        batch = rows.model._default_manager.filter(pk__in=found[begin : begin + _BATCH])
        cancel_open(batch)
        deleted, late = deletion.delete(batch)
        withdraw(late)
        count += deleted
    return count


def forget_in_transaction(rows: QuerySet[Any]) -> None:
    """Delete rows within the caller's transaction; what was open is taken out of the waiting list
    when that is committed, and stays if it is rolled back."""
    _, late = deletion.delete(rows)
    transaction.on_commit(partial(withdraw, late))


async def forget_response(layer: BaseChannelLayer, response_id: str) -> None:
    """Delete one response, with its turns that nothing else stands on; an open one is cancelled
    first."""
    with contextlib.suppress(RecordError):
        await ending.cancel(layer, response_id)
    if await responses.delete(response_id):
        await ending.settle(layer, response_id)


def cancel_open(rows: QuerySet[Any]) -> None:
    """Cancel the open responses that go when these rows go. Not within a transaction."""
    layer = get_channel_layer()
    for response_id in deletion.ids(deletion.open_responses(rows)):
        try:
            async_to_sync(ending.cancel)(layer, response_id)
        except RecordError as error:
            logger.info("%s was not cancelled: %s", response_id, error)


def withdraw(late: Iterable[str]) -> None:
    """Take deleted responses out of the waiting list. Not within a transaction."""
    layer = get_channel_layer()
    for response_id in late:
        try:
            async_to_sync(ending.settle)(layer, response_id)
        except Exception:
            logger.exception("%s is left to the reconciler.", response_id)
