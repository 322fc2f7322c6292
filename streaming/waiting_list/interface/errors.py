"""The errors of a waiting list."""

from __future__ import annotations

from collections.abc import Iterable


class WaitingListError(Exception):
    """A response was not accepted. `code` is the protocol's error code; the text is for people."""

    code = "unavailable"


class QueueFull(WaitingListError):
    """As many responses are open as the workers' capacities and the waiting list allow."""

    code = "queue_full"


class OwnerLimit(WaitingListError):
    """The owner has as many open responses as one owner may have."""

    code = "user_limit"


class AddressLimit(WaitingListError):
    """The network address has as many open responses as one address may have."""

    code = "address_limit"


class Unavailable(WaitingListError):
    """No live worker takes prompts."""

    code = "unavailable"


class QueueClosed(WaitingListError):
    """An operator has closed the queue to new prompts; the text is the operator's message."""

    code = "queue_closed"


REFUSALS = tuple(
    error.code for error in (QueueFull, OwnerLimit, AddressLimit, QueueClosed, Unavailable)
)
"""The codes of all refusals; `Counters.rejected` has each of them."""


class ListLost(Exception):
    """The list has lost its memory; nothing is accepted or claimed before `restore`."""


class WrongNumber(Exception):
    """An event's number is neither the next one nor one that its lease has already published.

    The worker and the log disagree about what was published; to continue would leave a gap.
    """

    def __init__(self, response_ids: Iterable[str]) -> None:
        self.response_ids = frozenset(response_ids)
        super().__init__(f"wrong event number for {', '.join(sorted(self.response_ids))}")
