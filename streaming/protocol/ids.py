"""The ids of the wire: a kind's prefix, and a UUID of the record in hexadecimal digits.

`/ws/chat/` also names a response and a conversation by the UUID alone, as pages and logs do.
"""

from __future__ import annotations

from uuid import UUID

RESPONSE = "resp"
CONVERSATION = "conv"
MESSAGE = "msg"
REASONING = "rs"
FUNCTION_CALL = "fc"
FUNCTION_CALL_OUTPUT = "fco"
COMPACTION = "cmp"
FILE = "file"


def wire_id(kind: str, key: UUID | str, number: int | None = None) -> str:
    """Return the id of what `key` is in the record; `number` is that of an item of a response."""
    digits = UUID(str(key)).hex
    return f"{kind}_{digits}" if number is None else f"{kind}_{digits}_{number}"


def key_of(text: str, kind: str) -> UUID | None:
    """Return the UUID that an id of this kind names, with or without its prefix; None if it names
    none."""
    name = text.removeprefix(f"{kind}_")
    try:
        key = UUID(name)
    except ValueError:
        return None
    return key if name in (key.hex, str(key)) else None


def item_place(text: str) -> tuple[UUID, int] | None:
    """Return the response and the number of one of its output items, None for another id."""
    parts = text.split("_")
    if len(parts) != 3 or not (parts[2].isascii() and parts[2].isdigit()) or len(parts[2]) > 6:
        return None
    key = key_of(parts[1], "")
    return None if key is None else (key, int(parts[2]))
