"""Completions: from a request to a place in the queue, and from its events to an answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from uuid import UUID

from channels.layers import BaseChannelLayer
from pydantic import BaseModel

from streaming.api import served
from streaming.api.answers import Ended, Timings
from streaming.api.endings import End, is_end
from streaming.api.errors import ApiError, of_end, of_fault, of_refusal
from streaming.api.output_reader import OutputReader, fields_of
from streaming.api.sent_answer import SentAnswer
from streaming.api.sse import comment, data
from streaming.delivery.queue_position import QueuePosition
from streaming.delivery.subscription import Subscription
from streaming.delivery.viewers import Viewers
from streaming.engine.passed import Passed, add
from streaming.protocol import response_resource
from streaming.record.tasks import Requester, Task
from streaming.waiting_list.interface import WaitingListError

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 10.0
"""A stream is never silent for longer."""

_SETTLE_SECONDS = 1.0
"""So long the head of a stream may wait for the first word of what becomes of the request."""

_RETRY_SECONDS = 5
"""When nobody can tell when a place will be free."""

_MAX_RETRY_SECONDS = 60
"""The official client takes no longer wait for an answer."""


class Completion(ABC):
    """One request's answer, from its acceptance on. A subclass says what is asked, and in which
    form the answer is told; `id_prefix` and `chunk_object` are of that form."""

    id_prefix: str
    chunk_object: str

    def __init__(
        self, layer: BaseChannelLayer, model: str, response_id: UUID, *, include_usage: bool
    ) -> None:
        self._layer = layer
        self._asked_model = model
        self._id_to_be = response_id
        self._include_usage = include_usage
        self._subscription = Subscription(layer)
        self._position = QueuePosition(None, 0, 0)
        self._first: dict[str, Any] | None = None
        self._created = int(time.time())
        self._model = ""
        self._fingerprint: str | None = None
        self._tier: str | None = None  # by which a server behind has answered

    @abstractmethod
    async def _ask(self, requester: Requester) -> tuple[Task, dict[str, Any]]:
        """Return what is asked, and its parameters as the record keeps them. Raises ApiError."""

    @abstractmethod
    def _whole(self, end: End, passed: Passed) -> BaseModel:
        """Return a complete answer in one piece; `passed` is what came besides its text."""

    @property
    @abstractmethod
    def _opening(self) -> dict[str, Any]:
        """Return what a stream begins with, as `_choice` takes it."""

    @abstractmethod
    def _choice(self, said: Mapping[str, Any], logprobs: Mapping[str, Any] | None) -> Any:
        """Return the choice of a chunk for new words, by the names of a chat completion's delta."""

    @property
    def response_id(self) -> UUID:
        """Return the id of the response, once it has a place."""
        return self._subscription.response.pk

    async def begin(self, requester: Requester) -> None:
        """Get a place, or raise ApiError: nothing was sent yet."""
        self._model = (await served.find(self._layer, self._asked_model)).id
        self._fingerprint = await served.fingerprint(self._layer)
        task, params = await self._ask(requester)
        try:
            self._position = await self._subscription.begin(
                task, params=params, requester=requester, response_id=self._id_to_be
            )
        except WaitingListError as error:
            raise of_refusal(error.code, str(error), await self._retry_after()) from None

    async def settle(self) -> None:
        """Wait a moment for what comes first: what fails at once is told by a status, also where a
        stream was asked for. Raises ApiError."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                self._first = await self._subscription.next_event()
        if self._first and is_end(self._first):
            await self._check(End.of(self._first))

    async def _check(self, end: End) -> None:
        """Raise ApiError unless there is an answer."""
        if not end.is_answer:
            resource = end.resource
            raise of_end(resource.status, resource.error, await self._retry_after())

    def _events(self) -> AsyncIterator[dict[str, Any] | None]:
        return self._subscription.events(KEEP_ALIVE_SECONDS, self._first)

    async def _retry_after(self) -> int:
        seconds = await Viewers.here(self._layer).queue_status.next_place()
        return min(_MAX_RETRY_SECONDS, math.ceil(seconds or _RETRY_SECONDS))

    # --- in one piece ---

    async def whole(self) -> BaseModel:
        """Return the answer when it is complete. Raises ApiError if it fails."""
        end, passed = await self._until_end()
        await self._check(end)
        return self._whole(end, passed)

    async def _until_end(self) -> tuple[End, Passed]:
        """Return the end, and all that came besides the text: the end does not say it all."""
        reader, passed = OutputReader(), Passed()
        async for event in self._events():
            if event is None:
                continue
            if event["type"] == "response.in_progress":
                passed = {}
            elif is_end(event):
                end = End.of(event)
                self._tier = passed.get("service_tier")
                return end, {**passed, **end.passed}
            for said in reader.read(event):
                add(passed, fields_of(said))
        raise AssertionError("the events ended without the last one")

    # --- in pieces ---

    async def stream(self) -> AsyncIterator[str]:
        """Yield server-sent events. What fails from here on is told in one of them."""
        try:
            async for text in self._stream():
                yield text
        except ApiError as error:
            yield data(error.body)
        except Exception as error:
            logger.exception("The stream of %s failed.", self._id)
            yield data(of_fault(error).body)

    async def _stream(self) -> AsyncIterator[str]:
        reader, sent = OutputReader(), SentAnswer()
        place = self._place(self._position._asdict())
        if place["position"] is not None:
            yield comment(place)
        yield self._chunk(self._opening, place)
        async for event in self._events():
            if event is None:
                yield comment(place)
            elif event["type"] == "chatstream:queue_position":
                place = self._place(event)
                yield comment(place) + self._chunk({"content": ""}, place)
            elif is_end(event):
                end = End.of(event)
                for said, logprobs in sent.complete(end):
                    yield self._chunk(said, logprobs=logprobs)
                await self._check(end)
                self._tier = sent.passed.get("service_tier")
                for last in self._last(end, sent.passed):
                    yield last
            else:
                if event["type"] == "response.in_progress":
                    place = self._place({})
                    sent.begin()
                for part in reader.read(event):
                    for said, logprobs in sent.take(part):
                        yield self._chunk(said, logprobs=logprobs)

    def _last(self, end: End, passed: Passed) -> Iterator[str]:
        yield self._chunk({}, self._end_of(end).model_dump(), end.finish_reason)
        if self._include_usage:
            usage = end.usage(passed).model_dump()
            yield data({**self._head(), "choices": [], "usage": usage})
        yield "data: [DONE]\n\n"

    def _chunk(
        self,
        said: Mapping[str, Any],
        extension: dict[str, Any] | None = None,
        finish_reason: str | None = None,
        logprobs: Mapping[str, Any] | None = None,
    ) -> str:
        choice = {**self._choice(said, logprobs), "finish_reason": finish_reason}
        chunk = {**self._head(), "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        if extension is not None:
            chunk["chatstream"] = extension
        return data(chunk)

    # --- what both have ---

    def _head(self) -> dict[str, Any]:
        return {"id": self._id, "object": self.chunk_object, **self._origin()}

    def _origin(self) -> dict[str, Any]:
        """Return when the answer was asked for, and of whom."""
        origin = {
            "created": self._created,
            "model": self._model,
            "system_fingerprint": self._fingerprint,
        }
        return {**origin, "service_tier": self._tier} if self._tier else origin

    @property
    def _id(self) -> str:
        return f"{self.id_prefix}-{self.response_id}"

    def _place(self, told: Mapping[str, Any]) -> dict[str, Any]:
        place = {name: told.get(name) for name in ("position", "size", "eta_seconds")}
        return {"response_id": str(self.response_id), **place}

    def _end_of(self, end: End) -> Ended:
        told = end.resource.chatstream
        known = (told.timings or response_resource.Timings()).model_dump()
        timings = Timings.model_validate({**known, "total_ms": known["total_ms"] or 0})
        return Ended(
            response_id=str(self.response_id),
            timings=timings,
            trimmed_messages=told.trimmed_messages,
        )
