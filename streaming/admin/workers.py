"""What operators want of workers: pause, drain, how many at once. One coroutine for each action.

They answer what was done, or ask first; they raise Refused when nothing was done.
"""

from __future__ import annotations

from django.contrib import messages
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from streaming.admin import audit_log
from streaming.admin.orders import Notice, Order, Question, Refused, Reply, shown, warned
from streaming.lifecycle import doorbell, operating
from streaming.waiting_list.interface import (
    Snapshot,
    WorkerRow,
    WorkerState,
)

# --- pausing ---


async def pause(order: Order) -> Reply:
    """`worker_id`, or `all=1`."""
    worker_id = _worker_or_all(order)
    snapshot: Snapshot = await order.layer.waiting_list.snapshot()
    if worker_id is None and not order.confirmed:
        return _pause_all(snapshot)
    known = await audit_log.carried_out(
        order.operator_id,
        audit_log.QUEUE if worker_id is None else audit_log.worker(worker_id),
        "Paused.",
        order.layer.waiting_list.pause(worker_id),
    )
    if not known:
        raise Refused(_unknown(worker_id))
    if worker_id is None:
        return [Notice(_("All workers are paused: prompts are accepted and wait."))]
    text = _("Worker %(worker)s is paused: it finishes what it runs and claims nothing new.")
    return [Notice(text % {"worker": worker_id})]


def _pause_all(snapshot: Snapshot) -> Question:
    return Question(
        title=_("Pause all workers?"),
        effects=[
            _("No worker claims anything, those that start later included, until you resume."),
            _running_go_on(len(snapshot.running)),
            _("New prompts are accepted while there is room, and wait."),
        ],
        fields=[("all", "1")],
        yes=_("Yes, pause all"),
        affected=[_described(row) for row in snapshot.workers],
    )


async def resume(order: Order) -> Reply:
    """`worker_id`, or `all=1`."""
    worker_id = _worker_or_all(order)
    known = await audit_log.carried_out(
        order.operator_id,
        audit_log.QUEUE if worker_id is None else audit_log.worker(worker_id),
        "Resumed.",
        order.layer.waiting_list.unpause(worker_id),
    )
    if not known:
        raise Refused(_unknown(worker_id))
    await doorbell.ring(order.layer)
    snapshot: Snapshot = await order.layer.waiting_list.snapshot()
    if worker_id is None:
        said = [Notice(_("Resumed: the workers claim again."))]
        if paused := sum(row.paused for row in snapshot.workers):
            text = ngettext(
                "%(count)d worker is still paused by itself.",
                "%(count)d workers are still paused by themselves.",
                paused,
            )
            said += warned(text % {"count": paused})
        return said
    if snapshot.paused:
        text = _("Worker %(worker)s is resumed, but all workers are paused.")
        return warned(text % {"worker": worker_id})
    return [Notice(_("Worker %(worker)s claims again.") % {"worker": worker_id})]


# --- one worker ---


async def drain(order: Order) -> Reply:
    """`worker_id`."""
    row, others = await _worker(order)
    if not order.confirmed:
        effects = [
            _("It claims nothing new. Then it stays until you stop it, or let it serve again."),
            _running_go_on(row.running),
        ]
        if not any(other.state is not WorkerState.DRAINING for other in others):
            effects.append(
                _(
                    "No other worker serves: what waits stays, and new prompts are refused. "
                    "Pause instead to let people line up."
                )
            )
        title = _("Drain worker %(worker)s?") % {"worker": row.worker_id}
        fields = [("worker_id", row.worker_id)]
        return Question(title, effects, fields, _("Yes, drain it"), [_described(row)])
    await _order_worker(order, row.worker_id, "Ordered to drain.", drain=True)
    text = ngettext(
        "Worker %(worker)s drains: it finishes %(count)d response and claims nothing new.",
        "Worker %(worker)s drains: it finishes %(count)d responses and claims nothing new.",
        row.running,
    )
    return [Notice(text % {"worker": row.worker_id, "count": row.running})]


async def undrain(order: Order) -> Reply:
    """`worker_id`."""
    row, _others = await _worker(order)
    await _order_worker(order, row.worker_id, "Ordered to serve again.", drain=False)
    await doorbell.ring(order.layer)
    if row.state is WorkerState.DRAINING and not row.orders.drain:
        text = _("Worker %(worker)s is ending by itself; it serves no more.")
        return warned(text % {"worker": row.worker_id})
    return [Notice(_("Worker %(worker)s serves again.") % {"worker": row.worker_id})]


async def capacity(order: Order) -> Reply:
    """`worker_id`, and `capacity:<worker_id>`: a whole number."""
    row, _others = await _worker(order)
    given = order.text(f"capacity:{row.worker_id}")
    # A worker that loads its model does not know its rows yet.
    most = int(row.details.get("rows", row.capacity))
    if not (given.isdecimal() and len(given) <= 9 and int(given) <= most):
        text = _(
            "“%(given)s” is not allowed: worker %(worker)s runs 0 to %(most)d responses at once."
        )
        raise Refused(text % {"given": shown(given), "worker": row.worker_id, "most": most})
    number = int(given)
    message = f"Ordered to run up to {number} at once."
    await _order_worker(order, row.worker_id, message, capacity=number)
    await doorbell.ring(order.layer)
    text = ngettext(
        "Worker %(worker)s runs up to %(number)d response at once.",
        "Worker %(worker)s runs up to %(number)d responses at once.",
        number,
    )
    said = [Notice(text % {"worker": row.worker_id, "number": number})]
    if row.running > number:
        said.append(Notice(_running_go_on(row.running), messages.INFO))
    return said


async def _order_worker(
    order: Order,
    worker_id: str,
    message: str,
    *,
    capacity: int | None = None,
    drain: bool | None = None,
) -> None:
    known = await audit_log.carried_out(
        order.operator_id,
        audit_log.worker(worker_id),
        message,
        operating.order_worker(order.layer, worker_id, capacity=capacity, drain=drain),
    )
    if not known:
        raise Refused(_unknown(worker_id))


async def _worker(order: Order) -> tuple[WorkerRow, list[WorkerRow]]:
    """The one meant, and all others."""
    worker_id = order.text("worker_id")
    rows: list[WorkerRow] = await order.layer.waiting_list.workers()
    for row in rows:
        if row.worker_id == worker_id:
            return row, [other for other in rows if other is not row]
    raise Refused(_unknown(worker_id))


def _worker_or_all(order: Order) -> str | None:
    """None for all."""
    worker_id, everybody = order.text("worker_id"), order.text("all") == "1"
    if bool(worker_id) is everybody:
        raise Refused(_("Nothing was done: the form does not say which worker."))
    return worker_id or None


def _unknown(worker_id: str | None) -> str:
    if not worker_id:
        return _("Nothing was done: the form does not say which worker.")
    return _("There is no worker %(worker)s; it may have ended.") % {"worker": shown(worker_id)}


def _described(row: WorkerRow) -> str:
    text = _("%(worker)s · %(running)d of %(capacity)d running")
    given = {"worker": row.worker_id, "running": row.running, "capacity": row.capacity}
    return text % given


def _running_go_on(count: int) -> str:
    if not count:
        return _("Nothing is being answered there now.")
    text = ngettext(
        "%(count)d response that is being answered goes on to its end.",
        "%(count)d responses that are being answered go on to their ends.",
        count,
    )
    return text % {"count": count}
