"""What both waiting lists share: what is refused, in which words, and how events are numbered."""

from __future__ import annotations

import re
from collections.abc import Iterable

from streaming.waiting_list.base import (
    CLOSED_MESSAGE_CHARS,
    AddressLimit,
    Entry,
    OwnerLimit,
    QueueFull,
    Remembered,
    Unavailable,
    WaitingListError,
)

# What fits into a channel-layer group name behind "response.".
_RESPONSE_ID = re.compile(r"[A-Za-z0-9_.\-]{1,80}")


def check_entry(entry: Entry) -> None:
    """Refuse an entry that no group could be named after, before anything is counted."""
    if not _RESPONSE_ID.fullmatch(entry.response_id):
        raise ValueError(
            f"response id {entry.response_id[:100]!r} is not 1 to 80 letters, digits, '-', '_', '.'"
        )
    if not entry.owner:
        raise ValueError("an entry needs an owner")


def check_event(event: str) -> str:
    """An event must be a JSON object with at least one member, for the number goes before it.

    Only the frame is looked at: the writer is our own worker, and parsing every delta a second
    time would cost more than storing it.
    """
    if not (event.startswith('{"') and event.endswith("}")):
        raise ValueError(f"an event must be the JSON text of a non-empty object: {event[:60]!r}")
    return event


def in_order(forgotten: Iterable[Remembered]) -> list[Remembered]:
    """As they are put back: by their slots, then what has none, what ran first."""
    return sorted(forgotten, key=lambda each: (each.slot is None, each.slot or (), not each.ran))


def check_closing(message: str) -> str:
    """An operator's message to people who ask while the queue is closed."""
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
    if capacity is not None and capacity < 0:
        raise ValueError(f"a worker cannot run {capacity} responses")


def is_next(number: int | None, tail: int, tail_at_claim: int) -> bool | None:
    """Is an event with this expected number the next one? False: this lease has said it already.

    None: neither, which is an error. `fate_of_number` in `prelude.lua` is the same.
    """
    if number is None or number == tail + 1:
        return True
    return False if tail_at_claim < number <= tail else None


def numbered(event: str, number: int) -> str:
    """The stored and published text: the writer's, with the number spliced in at the front.

    `prelude.lua` does the same; the text behind the number stays byte for byte the writer's.
    """
    return f'{{"sequence_number":{number},{event[1:]}'


def message(response_id: str, number: int, event: str, last: bool) -> dict[str, object]:
    """The channel-layer message that a response's group receives for one event."""
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
    """The error for a prompt that a bound keeps out, in words for the person who sent it."""
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
