"""What a waiting list that has lost its memory gets back from the record, in its old order.

The list of one process is lost with it; one in Redis with a server that keeps no file. Whoever
finds it lost restores it before anybody new has a place: those who waited stand as they stood.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextvars import Context
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer
from django.utils import timezone

from streaming import conf
from streaming.lifecycle import list_lock
from streaming.models import Response, Status
from streaming.record import lookups, losses, standing, thinking
from streaming.waiting_list.interface import Entry, ListLost, Remembered, Slot, WaitingList

logger = logging.getLogger(__name__)

NUMBERS_PER_LIFE = 1_000_000
"""More events than any response has: those of each life in a list get numbers of their own."""

YOUNG_SECONDS = 10.0
"""Seconds for which an `accepting` row is on its way into the list, and may yet be refused."""

COMEBACK_SECONDS = 90.0
"""Seconds for which a restored response counts as watched at least: readers come back ever later,
and a browser lets a hidden page act once a minute."""

_LOCK_SECONDS = 15.0
"""Seconds that a socket waits until it is known whose the list is."""

_ROWS = 500

_Call = Callable[[BaseChannelLayer], Coroutine[Any, Any, None]]

_calls: WeakKeyDictionary[WaitingList, dict[_Call, asyncio.Task[None]]] = WeakKeyDictionary()
"""The calls in progress, for each list."""

Answer = TypeVar("Answer")


def entry_of(response: Response) -> Entry:
    """Return what the waiting list is to know of a response."""
    return Entry(
        response_id=str(response.pk),
        owner=response.owner,
        conversation_id=str(response.conversation_id),
        address=response.address,
        max_tokens=thinking.most_tokens(response.params),
    )


async def ensure(layer: BaseChannelLayer) -> None:
    """Return when this process's list has what the record holds open; at once, but for the
    beginning of the process. A list that is another process's is left alone."""
    if layer.waiting_list.is_lost:
        await _together(_take_up, layer)


async def _take_up(layer: BaseChannelLayer) -> None:
    await list_lock.decided(layer, _LOCK_SECONDS)
    if not list_lock.refusal(layer):
        await restore(layer)


async def with_memory(layer: BaseChannelLayer, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return what a call of the list answers; a list that is lost is restored first."""
    try:
        return await call()
    except ListLost:
        await restore(layer)
        return await call()


async def restore(layer: BaseChannelLayer) -> None:
    """Give the list back all that the record holds open, unless somebody has."""
    await _together(_restore, layer)


async def _together(call: _Call, layer: BaseChannelLayer) -> None:
    """Make one call for all who ask while it lasts. It goes on when whoever began it leaves, and
    fails for all at once: a thousand sockets do not wait for a database that is away one after
    the other."""
    calls = _calls.setdefault(layer.waiting_list, {})
    task = calls.get(call)
    if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
        task = calls[call] = asyncio.create_task(call(layer), context=Context())
        task.add_done_callback(lambda done: _forget(calls, call, done))
    await asyncio.shield(task)


def _forget(calls: dict[_Call, asyncio.Task[None]], call: _Call, done: asyncio.Task[None]) -> None:
    if calls.get(call) is done:
        del calls[call]
    if not done.cancelled():
        done.exception()  # whoever asked was told, or has left


async def _restore(layer: BaseChannelLayer) -> None:
    waiting_list = layer.waiting_list
    if await waiting_list.is_restored():
        return
    # Prompts that processes which live are just writing come by themselves; where the list was
    # lost with its process there are none, and somebody may have been told of each.
    rows = [row async for row in open_rows(None)]
    if not waiting_list.is_lost:
        rows = [row for row in rows if row.status != Status.ACCEPTING]
    count = await put_back(waiting_list, rows, whole=True)
    if count:
        logger.warning("The waiting list has been restored: %d responses are open.", count)


async def begin_anew(waiting_list: WaitingList, response_id: str, seen: int) -> bool:
    """Let a response begin anew if the list has lost its event `seen`, which somebody was told: the
    events that follow would not fit what was told. Return whether it had."""
    above = (seen // NUMBERS_PER_LIFE + 1) * NUMBERS_PER_LIFE
    if not await waiting_list.rewind(response_id, seen, above):
        return False
    await losses.count_restart(response_id)  # lest the numbers of this life are used again
    return True


async def readmit(layer: BaseChannelLayer, response_id: str) -> None:
    """Put an accepted response back that the list has forgotten, if it has not ended."""
    await ensure(layer)
    if not await layer.waiting_list.is_restored():
        await restore(layer)
    row = await lookups.get(response_id)
    if row is not None and response_id not in await layer.waiting_list.known([response_id]):
        await put_back(layer.waiting_list, [row])


async def put_back(
    waiting_list: WaitingList, rows: Iterable[Response], *, whole: bool = False
) -> int:
    """Restore what the list does not know of these, each where the record says that it stood;
    return how many those are. `whole`: these are all that are open.

    Their events begin far above all numbers of their former life, so that whoever has seen those
    takes none of the new ones for one of them.
    """
    ids = [row.pk for row in rows]
    known = await waiting_list.known([str(pk) for pk in ids])
    revived = await losses.revive([pk for pk in ids if str(pk) not in known])
    patience = max(0.0, COMEBACK_SECONDS - conf.get().disconnect_grace)
    forgotten = [_remembered(row) for row in _in_turn(revived)]
    await waiting_list.restore(forgotten, whole=whole, patience=patience if whole else 0)
    return len(revived)


def _in_turn(rows: Iterable[Response]) -> Iterator[Response]:
    """Yield rows as they come, but those of a conversation by their number: a clock that was set
    back does not change their turn."""
    rows = list(rows)
    turns: defaultdict[UUID, list[Response]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.ordinal, reverse=True):
        turns[row.conversation_id].append(row)
    return (turns[row.conversation_id].pop() for row in rows)


def _remembered(row: Response) -> Remembered:
    return Remembered(
        entry_of(row),
        _slot_of(row),
        ran=row.status == Status.IN_PROGRESS,
        said=row.restarts * NUMBERS_PER_LIFE,
    )


def _slot_of(row: Response) -> Slot | None:
    """Return where a row stood; None if it never had a slot, or that cannot be read: then it comes
    behind those that have one."""
    try:
        return Slot.parse(row.slot)
    except ValueError:
        logger.error("Where response %s stood cannot be read.", row.pk)
        return None


async def open_rows(young_seconds: float | None = YOUNG_SECONDS) -> AsyncIterator[Response]:
    """Yield all open rows, oldest first, but those that became `accepting` less than so many
    seconds ago; None leaves none out."""
    young = None if young_seconds is None else timedelta(seconds=young_seconds)
    before = None if young is None else timezone.now() - young
    last: Response | None = None
    while rows := await lookups.open_rows(before, _ROWS, last):
        for row in rows:
            yield row
        last = rows[-1]


async def keep_slots(waiting_list: WaitingList) -> None:
    """Write into the record where the responses stand whose slots the list has changed."""
    if slots := await waiting_list.unsaved():
        await standing.keep_slots({UUID(name): slot.text for name, slot in slots.items()})
        await waiting_list.saved(slots)
