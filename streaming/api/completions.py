"""Chat completions: from a request to a place in the queue, and from its events to an answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

from channels.layers import BaseChannelLayer

from streaming.api import beside, passing, served
from streaming.api.answers import (
    ChatCompletion,
    Choice,
    Ended,
    Timings,
)
from streaming.api.endings import FINISH_REASONS, done_of, finish_reason_of, usage_of
from streaming.api.errors import ApiError, of_end, of_fault, of_refusal
from streaming.api.requests import ChatCompletionRequest, messages_of, params_of
from streaming.api.sent_text import SentText, SentThought
from streaming.api.sse import comment, data
from streaming.delivery.queue_position import QueuePosition
from streaming.delivery.subscription import Subscription
from streaming.delivery.viewers import Viewers
from streaming.engine.passed import Passed, add
from streaming.protocol.server_events import ResponseDone
from streaming.record.tasks import History, Requester
from streaming.waiting_list.interface import WaitingListError
from streaming.waiting_list.serving import model_details

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 10.0
"""A stream is never silent for longer."""

_SETTLE_SECONDS = 1.0
"""So long the head of a stream may wait for the first word of what becomes of the request."""

_RETRY_SECONDS = 5
"""When nobody can tell when a place will be free."""

_MAX_RETRY_SECONDS = 60
"""The official client takes no longer wait for an answer."""


class Completion:
    """One request's answer, from its acceptance on."""

    def __init__(
        self, layer: BaseChannelLayer, request: ChatCompletionRequest, response_id: UUID
    ) -> None:
        self._id_to_be = response_id
        self._request = request
        self._subscription = Subscription(layer)
        self._layer = layer
        self._created = int(time.time())
        self._model = ""
        self._position = QueuePosition(None, 0, 0)
        self._first: dict[str, Any] | None = None
        self._trimmed = 0

    @property
    def response_id(self) -> UUID:
        """Return the id of the response, once it has a place."""
        return self._subscription.response.pk

    async def begin(self, requester: Requester) -> None:
        """Get a place, or raise ApiError: nothing was sent yet."""
        model = await served.find(self._layer, self._request.model)
        self._model = model.id
        to_server = await served.is_upstream(self._layer)
        passed = passing.passed_on(self._request, to_server=to_server)
        messages = messages_of(self._request, to_server=to_server)
        params = params_of(self._request, await model_details(self._layer))
        if passed is not None:
            params["passed"] = passed
        try:
            self._position = await self._subscription.begin(
                History(tuple(messages)),
                params=params,
                requester=requester,
                response_id=self._id_to_be,
            )
        except WaitingListError as error:
            raise of_refusal(error.code, str(error), await self._retry_after()) from None

    async def settle(self) -> None:
        """Wait a moment for what comes first: what fails at once is told by a status, also where a
        stream was asked for. Raises ApiError."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                self._first = await self._subscription.next_event()
        if self._first and self._first["type"] == "response.done":
            await self._check(done_of(self._first))

    async def _check(self, done: ResponseDone) -> None:
        """Raises ApiError unless there is an answer."""
        if done.status not in FINISH_REASONS:
            raise of_end(done.status, done.error, await self._retry_after())

    async def _events(self) -> AsyncIterator[dict[str, Any] | None]:
        async for event in self._subscription.events(KEEP_ALIVE_SECONDS, self._first):
            if event and event["type"] == "response.in_progress":
                self._trimmed = event["trimmed_messages"]
            yield event

    async def _retry_after(self) -> int:
        seconds = await Viewers.here(self._layer).queue_status.next_place()
        return min(_MAX_RETRY_SECONDS, math.ceil(seconds or _RETRY_SECONDS))

    # --- in one piece ---

    async def whole(self) -> ChatCompletion:
        """The answer when it is complete. Raises ApiError if it fails."""
        done, passed = await self._until_done()
        await self._check(done)
        choice = Choice(
            message=beside.message_of(done.text, done.reasoning, passed),
            finish_reason=finish_reason_of(done),
            logprobs=passed.get("logprobs"),
        )
        return ChatCompletion(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=[choice],
            usage=usage_of(done, passed),
            chatstream=Ended.model_validate(self._end_of(done)),
        )

    async def _until_done(self) -> tuple[ResponseDone, Passed]:
        passed: Passed = {}
        async for event in self._events():
            if event is None:
                continue
            if event["type"] == "response.in_progress":
                passed = {}
            elif event["type"] == "response.passed.delta":
                add(passed, event["fields"])
            elif event["type"] == "response.done":
                done = done_of(event)
                return done, {**passed, **(done.passed or {})}
        raise AssertionError("the events ended without a response.done")

    # --- in pieces ---

    async def stream(self) -> AsyncIterator[str]:
        """Server-sent events. What fails from here on is told in one of them."""
        try:
            async for text in self._stream():
                yield text
        except ApiError as error:
            yield data(error.body)
        except Exception as error:
            logger.exception("The stream of %s failed.", self._id)
            yield data(of_fault(error).body)

    async def _stream(self) -> AsyncIterator[str]:
        answer, thought, passed = SentText(), SentThought(), beside.Beside()
        place = self._place(self._position._asdict())
        if place["position"] is not None:
            yield comment(place)
        yield self._chunk({"role": "assistant", "content": ""}, place)
        async for event in self._events():
            if event is None:
                yield comment(place)
            elif event["type"] == "response.queue_position":
                place = self._place(event)
                yield comment(place) + self._chunk({"content": ""}, place)
            elif event["type"] == "response.in_progress":
                place = self._place({})
                passed.begin()
            elif event["type"] == "response.passed.delta":
                if new := passed.add(event["fields"]):
                    yield self._passed_chunk(new)
            elif event["type"] == "response.reasoning_text.delta":
                if text := thought.add(event["delta"], event["offset"]):
                    yield self._chunk({"reasoning_content": text})
            elif event["type"] == "response.output_text.delta":
                if text := answer.add(event["delta"], event["offset"]):
                    yield self._chunk({"content": text})
            elif event["type"] == "response.done":
                done = done_of(event)
                if new := passed.complete(done.passed):
                    yield self._passed_chunk(new)
                if done.reasoning and (text := thought.add(done.reasoning, 0)):
                    yield self._chunk({"reasoning_content": text})
                if done.text and (text := answer.add(done.text, 0)):
                    yield self._chunk({"content": text})
                await self._check(done)
                for last in self._last(done, done.passed or {}):
                    yield last

    def _passed_chunk(self, new: Mapping[str, Any]) -> str:
        delta = {name: new[name] for name in beside.DELTAS if name in new}
        return (
            self._chunk(delta, logprobs=new.get("logprobs")) if delta or "logprobs" in new else ""
        )

    def _last(self, done: ResponseDone, passed: Passed) -> list[str]:
        texts = [self._chunk({}, self._end_of(done), finish_reason_of(done))]
        if self._request.include_usage:
            usage = usage_of(done, passed).model_dump()
            texts.append(data({**self._head(), "choices": [], "usage": usage}))
        return [*texts, "data: [DONE]\n\n"]

    def _chunk(
        self,
        delta: dict[str, Any],
        extension: dict[str, Any] | None = None,
        finish_reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}
        chunk = {**self._head(), "choices": [choice]}
        if self._request.include_usage:
            chunk["usage"] = None
        if extension is not None:
            chunk["chatstream"] = extension
        return data(chunk)

    def _head(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }

    @property
    def _id(self) -> str:
        return f"chatcmpl-{self.response_id}"

    def _place(self, told: dict[str, Any]) -> dict[str, Any]:
        place = {name: told.get(name) for name in ("position", "size", "eta_seconds")}
        return {"response_id": str(self.response_id), **place}

    def _end_of(self, done: ResponseDone) -> dict[str, Any]:
        timings = Timings(**done.timings.model_dump())
        return {
            "response_id": str(self.response_id),
            "timings": timings.model_dump(),
            "trimmed_messages": self._trimmed,
        }
