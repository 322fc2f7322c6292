"""Frames of the WebSocket: events as JSON, in both directions."""

from __future__ import annotations

import contextlib
import json
from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from streaming.client.errors import ChatError
from streaming.protocol.base import PROTOCOL_VERSION
from streaming.protocol.events import ServerEvent
from streaming.protocol.items import item_models
from streaming.protocol.response_events import TERMINAL_TYPES, LaterEvent
from streaming.protocol.server_events import ErrorEvent

MAX_SENT_BYTES = 2**20
"""Maximum size of a sent frame: at a larger one the server closes the connection."""

_TYPES = {model.model_fields["type"].default for model in get_args(ServerEvent)}
_ITEM_TYPES = {model.model_fields["type"].default for model in item_models()}
_server_event: TypeAdapter[ServerEvent] = TypeAdapter(
    Annotated[ServerEvent, Field(discriminator="type")]
)


def frame_of(event: BaseModel) -> str:
    """Return an event as JSON. Fields that were not set are absent, which differs from null."""
    return event.model_dump_json(exclude_unset=True)


def parse_server_event(frame: str | bytes) -> ServerEvent | LaterEvent | None:
    """Return the event of a frame. Raises ChatError (`bad_server`) for a frame that is none.

    Of an event that this client does not know, only its number is returned, None without one.
    """
    try:
        return _server_event.validate_json(frame)
    except ValidationError as error:
        with contextlib.suppress(ValueError, RecursionError, LookupError, TypeError):
            event = json.loads(frame)
            if isinstance(event, dict) and isinstance(event.get("type"), str):
                if event["type"] == "error":
                    return _unknown_error(event)
                if event["type"] == "session.created":
                    version = event.get("protocol_version")
                    raise other_version(str(version)[:20]) from None
                if event["type"] not in _TYPES or _is_later(event.get("item")):
                    return _later_event(event)
                if event["type"] in TERMINAL_TYPES and _drop_later_items(event):
                    return _server_event.validate_python(event)
        fault = error.errors(include_url=False, include_input=False)[0]
        raise ChatError("bad_server", f"The server sent what is no event: {fault['msg']}") from None


def _is_later(item: Any) -> bool:
    """Return whether this is an item of a kind that this client does not know."""
    kind = item.get("type") if isinstance(item, dict) else None
    return isinstance(kind, str) and kind not in _ITEM_TYPES


def _drop_later_items(event: dict[str, Any]) -> bool:
    """Take the items that this client does not know out of an event's response; return whether
    there are any."""
    output = event["response"]["output"]
    known = [item for item in output if not _is_later(item)]
    event["response"]["output"] = known
    return len(known) < len(output)


def _later_event(event: dict[str, Any]) -> LaterEvent | None:
    with contextlib.suppress(ValidationError):
        return LaterEvent.model_validate(event)
    return None


def _unknown_error(event: dict[str, Any]) -> ErrorEvent:
    """Return an error whose code is newer than this client."""
    known = ErrorEvent.model_validate({**event, "code": "internal_error"})
    return known.model_copy(update={"code": str(event.get("code"))})


def other_version(version: int | str) -> ChatError:
    """Return the error of a server that speaks another version of the protocol."""
    message = f"The server speaks version {version} of the protocol"
    return ChatError("bad_server", f"{message}, this client {PROTOCOL_VERSION}.")


def error_of(event: ErrorEvent, *, passing: bool = False) -> ChatError:
    """Return the exception for an `error` event; `passing` marks one that is worth another try."""
    return ChatError(event.code, event.message, event.param, event.response_id, passing=passing)
