"""Accepting responses into the waiting list in memory, withdrawing and restoring them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streaming.waiting_list import rules
from streaming.waiting_list.interface import (
    Accepting,
    AdmissionLimits,
    Entry,
    Place,
    QueueClosed,
    Remembered,
    Slot,
    State,
    WaitingListError,
    Withdrawal,
)
from streaming.waiting_list.memory.open_response import ResponsePhase
from streaming.waiting_list.memory.store import MemoryStore


class MemoryAccepting(MemoryStore, Accepting):
    """The role `Accepting` of the list in memory."""

    async def enqueue(
        self, entry: Entry, limits: AdmissionLimits, *, readmit: bool = False, said: int = 0
    ) -> Place:
        """Accept a response and return its place, or raise the refusal."""
        rules.check_entry(entry)
        if self._look(entry.response_id).state is not State.UNKNOWN:
            return self._place(entry.response_id, created=False)
        if not readmit:
            self._count_accepted(entry, limits)
        response = self._open.add(entry, said)
        slot = None if response.phase is ResponsePhase.HELD else response.slot
        return self._place(entry.response_id, created=True, slot=slot)

    async def objection(
        self, owner: str, address: str, limits: AdmissionLimits
    ) -> WaitingListError | None:
        """Return the refusal that a new response of this owner would get now, None without one."""
        try:
            self._check_bounds(Entry("", owner, "", address, 1), limits)
        except WaitingListError as refusal:
            return refusal
        return None

    async def count_refusal(self, code: str) -> None:
        """Count a refusal that `objection` announced."""
        self._statistics.reject(code)

    async def withdraw(self, response_id: str, event: str) -> Withdrawal:
        """End a waiting or held response with `event`, or set a running one's cancel flag."""
        rules.check_event(event)
        response = self._open.get(response_id)
        if response is None:
            return Withdrawal.GONE
        if response.cancel():
            return Withdrawal.RUNNING
        self._end(response, event)
        return Withdrawal.WITHDRAWN

    async def flag(self, response_id: str) -> bool:
        """Set a running response's cancel flag; False if it does not run."""
        response = self._open.get(response_id)
        return response is not None and response.cancel()

    async def is_restored(self) -> bool:
        """Return whether this process has restored the list."""
        return not self.is_lost

    async def restore(
        self, forgotten: Sequence[Remembered], *, whole: bool, patience: float = 0
    ) -> None:
        """Put back what the process before had open, each where it stood."""
        for known in rules.in_order(forgotten):
            if known.entry.response_id not in self._open:
                self._open.restore(known, self._clock() + patience)
        if whole:
            self.is_lost = False

    def forget(self) -> None:
        """Drop all responses without publishing anything; the list is lost from now on.

        For a process whose database belongs to another one's list: that one restores them.
        """
        for response in list(self._open):
            self._open.remove(response)
        self.is_lost = True

    async def unsaved(self) -> dict[str, Slot]:
        """Return the slots that the record does not know yet, by response id."""
        return {name: response.slot for name, response in self._open.order.unsaved.items()}

    async def saved(self, slots: Mapping[str, Slot]) -> None:
        """Note that the record has these slots, where they are still the present ones."""
        unsaved = self._open.order.unsaved
        for name, slot in slots.items():
            response = unsaved.get(name)
            if response is not None and response.slot == slot:
                del unsaved[name]

    def _check_bounds(self, entry: Entry, limits: AdmissionLimits) -> None:
        """Raise the refusal for an entry that the closed queue or a bound keeps out."""
        if self._closed is not None:
            raise QueueClosed(self._closed)
        self._open.bounds.check(entry, limits, self._registry.serving_capacities())

    def _count_accepted(self, entry: Entry, limits: AdmissionLimits) -> None:
        """Check the bounds and count the entry as accepted, or count and raise the refusal."""
        try:
            self._check_bounds(entry, limits)
        except WaitingListError as refusal:
            self._statistics.reject(refusal.code)
            raise
        self._statistics.accepted += 1
