"""The limits that operators change at run time: how many run, wait, and are open of one owner."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from streaming import conf
from streaming.admin import audit_log
from streaming.admin.orders import Notice, Order, Refused, Reply, shown, warned
from streaming.lifecycle import doorbell
from streaming.lifecycle.limits import LimitsInForce
from streaming.record import accounts, limits
from streaming.system.outages import LAYER_AWAY

TITLES = {
    "max_running": gettext_lazy("Running at once, for each worker"),
    "max_waiting": gettext_lazy("Waiting, of all owners together"),
    "max_per_owner": gettext_lazy("Open, of one owner (0: no bound)"),
    "max_per_address": gettext_lazy("Open, from one address (0: no bound)"),
}


@dataclass(frozen=True, slots=True)
class LimitRow:
    """What the page shows of a limit. `default` is the setting's; None: as the worker finds."""

    name: str
    title: str
    setting: str
    value: int | None
    default: int | None
    least: int
    most: int
    changed_by: str = ""
    changed_at: datetime | None = None

    @property
    def is_changed(self) -> bool:
        """Return whether an operator's value holds in place of the setting's."""
        return self.changed_at is not None


async def rows() -> list[LimitRow]:
    """Return all limits as they are now."""
    changed = await limits.read_all()
    return [_row(name, changed.get(name)) for name in limits.NAMES]


def _row(name: str, changed: Any) -> LimitRow:
    default, (least, most) = getattr(conf.get(), name), conf.bounds(name)
    given = {"value": default}
    if changed is not None:
        given = {
            "value": changed.value,
            "changed_by": changed.changed_by,
            "changed_at": changed.changed_at,
        }
    return LimitRow(
        name=name,
        title=str(TITLES[name]),
        setting=conf.PREFIX + name.upper(),
        default=default,
        least=least,
        most=most,
        **given,
    )


async def change(order: Order) -> Reply:
    """`limit`: its name; `value`: a whole number; or `reset=1`."""
    row = _row(_named(order), None)
    before = (await limits.read_all()).get(row.name)
    if order.text("reset") == "1":
        return await _reset(order, row, before)
    given = order.text("value")
    if not (given.isdecimal() and len(given) <= 9 and row.least <= int(given) <= row.most):
        text = _("“%(given)s” is not allowed: “%(limit)s” is %(least)d to %(most)d.")
        bounds = {"least": row.least, "most": row.most}
        raise Refused(text % {"given": shown(given), "limit": row.title, **bounds})
    value = int(given)
    old = before.value if before else row.default
    if old == value:
        return warned(_("“%(limit)s” is %(value)d already.") % _names(row, value))
    await limits.change(row.name, value, await accounts.username(order.operator_id))
    await _heed(order, f"Limit {row.name} set to {value} (was {_word(old)}).")
    told = [Notice(_("“%(limit)s” is %(value)d now.") % _names(row, value))]
    return told + (await _workers_that_differ(order, value) if row.name == "max_running" else [])


async def _reset(order: Order, row: LimitRow, before: Any) -> Reply:
    if not await limits.reset(row.name):
        return warned(_("“%(limit)s” is as the setting says.") % {"limit": row.title})
    was = _word(before.value if before else None)
    await _heed(order, f"Limit {row.name} reset to its setting, {_word(row.default)} (was {was}).")
    return [Notice(_("“%(limit)s” is as the setting says again.") % {"limit": row.title})]


async def _heed(order: Order, message: str) -> None:
    """Write it down, and let this process and the workers look."""
    LimitsInForce.here(order.layer).forget()
    await audit_log.write(order.operator_id, [audit_log.QUEUE], message)
    with contextlib.suppress(*LAYER_AWAY):  # the workers look by themselves, too
        await doorbell.ring(order.layer)


async def _workers_that_differ(order: Order, value: int) -> list[Notice]:
    """Say which live workers will not run as many, and why."""
    said: list[Notice] = []
    try:
        workers = await order.layer.waiting_list.workers()
    except LAYER_AWAY:
        return said  # the limit holds: it is the database's
    for worker in workers:
        most = int(worker.details.get("rows", value))
        if worker.orders.capacity is not None:
            text = _("Worker %(worker)s keeps its own number, %(number)d, until it ends.")
            number = worker.orders.capacity
        elif most < value:
            text = ngettext(
                "Worker %(worker)s runs %(number)d at most: CHATSTREAM_MAX_ROWS gives it more.",
                "Worker %(worker)s runs %(number)d at most: CHATSTREAM_MAX_ROWS gives it more.",
                most,
            )
            number = most
        else:
            continue
        given = {"worker": worker.worker_id, "number": number}
        said.append(Notice(text % given, messages.WARNING))
    return said


def _named(order: Order) -> str:
    name = order.text("limit")
    if name not in limits.NAMES:
        raise Refused(_("Nothing was done: the form does not say which limit."))
    return name


def _names(row: LimitRow, value: int) -> dict[str, Any]:
    return {"limit": row.title, "value": value}


def _word(value: int | None) -> str:
    return "as each worker finds right" if value is None else str(value)
