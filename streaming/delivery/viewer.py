"""One reader's view of one response: its events in the order of their numbers, and its position.

A channel layer delivers at most once, so a viewer compares numbers: a gap is filled from the log
at once, a lost last event at the next poll.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from channels.layers import BaseChannelLayer

from streaming.delivery.queue_position import PositionUpdates, QueuePosition
from streaming.lifecycle import doorbell, ending, recovery
from streaming.protocol.response_events import TERMINAL_TYPES, ResponseQueuePosition
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import State, Watched

logger = logging.getLogger(__name__)

Send = Callable[[str], Awaitable[None]]

_LARGE_CHARS = 16_384
"""An event from this length on is sent at the reader's pace. The last events of an answer repeat
its text four times: of a long one, at once, they are more than a reader may leave unread."""


class Viewer:
    """Sends the events of one response to one reader, nothing before `open`.

    `send` returns at once; `replay` may wait until the reader has read what it was sent before.
    `on_done` is called when the last event was sent.
    """

    def __init__(
        self,
        layer: BaseChannelLayer,
        response_id: str,
        send: Send,
        on_done: Callable[[], None],
        replay: Send | None = None,
    ) -> None:
        self.response_id = response_id
        self._layer = layer
        self._send = send
        self._replay = replay or send
        self._on_done = on_done
        self._lock = asyncio.Lock()
        self._missed = False  # an event came while the log was replayed
        self._repair: asyncio.Task[None] | None = None
        self._open = False
        self._done = False
        self._sequence = 0  # the number of the last event that was sent
        self._sequence_at_poll = 0
        self._stalled = False  # nothing was sent between the last two polls
        self._read_to = 0  # the log was read up to this number, even if it had no event
        self._positions = PositionUpdates(response_id)

    async def open(self, position: QueuePosition | None, after: int = 0) -> None:
        """Begin to send (again), from event `after` + 1; `position` was sent already."""
        async with self._lock:
            self._sequence = self._sequence_at_poll = after
            self._positions.note_sent(position)
            self._open = True
        try:
            await self._catch_up()
            if self._sequence == after > 0:
                await self._look_beyond()
        except Exception as error:
            # An error event now would contradict the position that was sent.
            log_fault(logger, error, "The next poll catches up with %s.", self.response_id)

    async def feed(self, message: dict[str, Any]) -> None:
        """Take one `response.event` message of the response's group."""
        number = message["sequence_number"]
        if not self._open or self._done or number <= self._sequence:
            return
        if self._lock.locked():
            # The log is being replayed at the reader's pace. It has this event, too.
            self._missed = True
            return
        if number == self._sequence + 1 and len(message["event"]) < _LARGE_CHARS:
            async with self._lock:
                await self._deliver(self._send, message["event"], number, message["last"])
        else:
            await self._catch_up()

    def leave(self) -> None:
        """Stop replaying: the reader has gone."""
        if self._repair:
            self._repair.cancel()

    def mark(self) -> None:
        """Note how far the reader is, just before a poll."""
        self._stalled = self._sequence == self._sequence_at_poll
        self._sequence_at_poll = self._sequence

    async def observe(self, watched: Watched, position: QueuePosition) -> None:
        """Act on what a poll found. Returns at once, since other viewers wait for their turn."""
        if not self._open or self._done or (self._repair and not self._repair.done()):
            return
        if watched.state is State.UNKNOWN:
            self._begin_repair(self._end_by_record)
        elif watched.last_sequence < self._sequence_at_poll:
            # The list has lost events that were sent: those that follow would not fit them.
            is_over = watched.state is State.DONE
            self._begin_repair(self._end_by_record if is_over else self._begin_anew)
        elif self._stalled and watched.last_sequence > max(self._sequence, self._read_to):
            self._begin_repair(lambda: self._catch_up_to(watched.last_sequence))
        elif watched.state in (State.WAITING, State.HELD) and not self._sequence:
            await self._send_position(position)

    async def _look_beyond(self) -> None:
        """Handle a reader that has all events of the log, or more than the log has: end the
        response if it has ended, let it begin anew if the list has lost events."""
        watch = await self._layer.waiting_list.watch([self.response_id])
        watched = watch.responses[self.response_id]
        if watched.state in (State.UNKNOWN, State.DONE):
            await self._end_by_record()
        elif watched.last_sequence < self._sequence:
            await self._begin_anew()

    def _begin_repair(self, repair: Callable[[], Awaitable[None]]) -> None:
        """Read the log or the record in a task, at this reader's pace."""
        self._repair = asyncio.get_running_loop().create_task(self._log_faults(repair))

    async def _log_faults(self, repair: Callable[[], Awaitable[None]]) -> None:
        try:
            await repair()
        except Exception as error:
            message = "A viewer of %s could not catch up; trying again."
            log_fault(logger, error, message, self.response_id)

    async def _send_position(self, position: QueuePosition) -> None:
        if not self._positions.is_due(position):
            return
        self._positions.note_sent(position)
        event = ResponseQueuePosition(response_id=UUID(self.response_id), **position._asdict())
        await self._send(event.model_dump_json())

    async def _catch_up(self) -> None:
        """Send the log's events from the next number on."""
        async with self._lock:
            self._missed = True
            while self._missed and not self._done:
                self._missed = False
                for text in await self._layer.waiting_list.read(self.response_id, self._sequence):
                    event = json.loads(text)
                    is_last = event["type"] in TERMINAL_TYPES
                    await self._deliver(self._replay, text, event["sequence_number"], is_last)

    async def _catch_up_to(self, last_sequence: int) -> None:
        """Catch up, and ask for events up to this number only once: a restored response counts on
        from the number that it had, without events in the log."""
        await self._catch_up()
        self._read_to = last_sequence

    async def _begin_anew(self) -> None:
        waiting_list, seen = self._layer.waiting_list, self._sequence
        if await recovery.begin_anew(waiting_list, self.response_id, seen):
            await doorbell.ring(self._layer)
            return
        # The list has lost nothing, so no event had this number: send whatever comes now.
        async with self._lock:
            watch = await waiting_list.watch([self.response_id])
            last_sequence = watch.responses[self.response_id].last_sequence
            if self._sequence == seen and last_sequence < seen:
                self._sequence = self._sequence_at_poll = last_sequence
        await self._catch_up()

    async def _end_by_record(self) -> None:
        """Send the last event from the record, if the response has ended: the list no longer
        knows it."""
        done = await ending.ended_event(self.response_id)
        async with self._lock:
            if done is not None and not self._done:
                number = self._sequence + 1
                numbered = {"sequence_number": number, **done.model_dump(mode="json")}
                await self._deliver(self._replay, json.dumps(numbered), number, True)

    async def _deliver(self, send: Send, event: str, number: int, last: bool) -> None:
        self._sequence = number
        await send(event)
        if last:
            self._done = True
            self._on_done()
