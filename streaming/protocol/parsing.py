"""Reads the frames of clients: a frame is an event, or an error that names the wrong field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from streaming.protocol.base import PROTOCOL_VERSION
from streaming.protocol.client_events import SessionPing
from streaming.protocol.errors import ProtocolError
from streaming.protocol.events import ClientEvent, client_events, type_of

_client_event: TypeAdapter[ClientEvent] = TypeAdapter(ClientEvent)
_loose: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])

_PING_CHARS = 500
"""Maximum length of a ping, in characters."""

_MANY_FIELDS, _MANY_FIELDS_CHARS = 100, 10_000
"""Maximum fields of a frame that is longer than so many characters: tens of thousands take long to
validate."""

_OF_VERSION_1 = ("session.ping", "session.resume", "response.resume", "response.update")
"""Events that only clients of version 1 send."""

_PART_TAGS = ("input_text", "input_image", "input_file")

_PARAM_CHARS = 100
"""Characters of a field's name that an error repeats: a client may invent a long one."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_ping(text: str) -> SessionPing | None:
    """Return the ping in a frame, None if it has anything else."""
    if len(text) > _PING_CHARS or '"chatstream:ping"' not in text:
        return None
    try:
        return SessionPing.model_validate_json(text)
    except ValidationError:
        return None


def parse_client_event(text: str) -> ClientEvent:
    """Return the event of a frame. Raises ProtocolError: `invalid_event` with the wrong field, or
    `unsupported_version` for an event of version 1."""
    try:
        if len(text) > _MANY_FIELDS_CHARS and _has_many_fields(_loose.validate_json(text)):
            raise ProtocolError("invalid_event", "The frame has too many fields.")
        return _client_event.validate_json(text)
    except ValidationError as error:
        if param := _broken_field(text):
            message = f"`{param}` has half a character in it (a lone surrogate)."
            raise ProtocolError("invalid_event", message, param) from None
        fault = error.errors(include_url=False)[0]
        is_unknown = fault["type"] == "union_tag_invalid" and not fault["loc"]
        if is_unknown and fault["ctx"]["tag"] in _OF_VERSION_1:
            raise other_version(1) from None
        message, param = _explain(fault)
        raise ProtocolError("invalid_event", message, param) from None


def other_version(version: int | str) -> ProtocolError:
    """Return the refusal of a client of another version of the protocol."""
    message = (
        f"This server speaks version {PROTOCOL_VERSION} of the protocol, and this client version "
        f"{version}. Reload the page, or update the client."
    )
    return ProtocolError("unsupported_version", message)


def peek_event_id(text: str) -> str | None:
    """Return the `event_id` of a frame that may be invalid otherwise, for the error event."""
    try:
        value = _loose.validate_json(text).get("event_id")
    except ValidationError:
        value = _leniently(text).get("event_id")
    known = isinstance(value, str) and len(value) <= 200 and not _SURROGATE.search(value)
    return value if known else None


def _has_many_fields(event: dict[str, Any]) -> bool:
    return any(
        isinstance(part, dict) and len(part) > _MANY_FIELDS for part in (event, *event.values())
    )


def _leniently(text: str) -> dict[str, Any]:
    """Return the fields of a frame that is refused only for lone surrogates, which JavaScript
    writes and strict parsers refuse; {} for any other."""
    if not _ESCAPED_SURROGATE.search(text):
        return {}
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _broken_field(text: str) -> str | None:
    """Return the first field with a lone surrogate in its value or name, None if there is none."""
    for name, value in _leaves(_leniently(text)):
        if _SURROGATE.search(name + value):
            return _SURROGATE.sub("\ufffd", name)[:_PARAM_CHARS]
    return None


def _leaves(value: Any, name: str = "", depth: int = 3) -> Iterator[tuple[str, str]]:
    """Yield the names and text values of fields, those inside others with a dot (`a.b`)."""
    if isinstance(value, dict | list) and depth:
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in inner:
            yield from _leaves(each, f"{name}.{key}" if name else str(key), depth - 1)
    else:
        yield name, value if isinstance(value, str) else ""


def _explain(fault: Any) -> tuple[str, str | None]:
    kind, location = fault["type"], fault["loc"]
    if kind == "json_invalid":
        return f"The frame is not valid JSON: {fault['ctx']['error']}.", None
    if kind in ("union_tag_not_found", "union_tag_invalid") and not location:
        return f"`type` must be one of {', '.join(map(type_of, client_events()))}.", "type"
    if not location:
        return "The frame must be one JSON object.", None
    location = (*location, *(name for name in [fault.get("ctx", {}).get("param")] if name))
    param = ".".join(_names(location[1:]))[:_PARAM_CHARS] or None
    if kind == "extra_forbidden":
        return f"`{param}` is not a field of {location[0]}.", param
    if kind == "one_task":
        return f"{fault['msg']}.", "input"
    return f"`{param}`: {fault['msg'].removeprefix('Value error, ')}.", param


def _names(location: tuple[str | int, ...]) -> list[str]:
    """Return a field's place as clients know it: without the names that tell kinds of `input` and
    of its parts apart."""
    names = [str(name) for name in location]
    if names[:1] == ["input"]:
        return ["input", *(name for name in names[2:] if name not in _PART_TAGS)]
    return names
