"""The rules that both waiting lists share: checks, refusals, and the numbering of events."""

from __future__ import annotations

import re
from collections.abc import Iterable

from streaming.waiting_list.interface import (
    CLOSED_MESSAGE_CHARS,
    AddressLimit,
    Entry,
    OwnerLimit,
    QueueFull,
    Remembered,
    Unavailable,
    WaitingListError,
    WrongNumber,
)

# What may follow "response." in the name of a channel-layer group.
_RESPONSE_ID = re.compile(r"[A-Za-z0-9_.\-]{1,80}")


def check_entry(entry: Entry) -> None:
    """Raise ValueError for an entry without an owner, or whose id cannot be in a group's name."""
    if not _RESPONSE_ID.fullmatch(entry.response_id):
        raise ValueError(
            f"response id {entry.response_id[:100]!r} is not 1 to 80 letters, digits, '-', '_', '.'"
        )
    if not entry.owner:
        raise ValueError("an entry needs an owner")


def check_event(event: str) -> str:
    """Return an event that is a JSON object with a member, which the number can precede.

    Raises ValueError. Only its two ends are looked at: the writer is our own worker, and to parse
    every delta a second time would cost more than to store it.
    """
    if not (event.startswith('{"') and event.endswith("}")):
        raise ValueError(f"an event must be the JSON text of a non-empty object: {event[:60]!r}")
    return event


def in_order(forgotten: Iterable[Remembered]) -> list[Remembered]:
    """Return responses in the order in which they are restored.

    By slot; those without a slot come last, and of these those that ran come first.
    """
    return sorted(forgotten, key=lambda each: (each.slot is None, each.slot or (), not each.ran))


def check_closing(message: str) -> str:
    """Return an operator's message for a closed queue, stripped.

    Raises ValueError for a message that is empty, too long or not storable.
    """
    text = message.strip()
    if not text:
        raise ValueError("the message of a closed queue is empty")
    if len(text) > CLOSED_MESSAGE_CHARS:
        raise ValueError(
            f"the message of a closed queue has {len(text):,} characters; "
            f"at most {CLOSED_MESSAGE_CHARS} are allowed"
        )
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("the message of a closed queue has a character that no text may have")
    return text


def check_capacity(capacity: int | None) -> None:
    """Raise ValueError for an ordered capacity below 0."""
    if capacity is not None and capacity < 0:
        raise ValueError(f"a worker cannot run {capacity} responses")


def is_repeated(response_id: str, number: int, last: int, last_at_claim: int) -> bool:
    """Return whether an event's number is one that the present lease has already published.

    `last` is the number of the response's last event, now and when it was claimed. Raises
    WrongNumber for a number that is neither one of those nor the next one. `check_number` in
    `lua/prelude.lua` is the same.
    """
    if number == last + 1:
        return False
    if last_at_claim < number <= last:
        return True
    raise WrongNumber([response_id])


def numbered(event: str, number: int) -> str:
    """Return an event with its number inserted as the first member, all else byte for byte.

    `publish` in `lua/prelude.lua` does the same.
    """
    return f'{{"sequence_number":{number},{event[1:]}'


def message(response_id: str, number: int, event: str, last: bool) -> dict[str, object]:
    """Return the channel-layer message that a response's group receives for one event."""
    return {
        "type": "response.event",
        "response_id": response_id,
        "sequence_number": number,
        "event": event,
        "last": last,
    }


def _responses(count: int) -> str:
    return "1 response is" if count == 1 else f"{count} responses are"


def refusal(code: str, present: int, bound: int) -> WaitingListError:
    """Return the error for a refused prompt, in words for the person who sent it.

    `present` is the number of open responses that `bound` limits.
    """
    if code == QueueFull.code:
        if bound <= 0:
            return QueueFull("The queue is closed: no worker is running and nobody may wait.")
        return QueueFull(
            f"The queue is full: {_responses(present)} open, no more are accepted right now."
        )
    if code == OwnerLimit.code:
        return OwnerLimit(
            f"{_responses(present)} already open for you, and the limit is {bound}. "
            "Wait for one to end, or cancel one."
        )
    if code == AddressLimit.code:
        return AddressLimit(
            f"{_responses(present)} already open from your network address, "
            f"and the limit is {bound}. Wait for one to end."
        )
    return Unavailable("No worker is running that takes prompts: nothing can be answered now.")
