"""Accepting and ending responses: the order of writes between the record and the waiting list.

Accept: row `accepting` → idempotent enqueue → `queued`. End: the record first, then the list.
A process that dies between two writes leaves what the reconciler can put right.
"""

from __future__ import annotations

import contextlib
from uuid import UUID

from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer
from django.contrib.auth.models import User
from pydantic import BaseModel

from streaming import conf, list_lock, metrics, record, thinking
from streaming.lifecycle import recovery
from streaming.lifecycle.arrivals import Arrivals
from streaming.lifecycle.recovery import NUMBERS_PER_LIFE, entry_of
from streaming.models import TERMINAL, Response, Status
from streaming.protocol import ErrorDetail, ProtocolError, ResponseCreate, ResponseDone
from streaming.said import Said, said_of
from streaming.serving import model_details
from streaming.waiting_list.base import (
    MAX_ATTEMPTS,
    WORKERS_GROUP,
    Edge,
    Limits,
    Place,
    State,
    Unavailable,
    WaitingList,
    WaitingListError,
    Withdrawal,
)

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
    params = record.resolve_params(event.params, conf.get().max_tokens)
    if thought := thinking.resolve(event.params, await model_details(layer)):
        params["thinking"] = thought
    await _refuse_unwritten(layer, event, owner, address)
    async with Arrivals.here().one():
        known_or_new: tuple[Response, bool] = await record.create(
            event, params=params, owner=owner, user=user, address=address
        )
    return known_or_new


async def _refuse_unwritten(
    layer: BaseChannelLayer, event: ResponseCreate, owner: str, address: str
) -> None:
    """Raise ProtocolError for what the list would refuse, so that a crowd that is turned away costs
    no writing and deleting. One that the record knows keeps its right to a place."""
    refusal = await layer.waiting_list.objection(owner, address, _limits())
    if refusal is None or (event.response_id and await record.get(event.response_id)):
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
    await record.edit_prompt(response_id, owner, text)


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
            await record.discard(response)
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
            await record.discard(response)
        raise ProtocolError(error.code, str(error)) from None  # type: ignore[arg-type]
    return place


async def begin_anew(waiting_list: WaitingList, response_id: str, seen: int) -> bool:
    """Let a response begin anew whose event `seen` was told to somebody, if the list has lost it:
    the events that follow would not fit what was told. Whether it had."""
    above = (seen // NUMBERS_PER_LIFE + 1) * NUMBERS_PER_LIFE
    if not await waiting_list.rewind(response_id, seen, above):
        return False
    await record.restart(response_id)  # lest the numbers of this life are used again
    return True


async def ring(layer: BaseChannelLayer) -> None:
    """Ring the doorbell; a bell nobody hears is no loss, the workers also look by themselves."""
    with contextlib.suppress(ChannelFull):
        await layer.send(DOORBELL, {"type": "claim"})


async def cancel(layer: BaseChannelLayer, response_id: str, owner: str | None = None) -> None:
    """End a response wherever it stands; `owner` None is the server itself.

    Raises ProtocolError: `not_found`, `forbidden`, `already_done`.
    """
    response = await record.get(response_id)
    if response is None:
        raise ProtocolError("not_found", "There is no such response.", "response_id")
    if owner is not None and response.owner != owner:
        raise ProtocolError("forbidden", "This response belongs to somebody else.", "response_id")
    if response.status in TERMINAL:
        raise ProtocolError("already_done", "This response has ended already.", "response_id")
    if await record.end_waiting(response_id, Status.CANCELLED):
        await withdraw_ended(layer, response_id)
        return
    if await layer.waiting_list.flag(response_id):
        await _tell_workers(layer, response_id)  # the one that runs it writes the end
    elif not await _end_lost(layer, response_id, Status.CANCELLED, by=response):
        await cancel(layer, response_id, owner)  # another worker has just taken it up


async def fail_exhausted(layer: BaseChannelLayer, response_id: str) -> None:
    """End a response whose workers were lost once too often."""
    error = ErrorDetail(
        code="worker_lost",
        message=f"The answer was given up: {MAX_ATTEMPTS} workers were lost while writing it.",
    )
    await _end_lost(layer, response_id, Status.FAILED, error)


async def fail_overdue(layer: BaseChannelLayer, response_id: str) -> None:
    """End a response that has waited too long for a place."""
    error = ErrorDetail(code="queue_timeout", message="No place became free in time.")
    if await record.end_waiting(response_id, Status.FAILED, error):
        await withdraw_ended(layer, response_id)


async def published(waiting_list: WaitingList, response_id: str) -> Said:
    """The answer so far, as its readers have it."""
    return said_of(await waiting_list.read(response_id))


async def _end_lost(
    layer: BaseChannelLayer,
    response_id: str,
    status: Status,
    error: ErrorDetail | None = None,
    by: Response | None = None,
) -> bool:
    said = await published(layer.waiting_list, response_id)
    ended: bool = await record.end_lost(response_id, status, said, error, by)
    if ended or by is None:
        await withdraw_ended(layer, response_id)
    return ended


async def withdraw_ended(layer: BaseChannelLayer, response_id: str) -> None:
    """Take what the record has ended, or holds no more, out of the list; `response.done` is its
    last event."""
    if done := await recorded_end(layer.waiting_list, response_id):
        await withdraw(layer, done)


async def recorded_end(waiting_list: WaitingList, response_id: str) -> ResponseDone | None:
    """The last event of what the record has ended, or holds no more; None while it is open."""
    done: ResponseDone | None = await record.done_event(response_id)
    if done is None and await record.get(response_id) is None:
        # Deleted with its conversation. Rows are written before their place, so none will come.
        said = await published(waiting_list, response_id)
        done = record.cancelled_event(response_id, said)
    return done


async def withdraw(layer: BaseChannelLayer, done: ResponseDone) -> None:
    """Take a response out of the list that the record has ended; `done` is its last event."""
    response_id = str(done.response_id)
    if await layer.waiting_list.withdraw(response_id, event_json(done)) is Withdrawal.RUNNING:
        await _tell_workers(layer, response_id)


async def move(layer: BaseChannelLayer, response_id: str, edge: Edge) -> bool:
    """An operator's order, as `WaitingList.move`; when it is answered, the record knows, too."""
    moved: bool = await layer.waiting_list.move(response_id, edge)
    if moved:
        await recovery.keep_slots(layer.waiting_list)
    return moved


async def _tell_workers(layer: BaseChannelLayer, response_id: str) -> None:
    await layer.group_send(WORKERS_GROUP, {"type": "response.cancel", "response_id": response_id})


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


def event_json(event: BaseModel) -> str:
    """An event as the waiting list stores it: a JSON object without its number."""
    return event.model_dump_json()
