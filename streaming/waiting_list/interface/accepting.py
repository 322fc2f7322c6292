"""The role of those who accept responses, take them out, and restore a list that was lost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from streaming.waiting_list.interface.entries import (
    AdmissionLimits,
    Entry,
    Place,
    Remembered,
    Slot,
    Withdrawal,
)
from streaming.waiting_list.interface.errors import WaitingListError


class Accepting(ABC):
    """Accept responses and withdraw them; restore those that the list has lost."""

    is_lost = False
    """Whether this process knows, without asking, that the list must be restored."""

    @abstractmethod
    async def enqueue(
        self, entry: Entry, limits: AdmissionLimits, *, readmit: bool = False, said: int = 0
    ) -> Place:
        """Accept a response and return its place.

        Accepted while open responses are fewer than the capacities of the live, non-draining
        workers together plus `limits.max_waiting`. Idempotent: a known id changes nothing and
        answers its present place. `readmit` skips the bounds (the reconciler's right).
        While another response of its conversation is open, the entry is HELD (open, counted,
        no position) and gets its slot in the order when that one ends.
        Counts as a first viewer touch. Its events get numbers greater than `said`: one that comes
        back after the list has lost its memory never repeats a number.

        Raises QueueClosed, QueueFull, OwnerLimit, AddressLimit or Unavailable for a refusal,
        ListLost before a lost list is restored, ValueError for an entry that cannot be kept.
        """

    async def objection(
        self, owner: str, address: str, limits: AdmissionLimits
    ) -> WaitingListError | None:
        """Return what `enqueue` would raise for a new response of this owner now.

        None is no promise: a list that would have to be asked over a network answers None.
        """
        return None

    async def count_refusal(self, code: str) -> None:
        """Count a response that was refused for an `objection`, as `enqueue` counts its own."""
        raise NotImplementedError

    @abstractmethod
    async def withdraw(self, response_id: str, event: str) -> Withdrawal:
        """Take a waiting or held response out, `event` as its last; or flag a running one."""

    @abstractmethod
    async def flag(self, response_id: str) -> bool:
        """Ask whoever runs a response to end it, by its next `renew`; False if nobody runs it."""

    @abstractmethod
    async def is_restored(self) -> bool:
        """Return whether the list has what the record holds open, and has lost nothing since."""

    @abstractmethod
    async def restore(
        self, forgotten: Sequence[Remembered], *, whole: bool, patience: float = 0
    ) -> None:
        """Put back what the list has forgotten, each where it stood; known ids stay as they are.

        Those that ran come first, as those that came back from a lost worker. Those without a slot
        come last, in the given order, behind what is open of their conversation. Whoever comes
        from now on stands behind all that were put back. `whole`: this was all, the list is
        restored. Each counts as viewed `patience` seconds from now.
        """

    @abstractmethod
    async def unsaved(self) -> dict[str, Slot]:
        """Return the slots that the record does not know yet, by response id.

        Those are the slots that `enqueue` did not tell, given by a move or because an earlier
        response has ended, until they are reported as `saved`.
        """

    @abstractmethod
    async def saved(self, slots: Mapping[str, Slot]) -> None:
        """Note that the record has these slots now."""
