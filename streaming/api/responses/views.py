"""The operations of `/v1/responses`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from typing import Any

from channels.layers import get_channel_layer
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router

from streaming.api.answers import ErrorBody
from streaming.api.errors import ApiError
from streaming.api.middleware import response_id_of
from streaming.api.replies import private, requester_of
from streaming.api.responses import compacting, input_items, refusals
from streaming.api.responses.documented import (
    REFUSALS,
    STREAMED,
    Compaction,
    Deleted,
    ItemList,
    ShownResponse,
)
from streaming.api.responses.queries import ItemsQuery, ResponseQuery
from streaming.api.responses.reading import SILENT_SECONDS, Creation, Reading, Revisit, slowly
from streaming.api.responses.requests import CompactRequest, ResponseRequest
from streaming.api.responses.shown import Shown
from streaming.lifecycle import ending, forgetting
from streaming.models import Response
from streaming.protocol import ids
from streaming.record import context
from streaming.record.errors import RecordError

router = Router(tags=["responses"])

_LAST_WORD_SECONDS = 5.0
"""So long the one who runs a cancelled response may take to write its end."""

_LOOK_SECONDS = 0.05

_ERRORS: Any = (400, 401, 404, 413, 415, 429, 500, 503, 504)
_READ_ERRORS: Any = (400, 401, 404, 500, 503)


@router.post(
    "",
    operation_id="createResponse",
    summary="Answer a text, or items",
    response={200: ShownResponse, _ERRORS: ErrorBody},
    openapi_extra=STREAMED,
)
async def create_response(request: HttpRequest, body: ResponseRequest) -> HttpResponseBase:
    """One JSON object; with `stream`, server-sent events; with `background`, an object at once
    whose `status` is `queued`, to be asked for again.

    A stream is never silent for more than 10 seconds: comments fill it. What fails within its first
    second is a status, as without `stream`; what fails later is `response.failed`. An object that
    takes longer than 25 seconds is sent after white space, so that proxies keep the connection: its
    HTTP status is 200 then, and its own `status` says what became of it."""
    creation = Creation(get_channel_layer(), body, response_id_of(request))
    await creation.begin(requester_of(request))
    response: HttpResponseBase
    if body.stream:
        await creation.settle()
        response = _streamed(creation)
    elif body.background:
        response = _json(creation.shown.resource())
    else:
        response = await _whole(creation.whole())
    response["X-Response-Id"] = str(creation.row.pk)
    return response


async def _whole(work: Coroutine[Any, Any, dict[str, Any]]) -> HttpResponseBase:
    """Return an object when it is there, or after some seconds an answer that begins with white
    space."""
    whole = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait([whole], timeout=SILENT_SECONDS)
    except asyncio.CancelledError:
        whole.cancel()
        raise
    if done:
        return _json(whole.result())
    body = slowly(whole)
    return private(StreamingHttpResponse(body, content_type="application/json"))


@router.post(
    "/compact",
    operation_id="compactResponse",
    summary="Shorten a conversation",
    response={200: Compaction, _ERRORS: ErrorBody},
    openapi_extra={"responses": REFUSALS},
)
async def compact_response(request: HttpRequest, body: CompactRequest) -> HttpResponseBase:
    """What stands for a conversation where that is too long: system messages as they are, and a
    `compaction` item. It has the newest turns word by word, and of what does not fit beside them a
    summary, which the model makes. Nobody else can read or make such an item."""
    compaction = compacting.Compacting(get_channel_layer(), body, requester_of(request))
    return await _whole(compaction.whole(response_id_of(request)))


@router.get(
    "/{response_id}/input_items",
    operation_id="listInputItems",
    summary="What a response was asked",
    response={200: ItemList, _READ_ERRORS: ErrorBody},
)
async def list_input_items(
    request: HttpRequest, response_id: str, query: Query[ItemsQuery]
) -> HttpResponse:
    """The items of its input and of all that it follows, the newest first unless `order` is
    `asc`."""
    row = await _own(request, response_id)
    page = await input_items.page(row, limit=query.limit, order=query.order, after=query.after)
    return _json(page)


@router.get(
    "/{response_id}",
    operation_id="retrieveResponse",
    summary="One response",
    response={200: ShownResponse, _READ_ERRORS: ErrorBody},
    openapi_extra=STREAMED,
)
async def retrieve_response(
    request: HttpRequest, response_id: str, query: Query[ResponseQuery]
) -> HttpResponseBase:
    """As it is now. With `stream`, its events after `starting_after`, up to the last one, whether
    it runs or has ended; some minutes after its end, the last one alone."""
    row = await _own(request, response_id)
    if not query.stream:
        if query.starting_after is not None:
            text = "`starting_after` goes with `stream=true`."
            raise ApiError(400, "invalid_value", text, "starting_after")
        return _json(Shown(row, query.included).resource())
    revisit = Revisit(
        get_channel_layer(), query.included, obfuscates=bool(query.include_obfuscation)
    )
    await revisit.begin(row, query.starting_after or 0)
    return _streamed(revisit)


@router.delete(
    "/{response_id}",
    operation_id="deleteResponse",
    summary="Delete a response",
    response={200: Deleted, _READ_ERRORS: ErrorBody},
)
async def delete_response(request: HttpRequest, response_id: str) -> HttpResponse:
    """One that waits or runs is ended first. What follows it keeps all that it follows."""
    row = await _own(request, response_id)
    await forgetting.forget_response(get_channel_layer(), str(row.pk))
    return _json(Deleted(id=ids.wire_id(ids.RESPONSE, row.pk)).model_dump())


@router.post(
    "/{response_id}/cancel",
    operation_id="cancelResponse",
    summary="Cancel a response",
    response={200: ShownResponse, _READ_ERRORS: ErrorBody},
)
async def cancel_response(request: HttpRequest, response_id: str) -> HttpResponse:
    """Of any response that waits or runs, `background` or not. One that has ended stays as it
    is."""
    row = await _own(request, response_id)
    return _json(await cancelled(row))


async def cancelled(row: Response) -> dict[str, Any]:
    """Cancel a response; return it as it is when it has ended, which may be as something else."""
    layer = get_channel_layer()
    with contextlib.suppress(RecordError):  # it has ended
        await ending.cancel(layer, str(row.pk), row.owner)
    ended = await _when_ended(row)
    return Shown(ended).resource()


async def _when_ended(row: Response) -> Response:
    """Return the row when whoever runs the response has written its end; as it is after some
    seconds."""
    owner, until = row.owner, asyncio.get_running_loop().time() + _LAST_WORD_SECONDS
    while row.finished_at is None and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(_LOOK_SECONDS)
        found: Response | None = await context.own_response(row.pk, owner)
        row = found or row
    return row


async def _own(request: HttpRequest, response_id: str) -> Response:
    """Return the client's own stored response. Raises ApiError 404."""
    key = ids.key_of(response_id, ids.RESPONSE)
    owner = requester_of(request).owner
    row: Response | None = await context.own_response(key, owner) if key else None
    if row is None:
        raise refusals.response_not_found(response_id)
    return row


def _json(body: dict[str, Any]) -> HttpResponse:
    return private(HttpResponse(json.dumps(body), content_type="application/json"))


def _streamed(reading: Reading) -> StreamingHttpResponse:
    content_type = "text/event-stream; charset=utf-8"
    response = StreamingHttpResponse(reading.stream(), content_type=content_type)
    return private(response)
