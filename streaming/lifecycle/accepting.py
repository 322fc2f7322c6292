"""Accepting responses: the row (`accepting`), its place in the list, the row (`queued`).

A process that dies between two of these leaves what the reconciler puts right.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from channels.layers import BaseChannelLayer

from streaming.lifecycle import list_lock, recovery
from streaming.lifecycle.arrivals import Arrivals
from streaming.lifecycle.doorbell import ring
from streaming.lifecycle.limits import LimitsInForce
from streaming.models import TERMINAL, Response, Status
from streaming.monitoring import metrics
from streaming.record import creation, deletion, lookups
from streaming.record.errors import NotFound, NotOwner
from streaming.record.tasks import History, Items, Requester, Task, gives_instructions
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import (
    AdmissionLimits,
    Place,
    State,
    Unavailable,
    WaitingListError,
)

logger = logging.getLogger(__name__)

ENDED = Place(State.DONE, None, 0, created=False)
"""The place of what the record has ended."""


class Reader(Protocol):
    """Whoever is to see a response from its beginning."""

    async def expect(self, row: Response) -> bool:
        """Prepare for the response's events, which may come as soon as it has a place.

        Return False if this reader sees it already: then it is not told a place again.
        """

    async def placed(self, row: Response, place: Place) -> None:
        """Show where the response stands; `ENDED` if it does not any more."""


class Nobody:
    """The reader of what is not watched from its beginning."""

    async def expect(self, row: Response) -> bool:
        """Let it have its place."""
        return True

    async def placed(self, row: Response, place: Place) -> None:
        """Tell nobody."""


async def accept(
    layer: BaseChannelLayer,
    task: Task,
    *,
    params: Mapping[str, Any],
    requester: Requester,
    reader: Reader,
    response_id: UUID | None = None,
) -> Response:
    """Write a response and give it a place; return its row.

    `params` as `params.resolve` returns them. One whose id the record knows is shown again, and
    has a right to its place. Raises WaitingListError if there is no place, and RecordError if the
    record has nothing that fits the task; nothing is left in the record then.
    """
    await recovery.ensure(layer)  # before: what is written after it comes into the list by itself
    await _refuse_unwritten(layer, requester, response_id)
    row: Response
    async with Arrivals.here().writing():
        row, is_new = await creation.create(
            task, params=params, requester=requester, response_id=response_id
        )
    if await reader.expect(row):
        await _place(layer, row, reader, task=task if is_new else None)
    return row


async def resume(
    layer: BaseChannelLayer, response_id: UUID, owner: str, reader: Reader
) -> Response:
    """Show a response to its owner again; return its row. One that the list has forgotten gets its
    place back.

    Raises NotFound, NotOwner, and WaitingListError for one that was never accepted and is refused.
    """
    row: Response | None = await lookups.get(response_id)
    if row is None:
        raise NotFound
    if row.owner != owner:
        raise NotOwner
    if await reader.expect(row):
        await _place(layer, row, reader)
    return row


async def accept_own(layer: BaseChannelLayer, row: Response, limits: AdmissionLimits) -> None:
    """Give a response of the server's own, which is written and which nobody reads, a place within
    limits of its own. Raises WaitingListError if there is none: it is deleted with its
    conversation then."""
    await recovery.ensure(layer)
    await _place(layer, row, Nobody(), task=History(()), limits=limits)


async def admit(
    layer: BaseChannelLayer, row: Response, limits: AdmissionLimits | None = None
) -> Place:
    """Ask for the place of a written response, within the limits in force if no others are given.
    Raises WaitingListError if there is none.

    One that was accepted before keeps its right to a place, whatever the list forgot. (A row
    still `accepting` was not: the same id on two sockets must not get past the bounds.)
    """
    await recovery.ensure(layer)
    response_id, waiting_list = str(row.pk), layer.waiting_list
    try:
        if why := list_lock.refusal(layer):
            raise Unavailable(f"No prompt is answered here right now: {why}.")
        if row.status == Status.ACCEPTING:
            entry = recovery.entry_of(row)
            bounds = limits or await LimitsInForce.here(layer).admission()
            return await recovery.with_memory(layer, lambda: waiting_list.enqueue(entry, bounds))
    except WaitingListError as error:
        metrics.REJECTIONS.labels(error.code).inc()
        raise
    place: Place = await waiting_list.place(response_id)
    if place.state is State.UNKNOWN:
        await recovery.readmit(layer, response_id)
        place = await waiting_list.place(response_id)
    return place


async def _place(
    layer: BaseChannelLayer,
    row: Response,
    reader: Reader,
    *,
    task: Task | None = None,
    limits: AdmissionLimits | None = None,
) -> None:
    """Give a response its place, tell the reader, then ring and mark it `queued`.

    `task`: what the row was written for just now; None for one that was there before.
    """
    if row.status in TERMINAL:
        await reader.placed(row, ENDED)
        return
    try:
        place = await admit(layer, row, limits)
    except WaitingListError:
        if task:
            await deletion.discard(
                row,
                with_conversation=task.begins_conversation and isinstance(task, History | Items),
                with_instructions=gives_instructions(task),
                messages=len(task.messages) if isinstance(task, Items) else None,
            )
        raise
    await reader.placed(row, place)
    if task or place.created:
        await _confirm(layer, row, place)


async def _confirm(layer: BaseChannelLayer, row: Response, place: Place) -> None:
    """Ring for a response that has just got its place, and mark it `queued` in the record. It is
    accepted and its reader knows: what fails here is left to the reconciler.

    A row that was written here is confirmed even where the place is not said to be `created`: the
    list was asked twice, its first reply lost."""
    try:
        await ring(layer)
        await Arrivals.here().mark_queued(row.pk, place.slot)
    except Exception as error:
        log_fault(logger, error, "The acceptance of %s is not recorded yet.", row.pk)


async def _refuse_unwritten(
    layer: BaseChannelLayer, requester: Requester, response_id: UUID | None
) -> None:
    """Raise WaitingListError for what the list would refuse, so that a crowd that is turned away
    costs no writing and deleting. One that the record knows keeps its right to a place."""
    owner, address = requester.owner, requester.address
    bounds = await LimitsInForce.here(layer).admission()
    refusal = await layer.waiting_list.objection(owner, address, bounds)
    if refusal is None or (response_id and await lookups.get(response_id)):
        return
    metrics.REJECTIONS.labels(refusal.code).inc()
    await layer.waiting_list.count_refusal(refusal.code)
    raise refusal
