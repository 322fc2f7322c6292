"""The rules of alerts, who is told, and what has been sent; and which process does it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from streaming.models import (
    TERMINAL,
    AlertDuty,
    AlertMessage,
    AlertReceiver,
    AlertRule,
    Response,
    Status,
)
from streaming.record.database import in_database

DEFAULTS = {AlertRule.Kind.WAIT: 300, AlertRule.Kind.FAILURES: 20, AlertRule.Kind.NO_WORKER: 60}
"""Thresholds of rules that nobody has set yet: seconds, percent, seconds."""

DELAYS = (0, 10, 60, 300, 1800, 7200)
"""Seconds before each attempt to send a message, after the one before. Then it is given up."""

LONGEST_ANSWER = timedelta(hours=6)
"""How much earlier than it ended a response was asked, at most, to be counted as ended."""

FIRING = timedelta(minutes=1)
"""How long an alert fires at least: a value around its threshold is told twice a minute at most."""

_KEPT = timedelta(days=90)
"""How long the history has what was sent, or given up."""

_DUTY = 1


@in_database
def is_needed() -> bool:
    """Return whether there is anything to measure or to send."""
    on = AlertRule.objects.filter(Q(is_on=True) | Q(firing_since__isnull=False))
    return on.exists() or AlertMessage.objects.filter(next_at__isnull=False).exists()


@in_database
def take_duty(holder: str, seconds: float) -> bool:
    """Return whether `holder` alone measures and sends for so many seconds from now."""
    now = timezone.now()
    until = now + timedelta(seconds=seconds)
    ours = AlertDuty.objects.filter(Q(holder=holder) | Q(until__lte=now), pk=_DUTY)
    if ours.update(holder=holder, until=until):
        return True
    try:
        with transaction.atomic():
            AlertDuty.objects.get_or_create(pk=_DUTY, defaults={"holder": holder, "until": until})
    except IntegrityError:
        return False
    return AlertDuty.objects.filter(pk=_DUTY, holder=holder).exists()


def all_rules() -> list[AlertRule]:
    """Return one rule for each kind, those that nobody has set with their defaults."""
    kept = AlertRule.objects.in_bulk()
    return [
        kept.get(kind) or AlertRule(kind=kind, threshold=threshold)
        for kind, threshold in DEFAULTS.items()
    ]


@in_database
def rules() -> list[AlertRule]:
    """Return the rules that are kept."""
    return list(AlertRule.objects.all())


@in_database
def set_rule(kind: str, is_on: bool, threshold: int, minutes: int, operator: str) -> None:
    """Keep how a rule is to be."""
    changed = {"changed_by": operator[:150], "changed_at": timezone.now()}
    given = {"is_on": is_on, "threshold": threshold, "minutes": minutes}
    AlertRule.objects.update_or_create(kind=kind, defaults={**given, **changed})


@in_database
def failures(minutes: int) -> tuple[int, int]:
    """Return how many responses have failed, and how many ended, in the last minutes."""
    since = timezone.now() - timedelta(minutes=minutes)
    ended = Response.objects.filter(
        created_at__gte=since - LONGEST_ANSWER,
        finished_at__gte=since,
        status__in=TERMINAL,
        imported=False,
    )
    counts = ended.aggregate(failed=Count("pk", filter=Q(status=Status.FAILED)), ended=Count("pk"))
    return counts["failed"], counts["ended"]


@in_database
def measured(
    rule: AlertRule, value: float | None, is_firing: bool, body: dict[str, Any]
) -> AlertMessage.State | None:
    """Keep what was measured. Where the rule begins or ceases to fire, write a message for each
    receiver, and return which of the two it is. It ceases `FIRING` after it began at the earliest,
    or when it is switched off."""
    now = timezone.now()
    row = AlertRule.objects.filter(pk=rule.pk)
    row.update(value=value, checked_at=now, unserved_since=rule.unserved_since)
    with transaction.atomic():
        if is_firing:
            state = AlertMessage.State.FIRING
            changed = row.filter(firing_since=None).update(firing_since=now)
        else:
            state = AlertMessage.State.RESOLVED
            ends = (
                Q(firing_since__lte=now - FIRING) if rule.is_on else Q(firing_since__isnull=False)
            )
            changed = row.filter(ends).update(firing_since=None)
        if not changed:
            return None
        _write(list(AlertReceiver.objects.all()), rule.kind, state, body)
    return state


@in_database
def write_test(receiver_id: int, body: dict[str, Any]) -> AlertMessage | None:
    """Write a test for one receiver; None if there is no such receiver."""
    receiver = AlertReceiver.objects.filter(pk=receiver_id).first()
    if receiver is None:
        return None
    return _write([receiver], "", AlertMessage.State.TEST, body, at_once=True)[0]


def _write(
    receivers: Sequence[AlertReceiver],
    rule: str,
    state: AlertMessage.State,
    body: dict[str, Any],
    *,
    at_once: bool = False,
) -> list[AlertMessage]:
    """Write messages, which are due now; or `at_once`: which the caller sends, once."""
    now = None if at_once else timezone.now()
    AlertMessage.objects.filter(next_at=None, created_at__lt=timezone.now() - _KEPT).delete()
    return [
        AlertMessage.objects.create(
            receiver=each, rule=rule, state=state, body={**body, "state": state}, next_at=now
        )
        for each in receivers
    ]


@in_database
def take_due(most: int) -> list[AlertMessage]:
    """Return messages whose time has come, each to be sent once by whoever gets it: before, it is
    written when the next attempt would be."""
    now = timezone.now()
    due = AlertMessage.objects.filter(next_at__lte=now).select_related("receiver").order_by("pk")
    taken = []
    for message in due[:most]:
        attempt = message.attempts + 1
        later = now + timedelta(seconds=DELAYS[attempt]) if attempt < len(DELAYS) else None
        mine = AlertMessage.objects.filter(pk=message.pk, attempts=message.attempts)
        if mine.update(attempts=F("attempts") + 1, next_at=later):
            taken.append(message)
    return taken


@in_database
def sent(message: AlertMessage, error: str) -> None:
    """Keep how an attempt went; an empty error means that the message has arrived."""
    row = AlertMessage.objects.filter(pk=message.pk)
    if error:
        row.update(error=error[:300])
    else:
        row.update(error="", sent_at=timezone.now(), next_at=None)


@in_database
def add_receiver(kind: str, address: str, operator: str) -> AlertReceiver | None:
    """Keep who is told; None if they are already."""
    row, is_new = AlertReceiver.objects.get_or_create(
        kind=kind, address=address, defaults={"added_by": operator[:150]}
    )
    return row if is_new else None


@in_database
def receiver(pk: int) -> AlertReceiver | None:
    """Return one who is told; None if there is none with that key."""
    return AlertReceiver.objects.filter(pk=pk).first()


@in_database
def remove_receiver(pk: int) -> None:
    """Tell somebody no more; what was sent to them is forgotten with them."""
    AlertReceiver.objects.filter(pk=pk).delete()


def receivers() -> list[AlertReceiver]:
    """Return all who are told."""
    return list(AlertReceiver.objects.all())


def history(most: int) -> list[AlertMessage]:
    """Return the last messages, the newest first."""
    return list(AlertMessage.objects.select_related("receiver")[:most])


read_receivers = in_database(receivers)
"""The same for a coroutine."""


@in_database
def test_is_over(message: AlertMessage, error: str) -> None:
    """Keep how a test went, which is sent once."""
    row = AlertMessage.objects.filter(pk=message.pk)
    row.update(
        attempts=1, next_at=None, error=error[:300], sent_at=None if error else timezone.now()
    )
