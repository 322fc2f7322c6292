"""Cancelling in the live queue: one response, those chosen, or all that an owner has open."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from django.contrib import messages
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from streaming.admin import audit_log
from streaming.admin.orders import (
    MOST_LISTED,
    SHORT_ID,
    Notice,
    Order,
    Question,
    Reply,
    shown,
)
from streaming.admin.selection import Chosen, Row, choose
from streaming.lifecycle import ending
from streaming.models import Response, Status
from streaming.record import lookups
from streaming.record.endings import Ending
from streaming.record.errors import RecordError
from streaming.system.outages import LAYER_AWAY, log_fault

logger = logging.getLogger(__name__)

AT_ONCE = 100
"""Responses that are cancelled in one transaction."""

LOGGED = "Cancelled in the live queue."


@dataclass(slots=True)
class Tally:
    """What became of the responses: ids of those cancelled, and counts of the others."""

    cancelled: list[str] = field(default_factory=list)
    ended: int = 0
    untried: int = 0
    away: bool = False


async def cancel(order: Order) -> Reply:
    """`response_id`, or `owner`, or `selection=selected` with `selected` for each, or `found`: a
    table, of which all that the search `q` finds are meant."""
    chosen = await choose(order)
    if chosen.rows and not order.confirmed:
        return _question(chosen)
    tally = await _cancel(order, chosen.rows)
    tally.ended += chosen.ended
    return _told(chosen, tally)


# --- asking first ---


def _question(chosen: Chosen) -> Question:
    count, running = len(chosen.rows), chosen.running
    title = ngettext("Cancel %(count)d response?", "Cancel %(count)d responses?", count)
    if count > 1 and not running:
        title = ngettext(
            "Cancel %(count)d waiting prompt?", "Cancel %(count)d waiting prompts?", count
        )
    if chosen.owner:
        title = ngettext(
            "Cancel %(count)d open response of %(owner)s?",
            "Cancel all %(count)d open responses of %(owner)s?",
            count,
        )
    effects = []
    if running:
        text = ngettext(
            "%(count)d is being answered: it stops, and its reader keeps what was written so far.",
            "%(count)d are being answered: they stop, and their readers keep what was written "
            "so far.",
            running,
        )
        effects.append(text % {"count": running})
    if count > running:
        text = ngettext(
            "%(count)d waits: it loses its place, and its reader is told that it was cancelled.",
            "%(count)d wait: they lose their places, and their readers are told that they were "
            "cancelled.",
            count - running,
        )
        effects.append(text % {"count": count - running})
    if chosen.owner:
        effects.append(_("What this owner asks until you confirm is cancelled with them."))
    effects += [said.text for said in _left_out(chosen, chosen.ended)]
    return Question(
        title=title % {"count": count, "owner": shown(chosen.owner)},
        effects=effects,
        fields=chosen.fields,
        yes=ngettext("Yes, cancel it", "Yes, cancel them", count),
        affected=_names(chosen.rows),
    )


def _names(rows: list[Row]) -> list[str]:
    """The first of them, and how many more there are."""
    names = [_name(row) for row in rows[:MOST_LISTED]]
    if more := len(rows) - len(names):
        text = ngettext("and %(count)d more", "and %(count)d more", more)
        names.append(text % {"count": more})
    return names


def _name(row: Row) -> str:
    state = _("running") if row.runs else _("waiting")
    return f"{row.response_id[:SHORT_ID]} · {state} · {row.owner}"


# --- doing it ---


async def _cancel(order: Order, rows: list[Row]) -> Tally:
    """Those that wait, many at once; then what runs. Stops when the layer does not answer."""
    tally = Tally()
    waiting = [row.response_id for row in rows if not row.runs]
    rest = [row.response_id for row in rows if row.runs]
    for at in range(0, len(waiting), AT_ONCE):
        some = waiting[at : at + AT_ONCE]
        if tally.away:
            tally.untried += len(some)
        else:
            rest += await _cancel_waiting(order, some, tally)
    for response_id in rest:
        if tally.away:
            tally.untried += 1
        else:
            await _cancel_one(order, response_id, tally)
    return tally


async def _cancel_waiting(order: Order, response_ids: list[str], tally: Tally) -> list[str]:
    """Those that do not wait any more are left, and answered."""
    ended: list[str] = []

    async def recorded(rows: list[Response]) -> None:
        ended.extend(str(row.pk) for row in rows)
        await audit_log.write(
            order.operator_id, [audit_log.response(name) for name in ended], LOGGED
        )
        tally.cancelled.extend(ended)

    try:
        await ending.end(
            order.layer, response_ids, Ending.cancelled(), of=ending.WAITING, recorded=recorded
        )
    except LAYER_AWAY as error:
        # The record has ended them: the reconciler takes them out of the list.
        log_fault(logger, error, "The queue did not answer while responses were cancelled.")
        tally.away = True
    return [name for name in response_ids if name not in set(ended)]


async def _cancel_one(order: Order, response_id: str, tally: Tally) -> None:
    call = ending.cancel(order.layer, response_id)
    try:
        target = audit_log.response(response_id)
        await audit_log.carried_out(order.operator_id, target, LOGGED, call)
    except RecordError:
        tally.ended += 1  # or deleted with its conversation
    except LAYER_AWAY as error:
        log_fault(logger, error, "The queue did not answer while %s was cancelled.", response_id)
        tally.away = True
        row = await lookups.get(response_id)
        if row is not None and row.status == Status.CANCELLED:
            tally.cancelled.append(response_id)  # the reconciler takes it out of the list
        else:
            tally.untried += 1
    else:
        tally.cancelled.append(response_id)


def _told(chosen: Chosen, tally: Tally) -> list[Notice]:
    said = []
    if (count := len(tally.cancelled)) == 1:
        text = _("Response %(id)s is cancelled.")
        said.append(Notice(text % {"id": tally.cancelled[0][:SHORT_ID]}))
    elif count:
        text = ngettext(
            "%(count)d response is cancelled.", "%(count)d responses are cancelled.", count
        )
        said.append(Notice(text % {"count": count}))
    said += _left_out(chosen, tally.ended)
    if tally.away and not tally.untried:
        text = _("The queue did not answer: what is cancelled leaves it as soon as it does.")
        said.append(Notice(text, messages.WARNING))
    elif tally.away:
        text = ngettext(
            "The queue did not answer: %(count)d response was not cancelled.",
            "The queue did not answer: %(count)d responses were not cancelled.",
            tally.untried,
        )
        said.append(Notice(text % {"count": tally.untried}, messages.ERROR))
    if not said:
        text = _("%(owner)s has nothing open.")
        said.append(Notice(text % {"owner": shown(chosen.owner)}, messages.WARNING))
    return said


def _left_out(chosen: Chosen, ended: int) -> list[Notice]:
    """What is not cancelled, and why."""
    said = []
    if chosen.alone and ended:
        said.append(Notice(_("This response had ended already."), messages.WARNING))
    elif ended:
        text = ngettext(
            "%(count)d response had ended already.", "%(count)d responses had ended already.", ended
        )
        said.append(Notice(text % {"count": ended}, messages.WARNING))
    if chosen.alone and chosen.unknown:
        said.append(Notice(_("There is no such response, or it was deleted."), messages.WARNING))
    elif chosen.unknown:
        text = ngettext(
            "%(count)d of these responses does not exist, or was deleted.",
            "%(count)d of these responses do not exist, or were deleted.",
            chosen.unknown,
        )
        said.append(Notice(text % {"count": chosen.unknown}, messages.WARNING))
    if chosen.left:
        text = ngettext(
            "%(count)d more is open: do this again for it.",
            "%(count)d more are open: do this again for them.",
            chosen.left,
        )
        said.append(Notice(text % {"count": chosen.left}, messages.WARNING))
    return said
