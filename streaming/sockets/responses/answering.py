"""One turn on the socket of `/v1/responses`, and which responses the socket can go on with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextvars import Context
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from channels.layers import BaseChannelLayer
from django.utils import timezone
from pydantic import ValidationError

from streaming.api.errors import ApiError, of_fault_in, of_refusal
from streaming.api.responses import refusals
from streaming.api.responses.creating import retry_after, task_of
from streaming.api.responses.requests import ResponseRequest
from streaming.api.responses.shown import Shown
from streaming.api.responses.turns import check_total
from streaming.lifecycle import accepting, forgetting
from streaming.lifecycle.resource import resource
from streaming.models import Response, Status
from streaming.monitoring import logs
from streaming.protocol import ids
from streaming.protocol.response_events import ResponseCompleted, ResponseCreated
from streaming.protocol.response_resource import ResponseExtension
from streaming.record.errors import RecordError
from streaming.record.tasks import Items, Requester
from streaming.sockets.response_views import ResponseViews
from streaming.sockets.responses.local_responses import LocalResponses, Prepared
from streaming.sockets.responses.response_writer import ResponseWriter, Told
from streaming.sockets.responses.turn_reader import TurnReader
from streaming.sockets.shielded import shielded
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import WaitingListError

logger = logging.getLogger(__name__)

MOST_LOCAL = 16
"""Maximum responses that a socket can go on with although they are not stored."""


class Answering:
    """Answers the requests of one socket, of which no two overlap."""

    def __init__(
        self, layer: BaseChannelLayer, views: ResponseViews, writer: ResponseWriter
    ) -> None:
        self.local = LocalResponses(MOST_LOCAL)
        self._layer = layer
        self._views = views
        self._writer = writer
        self._is_closed = False

    async def close(self) -> None:
        """Delete the responses that only this socket could go on with; an open one is cancelled."""
        self._is_closed = True
        self.local.clear()
        await self._forget()

    async def answer(
        self, fields: Mapping[str, Any], lane: str | None, requester: Requester
    ) -> None:
        """Answer a `response.create`, up to its last event. Raises ApiError.

        With a response that is refused, or fails, the one is forgotten that it was to follow.
        """
        previous = _key_of(fields.get("previous_response_id"))
        is_answered = False
        try:
            last = await self._answer(fields, lane, requester)
            is_answered = last["status"] != Status.FAILED
        finally:
            if previous and not is_answered:
                self.local.evict(previous)
        await self._forget()

    async def _answer(
        self, fields: Mapping[str, Any], lane: str | None, requester: Requester
    ) -> dict[str, Any]:
        request = _request_of(fields)
        previous = _key_of(request.previous_response_id)
        is_local = previous is not None and previous in self.local
        task, params = await task_of(self._layer, request, requester, follows_unstored=is_local)
        also: dict[str, Any] = {}
        if previous and (prepared := self.local.prepared(previous)):
            messages = prepared.turns + task.messages
            check_total(messages)
            task = replace(task, messages=messages, previous_id=prepared.previous_id)
            also["previous_response_id"] = ids.wire_id(ids.RESPONSE, previous)
        if fields.get("generate") is False:
            return await self._prepare(task, params, requester, lane, also)
        reader = TurnReader(self._layer, self._views, self._writer, lane=lane, also=also)
        response_id = uuid4()
        with logs.about(response_id):
            try:
                work = self._accept(task, params, requester, reader, response_id)
                await shielded(work)
            except WaitingListError as error:
                raise of_refusal(error.code, str(error), await retry_after(self._layer)) from None
            except RecordError as error:
                raise refusals.of_record(error, request) from None
            assert reader.told is not None
            return await reader.told.last

    async def _accept(
        self,
        task: Items,
        params: Mapping[str, Any],
        requester: Requester,
        reader: TurnReader,
        response_id: UUID,
    ) -> None:
        try:
            await accepting.accept(
                self._layer,
                task,
                params=params,
                requester=requester,
                reader=reader,
                response_id=response_id,
            )
        except Exception:
            await reader.leave()
            raise
        if not task.stored:
            self.local.keep(response_id)
            if self._is_closed:  # while it was accepted
                await self.close()

    async def _prepare(
        self,
        task: Items,
        params: Mapping[str, Any],
        requester: Requester,
        lane: str | None,
        also: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Answer a request without generating: the next one may follow it on this socket."""
        now = timezone.now()
        row = Response(
            owner=requester.owner,
            params=dict(params),
            instructions=task.instructions,
            request=dict(task.request),
            model=str(task.request.get("model", "")),
            stored=False,
            status=Status.COMPLETED,
            created_at=now,
            finished_at=now,
        )
        self.local.keep(row.pk, Prepared(task.messages, task.previous_id))
        told = Told(Shown(row), lane, also)
        self._writer.begin(told)
        done = resource(row).model_copy(update={"chatstream": ResponseExtension()})
        begun = done.model_copy(update={"status": Status.IN_PROGRESS, "completed_at": None})
        for event in (
            ResponseCreated(response_id=row.pk, response=begun),
            ResponseCompleted(response_id=row.pk, response=done),
        ):
            await self._writer.send_event(event)
        return await told.last

    async def _forget(self) -> None:
        """Delete the rows of what was forgotten, in a task that outlives this one."""
        if gone := self.local.take_forgotten():
            work = asyncio.create_task(self._delete(gone), context=Context())
            await asyncio.shield(work)

    async def _delete(self, response_ids: list[UUID]) -> None:
        for response_id in response_ids:
            try:
                await forgetting.forget_response(self._layer, str(response_id))
            except Exception as error:
                log_fault(logger, error, "The response %s is not deleted yet.", response_id)


def _request_of(fields: Mapping[str, Any]) -> ResponseRequest:
    """Return a checked request. Raises ApiError, which names the field that is wrong."""
    if not isinstance(fields.get("generate", True), bool | None):
        raise ApiError(400, "invalid_value", "`generate` is true or false.", "generate")
    try:
        return ResponseRequest.model_validate(fields)
    except ValidationError as error:
        raise of_fault_in(error.errors()[0]) from None


def _key_of(response_id: Any) -> UUID | None:
    return ids.key_of(response_id, ids.RESPONSE) if isinstance(response_id, str) else None
