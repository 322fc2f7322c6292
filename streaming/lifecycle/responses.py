"""Accepting responses: the row (`accepting`), an idempotent place in the list, the row (`queued`).

A process that dies between two of these leaves what the reconciler can put right.
"""

from __future__ import annotations

import contextlib
import logging
from uuid import UUID

from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer
from django.contrib.auth.models import User

from streaming import conf
from streaming.lifecycle import list_lock, recovery
from streaming.lifecycle.arrivals import Arrivals
from streaming.lifecycle.recovery import NUMBERS_PER_LIFE, entry_of
from streaming.models import Response, Status
from streaming.monitoring import metrics
from streaming.protocol.events import ProtocolError, ResponseCreate
from streaming.record import queries, thinking
from streaming.system.outages import log_fault
from streaming.waiting_list.base import (
    WORKERS_GROUP,
    Edge,
    Limits,
    Place,
    State,
    Unavailable,
    WaitingList,
    WaitingListError,
)
from streaming.waiting_list.serving import model_details

logger = logging.getLogger(__name__)

DOORBELL = "generation"
"""The named channel that says "something waits"."""


async def create(
    event: ResponseCreate, *, layer: BaseChannelLayer, owner: str, user: User | None, address: str
) -> tuple[Response, bool]:
    """Validate against the server's bounds and write the row; (the row, False) if it was there.

    Raises ProtocolError.
    """
    await recovery.ensure(layer)  # before: what is written after it comes into the list by itself
    if event.input is not None:
        check_prompt(event.input)
    params = queries.resolve_params(event.params, conf.get().max_tokens)
    if thought := thinking.resolve(event.params, await model_details(layer)):
        params["thinking"] = thought
    await _refuse_unwritten(layer, event, owner, address)
    async with Arrivals.here().one():
        known_or_new: tuple[Response, bool] = await queries.create(
            event, params=params, owner=owner, user=user, address=address
        )
    return known_or_new


async def _refuse_unwritten(
    layer: BaseChannelLayer, event: ResponseCreate, owner: str, address: str
) -> None:
    """Raise ProtocolError for what the list would refuse, so that a crowd that is turned away costs
    no writing and deleting. One that the record knows keeps its right to a place."""
    refusal = await layer.waiting_list.objection(owner, address, _limits())
    if refusal is None or (event.response_id and await queries.get(event.response_id)):
        return
    metrics.REJECTIONS.labels(refusal.code).inc()
    await layer.waiting_list.count_refusal(refusal.code)
    raise ProtocolError(refusal.code, str(refusal))


def _limits() -> Limits:
    settings = conf.get()
    return Limits(settings.max_waiting, settings.max_per_owner, settings.max_per_address)


async def update(response_id: UUID, text: str, owner: str) -> None:
    """Change the prompt of a waiting response. Raises ProtocolError."""
    check_prompt(text)
    await queries.edit_prompt(response_id, owner, text)


def check_prompt(text: str) -> None:
    """Raises ProtocolError for a prompt that is empty or too long."""
    limit = conf.get().max_input_chars
    if not text.strip():
        raise ProtocolError("invalid_event", "`input` is empty.", "input")
    if len(text) > limit:
        raise ProtocolError(
            "input_too_long",
            f"The prompt has {len(text):,} characters; at most {limit:,} are allowed.",
            "input",
        )


async def enqueue(layer: BaseChannelLayer, response: Response, *, created: bool) -> Place:
    """Give a written response its place. Raises ProtocolError if there is none.

    One that was accepted before keeps its right to a place, whatever the list forgot. (A row
    still `accepting` was not: the same id on two sockets must not get past the bounds.)
    """
    await recovery.ensure(layer)
    if why := list_lock.refusal(layer):
        metrics.REJECTIONS.labels(Unavailable.code).inc()
        if created:
            await queries.discard(response)
        raise ProtocolError("unavailable", f"No prompt is answered here right now: {why}.")
    if response.status != Status.ACCEPTING:
        place: Place = await layer.waiting_list.place(str(response.pk))
        if place.state is State.UNKNOWN:
            await recovery.readmit(layer, str(response.pk))
            place = await layer.waiting_list.place(str(response.pk))
        return place
    try:
        entry, waiting_list = entry_of(response), layer.waiting_list
        place = await recovery.with_memory(layer, lambda: waiting_list.enqueue(entry, _limits()))
    except WaitingListError as error:
        metrics.REJECTIONS.labels(error.code).inc()
        if created:
            await queries.discard(response)
        raise ProtocolError(error.code, str(error)) from None  # type: ignore[arg-type]
    return place


async def confirm(layer: BaseChannelLayer, response: Response, place: Place) -> None:
    """Ring for a response that has just got its place, and mark it `queued` in the record. It is
    accepted and its reader knows: what fails here is left to the reconciler.

    A row that was written here is confirmed even where the place is not said to be `created`: the
    list was asked twice, its first reply lost."""
    try:
        await ring(layer)
        await Arrivals.here().accept(response.pk, place.slot)
    except Exception as error:
        log_fault(logger, error, "The acceptance of %s is not recorded yet.", response.pk)


async def begin_anew(waiting_list: WaitingList, response_id: str, seen: int) -> bool:
    """Let a response begin anew whose event `seen` was told to somebody, if the list has lost it:
    the events that follow would not fit what was told. Whether it had."""
    above = (seen // NUMBERS_PER_LIFE + 1) * NUMBERS_PER_LIFE
    if not await waiting_list.rewind(response_id, seen, above):
        return False
    await queries.restart(response_id)  # lest the numbers of this life are used again
    return True


async def ring(layer: BaseChannelLayer) -> None:
    """Ring the doorbell; a bell nobody hears is no loss, the workers also look by themselves."""
    with contextlib.suppress(ChannelFull):
        await layer.send(DOORBELL, {"type": "claim"})


async def move(layer: BaseChannelLayer, response_id: str, edge: Edge) -> bool:
    """An operator's order, as `WaitingList.move`; when it is answered, the record knows, too."""
    moved: bool = await layer.waiting_list.move(response_id, edge)
    if moved:
        await recovery.keep_slots(layer.waiting_list)
    return moved


async def order_worker(
    layer: BaseChannelLayer,
    worker_id: str,
    *,
    capacity: int | None = None,
    drain: bool | None = None,
) -> bool:
    """An operator's order, as `WaitingList.order`; the worker hears of it now, not at its beat."""
    known: bool = await layer.waiting_list.order(worker_id, capacity=capacity, drain=drain)
    if known:
        message = {"type": "worker.orders", "worker_id": worker_id}
        await layer.group_send(WORKERS_GROUP, message)
    return known
