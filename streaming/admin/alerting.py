"""What operators set of alerts: rules, who is told, and a test. One coroutine for each action."""

from __future__ import annotations

from django.contrib import messages
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from streaming.admin import audit_log
from streaming.admin.orders import Notice, Order, Refused, Reply, shown, warned
from streaming.alerts import sending
from streaming.models import AlertReceiver, AlertRule
from streaming.record import accounts, alerts

TITLES = {
    AlertRule.Kind.WAIT: gettext_lazy("Somebody waits longer than"),
    AlertRule.Kind.FAILURES: gettext_lazy("More fail than"),
    AlertRule.Kind.NO_WORKER: gettext_lazy("No worker serves for"),
}

BOUNDS = {
    AlertRule.Kind.WAIT: (1, 86_400),
    AlertRule.Kind.FAILURES: (0, 99),
    AlertRule.Kind.NO_WORKER: (5, 86_400),
}
"""The least and the greatest threshold of each."""

MINUTES = (1, 1440)
MOST_RECEIVERS = 20


async def set_rule(order: Order) -> Reply:
    """`rule`, `threshold`, `minutes` for failures, and `on=1` or nothing."""
    given = order.text("rule")
    if given not in AlertRule.Kind.values:
        raise Refused(_("Nothing was done: the form does not say which rule."))
    kind = AlertRule.Kind(given)
    threshold = _number(order, "threshold", str(TITLES[kind]), *BOUNDS[kind])
    minutes = 5
    if kind is AlertRule.Kind.FAILURES:
        minutes = _number(order, "minutes", _("Minutes"), *MINUTES)
    is_on = order.text("on") == "1"
    operator = await accounts.username(order.operator_id)
    await alerts.set_rule(kind, is_on, threshold, minutes, operator)
    word = "on" if is_on else "off"
    await _log(order, f"Alert {kind} is {word}: threshold {threshold}, {minutes} min.")
    return [Notice(_("The rule is on.") if is_on else _("The rule is off."))]


async def add_receiver(order: Order) -> Reply:
    """`kind` and `address`."""
    kind, address = order.text("kind"), order.text("address")
    if kind not in AlertReceiver.Kind.values:
        raise Refused(_("Nothing was done: the form does not say how to tell them."))
    if len(address) > 500 or (fault := sending.fault_of_address(kind, address)):
        why = fault if len(address) <= 500 else "it is too long"
        text = _("“%(given)s” is not allowed: %(why)s.")
        raise Refused(text % {"given": shown(address), "why": why})
    if len(await alerts.read_receivers()) >= MOST_RECEIVERS:
        raise Refused(_("At most %(most)d are told.") % {"most": MOST_RECEIVERS})
    operator = await accounts.username(order.operator_id)
    row = await alerts.add_receiver(kind, address, operator)
    if row is None:
        return warned(_("They are told already."))
    await _log(order, f"Alerts are sent to {kind} {address}.")
    said = [Notice(_("Alerts are sent there from now on. Send a test."))]
    if kind == AlertReceiver.Kind.WEBHOOK:
        text = _("The secret that signs them, shown this once: %(secret)s")
        said.append(Notice(text % {"secret": row.secret}, messages.WARNING))
    return said


async def remove_receiver(order: Order) -> Reply:
    """`receiver`: the key."""
    row = await _receiver(order)
    await alerts.remove_receiver(row.pk)
    await _log(order, f"Alerts are not sent to {row.kind} {row.address} any more.")
    return [Notice(_("Alerts are not sent there any more."))]


async def test_receiver(order: Order) -> Reply:
    """`receiver`: the key. Waits for the answer, a few seconds at most."""
    row = await _receiver(order)
    at = timezone.now().isoformat(timespec="seconds")
    body = {"rule": None, "value": None, "threshold": None, "minutes": None, "at": at}
    text = "This is a test of ChatStream's alerts."
    message = await alerts.write_test(row.pk, {**body, "text": text})
    if message is None:
        raise Refused(_("It is gone."))
    error = await sending.send(message)
    await alerts.test_is_over(message, error)
    if error:
        said = _("The test did not arrive: %(why)s.")
        return [Notice(said % {"why": shown(error)}, messages.ERROR)]
    return [Notice(_("The test has arrived."))]


async def _receiver(order: Order) -> AlertReceiver:
    given = order.text("receiver")
    row: AlertReceiver | None = None
    if given.isdecimal() and len(given) < 19:
        row = await alerts.receiver(int(given))
    if row is None:
        raise Refused(_("It is gone."))
    return row


def _number(order: Order, name: str, title: str, least: int, most: int) -> int:
    given = order.text(name)
    if not (given.isdecimal() and len(given) <= 9 and least <= int(given) <= most):
        text = _("“%(given)s” is not allowed: “%(limit)s” is %(least)d to %(most)d.")
        bounds = {"least": least, "most": most}
        raise Refused(text % {"given": shown(given), "limit": title, **bounds})
    return int(given)


async def _log(order: Order, message: str) -> None:
    await audit_log.write(order.operator_id, [audit_log.QUEUE], message)
