"""What the OpenAPI document says of `/v1/responses` beyond its models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from streaming.protocol.items import Item
from streaming.protocol.response_resource import ResponseResource, Usage


class Deleted(BaseModel):
    """A response that is gone."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class ItemList(BaseModel):
    """Items, page by page."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Compaction(BaseModel):
    """A conversation that has become shorter: pass `output` as the `input` of what follows."""

    id: str
    object: Literal["response.compaction"] = "response.compaction"
    created_at: int
    output: list[Item]
    usage: Usage


class ShownResponse(ResponseResource):
    """A response as `/v1/responses` shows it."""

    conversation: dict[str, str] | None = None
    user: str | None = None


_REF = "#/components/schemas/{model}"
_RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}

_STREAM = {
    "text/event-stream": {
        "schema": {
            "type": "string",
            "description": "The events of Open Responses, each an `event:` and a `data:` line; at "
            "last `data: [DONE]`. While it waits, `response.queued` and "
            "`chatstream:queue_position` tell the place in the queue.",
        }
    }
}
REFUSALS: dict[int, Any] = {
    429: {
        "description": "Too many requests: `rate_limit_exceeded`; `chatstream.code` says which "
        "bound: `queue_full`, `user_limit` or `address_limit`.",
        "headers": {"Retry-After": _RETRY_AFTER},
    },
    503: {"headers": {"Retry-After": _RETRY_AFTER}},
}
STREAMED: dict[str, Any] = {"responses": {200: {"content": _STREAM}, **REFUSALS}}
