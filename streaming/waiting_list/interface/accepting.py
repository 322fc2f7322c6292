"""The role `Accepting`: accept responses, withdraw them, and restore a list that was lost."""

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
    """Accept responses, withdraw them, and restore those that the list has lost."""

    is_lost = False
    """Whether this process knows, without asking the list, that the list must be restored."""

    @abstractmethod
    async def enqueue(
        self, entry: Entry, limits: AdmissionLimits, *, readmit: bool = False, said: int = 0
    ) -> Place:
        """Accept a response and return its place.

        A response is accepted while fewer are open than the capacities of the live workers that do
        not drain, plus `limits.max_waiting`. A known id changes nothing: its present place is
        returned. `readmit` skips the bounds, for the reconciler. While another response of its
        conversation is open, the entry is HELD (open, counted, without a position); it gets its
        slot in the order when that one ends. Counts as a viewer touch. Its events get numbers
        greater than `said`, so that a response which returns after the list has lost its memory
        repeats no number.

        Raises QueueClosed, QueueFull, OwnerLimit, AddressLimit or Unavailable for a refusal,
        ListLost before a lost list is restored, ValueError for an entry that cannot be kept.
        """

    async def objection(
        self, owner: str, address: str, limits: AdmissionLimits
    ) -> WaitingListError | None:
        """Return what `enqueue` would raise for a new response of this owner now.

        None promises nothing: a list that would have to be asked over a network returns None.
        """
        return None

    async def count_refusal(self, code: str) -> None:
        """Count a refusal because of an `objection`, as `enqueue` counts its own."""
        raise NotImplementedError

    @abstractmethod
    async def withdraw(self, response_id: str, event: str) -> Withdrawal:
        """End a waiting or held response, with `event` as its last; or `flag` a running one."""

    @abstractmethod
    async def flag(self, response_id: str) -> bool:
        """Set a running response's cancel flag, which its worker's next `renew` returns.

        False if no worker runs it.
        """

    @abstractmethod
    async def is_restored(self) -> bool:
        """Return whether the list has all responses that are open in the record."""

    @abstractmethod
    async def restore(
        self, forgotten: Sequence[Remembered], *, whole: bool, patience: float = 0
    ) -> None:
        """Put back responses that the list has lost, each at its slot; known ids stay as they are.

        Those that ran come first, like those that return from a lost worker. Those without a slot
        come last, in the given order, behind what is open of their conversation. Later newcomers
        stand behind all of them. `whole`: nothing else is to be restored, the list is no longer
        lost. Each counts as viewed `patience` seconds from now.
        """

    @abstractmethod
    async def unsaved(self) -> dict[str, Slot]:
        """Return the slots that the record does not have yet, by response id.

        Those are slots that `enqueue` did not return: given by a move, or when an earlier response
        ended. Each is returned until it is reported as `saved`.
        """

    @abstractmethod
    async def saved(self, slots: Mapping[str, Slot]) -> None:
        """Note that the record has these slots."""
