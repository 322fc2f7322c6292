"""What the rules of alerts measure, and whether it is beyond their thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from channels.layers import BaseChannelLayer
from django.utils import timezone

from streaming.models import AlertRule
from streaming.record import alerts
from streaming.system.outages import LAYER_AWAY
from streaming.waiting_list.interface import Snapshot, State, WorkerState

LEAST_ENDED = 5
"""Responses that must have ended before a share of failures says anything."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A rule's value now (None: nothing can be said), whether it is beyond the threshold, and a
    sentence for people. `unserved_since` is for the rule that counts since when nobody serves."""

    value: float | None
    is_firing: bool
    text: str
    unserved_since: datetime | None = None


async def snapshot_of(layer: BaseChannelLayer) -> Snapshot | None:
    """Return workers and waiting responses; None if the queue does not answer."""
    try:
        snapshot: Snapshot = await layer.waiting_list.snapshot()
    except LAYER_AWAY:
        return None
    return snapshot


async def measure(rule: AlertRule, snapshot: Snapshot | None) -> Measure:
    """Measure a rule. A value that cannot be known leaves the rule as it is."""
    was_firing = rule.firing_since is not None
    if rule.kind == AlertRule.Kind.WAIT:
        return _wait(rule, snapshot, was_firing)
    if rule.kind == AlertRule.Kind.NO_WORKER:
        return _no_worker(rule, snapshot)
    return await _failures(rule, was_firing)


def _wait(rule: AlertRule, snapshot: Snapshot | None, was_firing: bool) -> Measure:
    if snapshot is None:
        return Measure(None, was_firing, "The queue does not answer.")
    waits = [row.asked for row in snapshot.waiting if row.state is State.WAITING]
    longest = max(waits, default=0.0)
    text = f"The longest wait is {longest:.0f} s, of {len(waits)} that wait."
    return Measure(longest, longest > rule.threshold, text)


def _no_worker(rule: AlertRule, snapshot: Snapshot | None) -> Measure:
    """Nobody can be served, either, while the queue does not answer."""
    workers = snapshot.workers if snapshot else []
    if any(row.state is WorkerState.READY for row in workers):
        return Measure(0, False, "A worker serves.")
    now = timezone.now()
    since = rule.unserved_since or now
    seconds = (now - since).total_seconds()
    away = "The queue has not answered" if snapshot is None else "No worker has served"
    return Measure(seconds, seconds >= rule.threshold, f"{away} for {seconds:.0f} s.", since)


async def _failures(rule: AlertRule, was_firing: bool) -> Measure:
    failed, ended = await alerts.failures(rule.minutes)
    text = f"{failed} of {ended} responses failed in the last {rule.minutes} min."
    if ended < LEAST_ENDED:
        return Measure(None, False, text)
    share = 100 * failed / ended
    return Measure(share, share > rule.threshold, text)


def body_of(rule: AlertRule, measure: Measure) -> dict[str, Any]:
    """Return what a message says, but for its state."""
    return {
        "rule": rule.kind,
        "value": None if measure.value is None else round(measure.value, 1),
        "threshold": rule.threshold,
        "minutes": rule.minutes if rule.kind == AlertRule.Kind.FAILURES else None,
        "text": measure.text,
        "at": timezone.now().isoformat(timespec="seconds"),
    }
