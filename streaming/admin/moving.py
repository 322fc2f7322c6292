"""Moving what waits: one to the front or the back, those selected to a place, and back again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from uuid import UUID

from django.contrib import messages
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from streaming.admin import audit_log
from streaming.admin.orders import (
    SHORT_ID,
    Earlier,
    Notice,
    Order,
    Refused,
    Reply,
    shown,
    warned,
)
from streaming.lifecycle import operating
from streaming.system.outages import LAYER_AWAY
from streaming.waiting_list.interface import Edge, Snapshot, State

MOST_MOVED = 500
"""Responses that are moved at once."""

UNDO_SECONDS = 120.0
"""So long a move can be taken back."""

_MOST_KEPT = 1_000
"""Of the earlier order, so many ids are kept for that."""

Move = tuple[str, Edge | str]
"""A response's id, and the edge or the id of the response before which it is put."""


async def move(order: Order) -> Reply:
    """`front` or `back`: a response's id; or `edge` (front, back, position) with `selected` for
    each, and `position`: a whole number."""
    given = [edge for edge in Edge if order.text(edge)]
    if order.text("edge"):
        if given:
            raise Refused(_unclear())
        return await _move_selected(order)
    if len(given) != 1:
        raise Refused(_unclear())
    edge = given[0]
    try:
        response_id = str(UUID(order.text(edge)))
    except ValueError:
        raise Refused(_("There is no such response, or it was deleted.")) from None
    try:
        before = await _order_of(order)
    except LAYER_AWAY:
        before = []  # then it cannot be taken back
    message = f"Moved to the {edge} of the waiting list."
    moved = await _carry_out(order, [(response_id, edge)], message)
    if not moved:
        return warned(await _why_not_moved(order, response_id))
    if edge is Edge.FRONT:
        text = _("Response %(id)s is at the front of the waiting list.")
    else:
        text = _("Response %(id)s is at the back of the waiting list.")
    return [Notice(text % {"id": response_id[:SHORT_ID]}, undo=_earlier(before, moved))]


def _unclear() -> str:
    return _("Nothing was done: the form does not say what to move, or where.")


async def _why_not_moved(order: Order, response_id: str) -> str:
    state = (await order.layer.waiting_list.place(response_id)).state
    if state is State.RUNNING:
        text = _("Response %(id)s does not wait any more: it is being answered.")
    elif state is State.HELD:
        text = _(
            "Response %(id)s has no place to move from: it waits for the previous answer of its "
            "conversation."
        )
    elif state is State.WAITING:
        text = _("Response %(id)s came back from a lost worker and is ahead of all others.")
    else:
        text = _("Response %(id)s does not wait any more: it had ended already.")
    return text % {"id": response_id[:SHORT_ID]}


# --- several ---


async def _move_selected(order: Order) -> Reply:
    chosen = set(order.form.getlist("selected"))
    if not chosen:
        raise Refused(_("No response is selected."))
    if len(chosen) > MOST_MOVED:
        text = ngettext(
            "%(count)d response is selected; at most %(most)d can be moved at once.",
            "%(count)d responses are selected; at most %(most)d can be moved at once.",
            len(chosen),
        )
        raise Refused(text % {"count": len(chosen), "most": MOST_MOVED})
    before = await _order_of(order)
    ids = [name for name in before if name in chosen]  # they keep their order
    moves, message = _plan(order, before, ids)
    moved = await _carry_out(order, moves, message)
    said = []
    if moved:
        said.append(Notice(moved_words(len(moved)), undo=_earlier(before, moved)))
    if left := len(chosen) - len(moved):
        text = ngettext(
            "%(count)d of them does not wait in the order, and was not moved.",
            "%(count)d of them do not wait in the order, and were not moved.",
            left,
        )
        said.append(Notice(text % {"count": left}, messages.WARNING))
    return said


def moved_words(count: int) -> str:
    """Return that so many prompts are moved."""
    return ngettext("%(count)d prompt is moved.", "%(count)d prompts are moved.", count) % {
        "count": count
    }


def _plan(order: Order, before: Sequence[str], ids: Sequence[str]) -> tuple[list[Move], str]:
    """Return the moves, and what the log says of each."""
    edge = order.text("edge")
    if edge == Edge.FRONT:
        moves: list[Move] = [(name, Edge.FRONT) for name in reversed(ids)]
        return moves, "Moved to the front of the waiting list."
    if edge == Edge.BACK:
        return [(name, Edge.BACK) for name in ids], "Moved to the back of the waiting list."
    given = order.text("position")
    if edge != "position":
        raise Refused(_unclear())
    if not (given.isdecimal() and len(given) <= 9 and int(given) >= 1):
        text = _("“%(given)s” is no position: write a whole number from 1.")
        raise Refused(text % {"given": shown(given)})
    others = [name for name in before if name not in set(ids)]
    place = int(given)
    to: Edge | str = others[place - 1] if place <= len(others) else Edge.BACK
    return [(name, to) for name in ids], f"Moved to position {place} of the waiting list."


# --- back again ---


async def unmove(order: Order) -> Reply:
    """Take back the operator's last move, as far as those moved still wait."""
    earlier = order.earlier
    if earlier is None or time.time() - earlier.at > UNDO_SECONDS:
        raise Refused(_("There is no move to be taken back any more."))
    now = await _order_of(order)
    moves = list(_back(earlier, now))
    moved = await _carry_out(order, moves, "Moved back in the waiting list.")
    if not moved:
        return warned(_("Nothing was moved back: none of them waits any more."))
    text = ngettext(
        "%(count)d prompt is back where it was.",
        "%(count)d prompts are back where they were.",
        len(moved),
    )
    said = [Notice(text % {"count": len(moved)})]
    if left := len(earlier.moved) - len(moved):
        text = ngettext(
            "%(count)d does not wait any more.", "%(count)d do not wait any more.", left
        )
        said.append(Notice(text % {"count": left}, messages.WARNING))
    return said


def _back(earlier: Earlier, now: Sequence[str]) -> Iterable[Move]:
    """Each before the next one of the earlier order that still waits, the last one first; else
    before whoever has come since."""
    waits, moved, known = set(now), set(earlier.moved), set(earlier.order)
    follower: Edge | str = next((name for name in now if name not in known), Edge.BACK)
    for name in reversed(earlier.order):
        if name not in waits:
            continue
        if name in moved:
            yield name, follower
        follower = name


def _earlier(before: Sequence[str], moved: Sequence[str]) -> Earlier | None:
    """Return what an undo needs; None where the order is too long to be kept."""
    if set(moved) - set(before[:_MOST_KEPT]):
        return None
    return Earlier(time.time(), list(before[:_MOST_KEPT]), list(moved))


# --- doing it ---


async def _order_of(order: Order) -> list[str]:
    snapshot: Snapshot = await order.layer.waiting_list.snapshot()
    return [row.response_id for row in snapshot.waiting if row.position is not None]


async def _carry_out(order: Order, moves: Sequence[Move], message: str) -> list[str]:
    """Return the ids of those that were moved; each is in the log."""
    try:
        moved = await operating.move(order.layer, moves)
    except LAYER_AWAY:
        targets = [audit_log.response(name) for name, _to in moves]
        await audit_log.write(order.operator_id, targets, f"{message} {audit_log.UNCERTAIN}")
        raise
    targets = [audit_log.response(name) for name in moved]
    await audit_log.write(order.operator_id, targets, message)
    return moved
