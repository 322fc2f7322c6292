"""Measures and sends, again and again, in whichever process has the duty."""

from __future__ import annotations

import asyncio
import logging
import secrets

from channels.layers import BaseChannelLayer, get_channel_layer

from streaming.alerts import measuring, sending
from streaming.models import AlertMessage, AlertRule
from streaming.record import alerts
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import Snapshot

logger = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
_DUTY_SECONDS = 30.0
"""Longer than a round: 5 s, and 10 s for what is sent."""
_SENT_AT_ONCE = 8


class AlertWatch:
    """One process's watch. Many may run: one of them has the duty."""

    def __init__(self, layer: BaseChannelLayer) -> None:
        self._layer = layer
        self._holder = secrets.token_hex(8)
        self._fault: type[Exception] | None = None

    async def watch_loop(self) -> None:
        """Do a round every few seconds, for ever; what fails is logged once, and tried again."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.round()
            except Exception as error:
                if type(error) is not self._fault:
                    log_fault(logger, error, "Alerts could not be measured or sent.")
                self._fault = type(error)
            else:
                self._fault = None

    async def round(self) -> None:
        """Measure all rules and send what is due, if there is any and it is this one's duty."""
        if not await alerts.is_needed() or not await alerts.take_duty(self._holder, _DUTY_SECONDS):
            return
        rules = await alerts.rules()
        snapshot = await measuring.snapshot_of(self._layer) if rules else None
        for rule in rules:
            await self._look(rule, snapshot)
        await send_due()

    async def _look(self, rule: AlertRule, snapshot: Snapshot | None) -> None:
        measure = await measuring.measure(rule, snapshot)
        if not rule.is_on:  # switched off while it was firing
            measure = measuring.Measure(measure.value, False, "The rule was switched off.")
        rule.unserved_since = measure.unserved_since
        body = measuring.body_of(rule, measure)
        state = await alerts.measured(rule, measure.value, measure.is_firing, body)
        if state is AlertMessage.State.FIRING:
            logger.warning("Alert %s: %s", rule.kind, measure.text)
        elif state is not None:
            logger.info("Alert %s is over: %s", rule.kind, measure.text)


async def send_due() -> None:
    """Send the messages whose time has come, together."""

    async def send(message: AlertMessage) -> None:
        error = await sending.send(message)
        await alerts.sent(message, error)
        if error:
            logger.warning("Alert message %d did not arrive: %s.", message.pk, error)

    await asyncio.gather(*map(send, await alerts.take_due(_SENT_AT_ONCE)))


def start() -> asyncio.Task[None]:
    """Begin to watch on the running event loop; whoever calls this keeps the task."""
    layer = get_channel_layer()
    assert layer is not None
    return asyncio.get_running_loop().create_task(AlertWatch(layer).watch_loop())
