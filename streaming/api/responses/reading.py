"""One client's reading of one response over HTTP: a place in the queue, and from the events to what
the client reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from channels.layers import BaseChannelLayer

from streaming.api.errors import ApiError, of_end, of_fault, of_refusal
from streaming.api.responses import refusals
from streaming.api.responses.creating import retry_after, task_of
from streaming.api.responses.requests import ResponseRequest
from streaming.api.responses.shown import Shown
from streaming.api.sse import event as sse_event
from streaming.delivery.queue_position import QueuePosition
from streaming.delivery.subscription import Subscription
from streaming.lifecycle.resource import resource
from streaming.models import Response
from streaming.protocol import ids
from streaming.protocol.response_events import TERMINAL_TYPES, ResponseCreated, ResponseQueued
from streaming.protocol.response_resource import ResponseError
from streaming.record.errors import RecordError
from streaming.record.tasks import Requester
from streaming.waiting_list.interface import State, WaitingListError

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 10.0
"""A stream is never silent for longer."""

SILENT_SECONDS = 25.0
"""So long a plain request waits for its answer in silence, and may still end with a status. Then
its status is sent, and white space before the JSON keeps the connection open: proxies close one on
which nothing comes for 30 to 100 seconds."""

_SETTLE_SECONDS = 1.0
"""So long the head of a stream may wait for the first word of what becomes of the request."""

_ANSWERS = ("completed", "incomplete")


class NoAnswer(ApiError):
    """A response that failed, or was cancelled; `shown` is how it is shown."""

    def __init__(self, error: ApiError, shown: dict[str, Any]) -> None:
        super().__init__(error.status, error.code, error.message, error.param, error.headers)
        self.shown = shown


async def slowly(whole: asyncio.Future[dict[str, Any]]) -> AsyncIterator[str]:
    """Yield white space until an object is there, then its JSON. The status is sent already: a
    response without an answer is shown as it is."""
    try:
        while not whole.done():
            yield "\n"
            await asyncio.wait([whole], timeout=KEEP_ALIVE_SECONDS)
        try:
            yield json.dumps(whole.result())
        except NoAnswer as error:
            yield json.dumps(error.shown)
        except ApiError as error:
            yield json.dumps(error.body)
        except Exception as error:
            logger.exception("A request failed while its client waited.")
            yield json.dumps(of_fault(error).body)
    finally:
        whole.cancel()


class Reading:
    """One client's reading of one response, over HTTP."""

    def __init__(self, layer: BaseChannelLayer, subscription: Subscription) -> None:
        self._layer = layer
        self._subscription = subscription
        self._position = QueuePosition(None, 0, 0)
        self._first: dict[str, Any] | None = None
        self._shown: Shown | None = None
        self._opens = True

    @property
    def row(self) -> Response:
        """Return the row as it was accepted, or resumed."""
        return self._subscription.response

    @property
    def shown(self) -> Shown:
        """Return how the response is shown."""
        assert self._shown is not None
        return self._shown

    async def settle(self) -> None:
        """Wait a moment for what comes first: what fails at once is told by a status, also where a
        stream was asked for. Raises ApiError."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                self._first = await self._subscription.next_event()
        if self._first and self._first["type"] in TERMINAL_TYPES:
            await self._check(self._first["response"])

    async def _check(self, response: dict[str, Any]) -> None:
        """Raise ApiError unless there is an answer."""
        if response["status"] not in _ANSWERS:
            error = response["error"] and ResponseError.model_validate(response["error"])
            raise of_end(response["status"], error, await retry_after(self._layer))

    def _events(self) -> AsyncIterator[dict[str, Any] | None]:
        return self._subscription.events(KEEP_ALIVE_SECONDS, self._first)

    # --- in one piece ---

    async def whole(self) -> dict[str, Any]:
        """Return the response when it has ended. Raises ApiError if there is no answer."""
        response = self.shown.complete(await self._ended())
        try:
            await self._check(response)
        except ApiError as error:
            raise NoAnswer(error, response) from None
        return response

    async def _ended(self) -> dict[str, Any]:
        async for event in self._events():
            if event is None:
                continue
            if event["type"] in TERMINAL_TYPES:
                response: dict[str, Any] = event["response"]
                return response
            self.shown.event(event)
        raise AssertionError("the events ended without the last one")

    # --- in pieces ---

    async def stream(self) -> AsyncIterator[str]:
        """Yield server-sent events. What fails from here on is told in one of them."""
        try:
            async for text in self._stream():
                yield text
        except Exception as error:
            logger.exception("The stream of %s failed.", self.row.pk)
            body = of_fault(error).body["error"]
            yield sse_event({"type": "error", "sequence_number": 0, **body, "error": body})
        yield "data: [DONE]\n\n"

    async def _stream(self) -> AsyncIterator[str]:
        if self._opens:
            for opening in self._opening():
                yield sse_event(opening)
        async for event in self._events():
            if event is None:
                yield ": keep-alive\n\n"
            elif (said := self.shown.event(event)) is not None:
                yield sse_event(said)

    def _opening(self) -> list[dict[str, Any]]:
        """Return how the response stands: it is accepted, and has its place if it waits."""
        row = self.row
        told = resource(row, model=(row.request or {}).get("model", ""))
        told = told.model_copy(update={"output": []})
        created = ResponseCreated(response_id=row.pk, response=told)
        opening = [created.model_dump(mode="json")]
        if self._subscription.state in (State.WAITING, State.HELD):
            queued = ResponseQueued(
                response_id=row.pk,
                response=told,
                conversation_id=row.conversation_id,
                **self._position._asdict(),
            )
            opening.append(queued.model_dump(mode="json"))
        return [{**event, "response": self.shown.complete(event["response"])} for event in opening]


class Creation(Reading):
    """A request for a new response, and the reading of it."""

    def __init__(
        self, layer: BaseChannelLayer, request: ResponseRequest, response_id: UUID
    ) -> None:
        super().__init__(layer, Subscription(layer, owns=not request.background))
        self._request = request
        self._id_to_be = response_id

    async def begin(self, requester: Requester) -> None:
        """Get a place, or raise ApiError: nothing was sent yet."""
        task, params = await task_of(self._layer, self._request, requester)
        try:
            self._position = await self._subscription.begin(
                task, params=params, requester=requester, response_id=self._id_to_be
            )
        except WaitingListError as error:
            raise of_refusal(error.code, str(error), await retry_after(self._layer)) from None
        except RecordError as error:
            raise refusals.of_record(error, self._request) from None
        options = self._request.stream_options
        obfuscates = bool(options and options.include_obfuscation)
        self._shown = Shown(self.row, obfuscates=obfuscates)


class Revisit(Reading):
    """The reading of a response that was asked for before, from event `after` + 1 on."""

    def __init__(
        self, layer: BaseChannelLayer, include: tuple[str, ...] = (), *, obfuscates: bool = False
    ) -> None:
        super().__init__(layer, Subscription(layer, owns=False))
        self._include = include
        self._obfuscates = obfuscates

    async def begin(self, row: Response, after: int) -> None:
        """Subscribe to the response's events. Raises ApiError."""
        self._opens = after == 0
        try:
            self._position = await self._subscription.resume(row.pk, row.owner, after)
        except WaitingListError as error:
            raise of_refusal(error.code, str(error), await retry_after(self._layer)) from None
        except RecordError:
            raise refusals.response_not_found(ids.wire_id(ids.RESPONSE, row.pk)) from None
        self._shown = Shown(self.row, self._include, obfuscates=self._obfuscates)
