"""Admission to the waiting list in memory: open responses are counted, and bounds checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from streaming.waiting_list import rules
from streaming.waiting_list.interface import (
    AddressLimit,
    AdmissionLimits,
    Entry,
    OwnerLimit,
    QueueFull,
    Unavailable,
)


class Bounds:
    """The numbers of open responses: in all, by owner and by address."""

    def __init__(self) -> None:
        self.open = 0
        self.owners: Counter[str] = Counter()
        self.addresses: Counter[str] = Counter()

    def check(self, entry: Entry, limits: AdmissionLimits, serving: Collection[int]) -> None:
        """Raise the refusal for an entry beyond a bound.

        `serving` has the capacities of the workers that take responses.
        """
        if not serving:  # nobody else can ever serve this process's list
            raise rules.refusal(Unavailable.code, 0, 0)
        mine = self.owners[entry.owner]
        if 0 < limits.max_per_owner <= mine:
            raise rules.refusal(OwnerLimit.code, mine, limits.max_per_owner)
        here = self.addresses[entry.address]
        if entry.address and 0 < limits.max_per_address <= here:
            raise rules.refusal(AddressLimit.code, here, limits.max_per_address)
        bound = sum(serving) + limits.max_waiting
        if self.open >= bound:
            raise rules.refusal(QueueFull.code, self.open, bound)

    def add(self, entry: Entry) -> None:
        """Count an entry that was accepted."""
        self.open += 1
        self.owners[entry.owner] += 1
        if entry.address:
            self.addresses[entry.address] += 1

    def remove(self, entry: Entry) -> None:
        """Count an entry no more."""
        self.open -= 1
        _uncount(self.owners, entry.owner)
        _uncount(self.addresses, entry.address)


def _uncount(counter: Counter[str], name: str) -> None:
    if counter[name] > 1:
        counter[name] -= 1
    else:
        del counter[name]
