"""Whether the waiting list takes prompts. One coroutine for each action.

They answer what was done, or ask first; they raise Refused when nothing was done.
"""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from streaming.admin import audit_log
from streaming.admin.orders import Notice, Order, Question, Refused, Reply, warned
from streaming.lifecycle import doorbell
from streaming.waiting_list.interface import (
    CLOSED_MESSAGE_CHARS,
    Snapshot,
)


async def close(order: Order) -> Reply:
    """`closed_message`: what people are told."""
    message = _closing(order)
    snapshot: Snapshot = await order.layer.waiting_list.snapshot()
    if not order.confirmed:
        return _close_question(message, snapshot)
    await audit_log.carried_out(
        order.operator_id,
        audit_log.QUEUE,
        f"Closed to new prompts: {message}",
        order.layer.waiting_list.close(message),
    )
    text = _("The queue is closed to new prompts. People are told: “%(message)s”")
    return [Notice(text % {"message": message})]


def _close_question(message: str, snapshot: Snapshot) -> Question:
    told = _("Nobody can send a prompt. People are told: “%(message)s”") % {"message": message}
    effects = [told]
    if snapshot.closed is not None:
        text = _("It is closed already; this takes the place of: “%(message)s”")
        effects.append(text % {"message": snapshot.closed})
    if count := len(snapshot.running) + len(snapshot.waiting):
        text = ngettext(
            "%(count)d response that is open goes on.",
            "%(count)d responses that are open go on.",
            count,
        )
        effects.append(text % {"count": count})
    effects.append(_("It stays closed, over restarts of the workers, until you reopen it."))
    fields = [("close", "1"), ("closed_message", message)]
    return Question(_("Close the queue to new prompts?"), effects, fields, _("Yes, close it"))


def _closing(order: Order) -> str:
    """The message, as `WaitingList.close` takes it."""
    message = order.text("closed_message").replace("\r\n", "\n")
    if not message:
        raise Refused(_("Write what people are told while the queue is closed."))
    if len(message) > CLOSED_MESSAGE_CHARS:
        text = _("The message has %(count)d characters; at most %(most)d are allowed.")
        raise Refused(text % {"count": len(message), "most": CLOSED_MESSAGE_CHARS})
    if "\x00" in message:
        raise Refused(_("The message has a character that no text may have."))
    return message


async def reopen(order: Order) -> Reply:
    """No field."""
    if await order.layer.waiting_list.closed() is None:
        return warned(_("The queue is open."))
    await audit_log.carried_out(
        order.operator_id, audit_log.QUEUE, "Reopened.", order.layer.waiting_list.reopen()
    )
    await doorbell.ring(order.layer)
    return [Notice(_("The queue is open again."))]
