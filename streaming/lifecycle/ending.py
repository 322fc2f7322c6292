"""How responses end: the record first, then the waiting list; whoever comes second changes nothing.

A process that dies between the two leaves what the reconciler takes out of the list.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from channels.layers import BaseChannelLayer

from streaming.lifecycle.published import published
from streaming.lifecycle.resource import deleted_event, last_event
from streaming.models import OPEN, TERMINAL, Response, Status
from streaming.monitoring import telemetry
from streaming.protocol.response_events import ENDS
from streaming.record import endings, lookups
from streaming.record.endings import Attempt, Ending
from streaming.record.errors import AlreadyEnded, NotFound, NotOwner
from streaming.waiting_list.interface import (
    MAX_ATTEMPTS,
    WORKERS_GROUP,
    Lease,
    WaitingList,
    Withdrawal,
)

WAITING = (Status.ACCEPTING, Status.QUEUED)


@dataclass(frozen=True, slots=True)
class Hold:
    """A worker's right to say the last event of a response, which gets `number`. `counted` and
    `cut` as in `WaitingList.finish`."""

    lease: Lease
    number: int
    counted: bool
    cut: bool


async def end(
    layer: BaseChannelLayer,
    response_ids: Sequence[str],
    ending: Ending,
    *,
    of: Iterable[Status] = OPEN,
    attempt: Attempt | None = None,
    row: Response | None = None,
    hold: Hold | None = None,
    recorded: Callable[[list[Response]], Awaitable[None]] | None = None,
) -> list[Response]:
    """End responses in the record, then in the list; return the rows of those that this call ended.

    `of`, `attempt`, `row`: as `endings.end`. `hold`: a worker's, who ends its own. `recorded` is
    awaited between the two.
    """
    rows: list[Response] = await endings.end(
        response_ids, ending, of=of, attempt=attempt, row=row, told=telemetry.ended
    )
    if recorded:
        await recorded(rows)
    for each in rows:
        await _take_out(layer, last_event(each), hold)
    return rows


async def settle(layer: BaseChannelLayer, response_id: str, hold: Hold | None = None) -> bool:
    """Take out of the list what the record has ended, or holds no more; False while it is open."""
    done = await recorded_end(layer.waiting_list, response_id)
    if done is not None:
        await _take_out(layer, done, hold)
    return done is not None


async def recorded_end(waiting_list: WaitingList, response_id: str) -> ENDS | None:
    """Return the last event of what the record has ended, or holds no more; None while it is
    open."""
    if (done := await ended_event(response_id)) is not None:
        return done
    if await lookups.get(response_id) is not None:
        return None
    # Deleted with its conversation. Rows are written before their place, so none will come.
    return deleted_event(response_id, await published(waiting_list, response_id))


async def ended_event(response_id: str) -> ENDS | None:
    """Return the last event of what the record holds as ended."""
    row: Response | None = await lookups.ended_row(response_id)
    return None if row is None else last_event(row)


async def _take_out(layer: BaseChannelLayer, done: ENDS, hold: Hold | None) -> None:
    """Say the last event and free the place."""
    response_id, event = str(done.response_id), done.model_dump_json()
    if hold is not None:
        await layer.waiting_list.finish(
            hold.lease, event, hold.number, counted=hold.counted, cut=hold.cut
        )
    elif await layer.waiting_list.withdraw(response_id, event) is Withdrawal.RUNNING:
        await _tell_workers(layer, response_id)


async def cancel(layer: BaseChannelLayer, response_id: str, owner: str | None = None) -> None:
    """Cancel a response wherever it stands; `owner` None is the server itself.

    Raises NotFound, NotOwner, AlreadyEnded.
    """
    response = await lookups.get(response_id)
    if response is None:
        raise NotFound
    if owner is not None and response.owner != owner:
        raise NotOwner
    if response.status in TERMINAL:
        raise AlreadyEnded
    if await end(layer, [response_id], Ending.cancelled(), of=WAITING):
        return
    if await layer.waiting_list.flag(response_id):
        await _tell_workers(layer, response_id)  # the one that runs it writes the end
        return
    output = await published(layer.waiting_list, response_id)
    seen = Attempt.of(response)
    if not await end(layer, [response_id], Ending.cancelled(output), attempt=seen):
        await cancel(layer, response_id, owner)  # another worker has just taken it up


async def fail_exhausted(layer: BaseChannelLayer, response_id: str) -> None:
    """End a response whose workers were lost once too often."""
    message = f"The answer was given up: {MAX_ATTEMPTS} workers were lost while writing it."
    output = await published(layer.waiting_list, response_id)
    if not await end(layer, [response_id], Ending.failed("worker_lost", message, output)):
        await settle(layer, response_id)


async def fail_overdue(layer: BaseChannelLayer, response_id: str) -> None:
    """End a response that has waited too long for a place."""
    ending = Ending.failed("queue_timeout", "No place became free in time.")
    await end(layer, [response_id], ending, of=WAITING)


async def _tell_workers(layer: BaseChannelLayer, response_id: str) -> None:
    await layer.group_send(WORKERS_GROUP, {"type": "response.cancel", "response_id": response_id})
