"""Making a conversation shorter: what stands for it where all of it is too long.

System messages stay items. All other turns become one `compaction` item: the newest ones as they
are, and of those that do not fit beside them a summary, which the model makes, through the queue
like any other response, one part after the other.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from channels.layers import BaseChannelLayer

from streaming.api import served
from streaming.api.errors import ApiError, of_end, of_refusal
from streaming.api.responses import references, refusals, sealing
from streaming.api.responses.creating import asking_of, retry_after
from streaming.api.responses.requests import CompactRequest
from streaming.api.responses.turns import packed, turns_of
from streaming.delivery.subscription import Subscription
from streaming.engine.base import ChatMessage
from streaming.lifecycle import params
from streaming.protocol import ids
from streaming.protocol.items import CompactionItem, InputText, Item, MessageItem
from streaming.protocol.response_events import TERMINAL_TYPES
from streaming.protocol.response_resource import ResponseError, Usage
from streaming.protocol.sampling_params import Params
from streaming.protocol.thinking_params import ThinkingParams
from streaming.record import context
from streaming.record.tasks import Items, Requester
from streaming.waiting_list.interface import WaitingListError
from streaming.waiting_list.serving import model_details

_UNKNOWN_CONTEXT = 8_192
"""Tokens, where the model's server does not tell."""

_SUMMARY_TOKENS = 512
_MOST_PARTS = 32
"""Summaries that one request may ask for."""

_LEAST_CHARS = 500
"""Of a part: a shorter one is not tried where the model cannot read a longer one."""

_TOO_LONG = ("input_too_long", "context_length_exceeded")
_QUIET_SECONDS = 60.0

_MOST_SUMMARY_CHARS = 4_000
_BEFORE = "Summary of what came before:\n{summary}\n\n---\n\n"
SUMMARISE = "Summarise the conversation so far."
_ASK = (
    "Below is a part of a conversation. Write a summary that somebody can go on with who has not "
    "read it: facts, names, numbers, decisions, what was asked and is still open. Answer with the "
    "summary alone.\n\n"
)


class Compacting:
    """One request for a shorter conversation."""

    def __init__(
        self, layer: BaseChannelLayer, request: CompactRequest, requester: Requester
    ) -> None:
        self._layer = layer
        self._request = request
        self._requester = requester
        self._asked = self._answered = 0

    async def whole(self, request_id: UUID) -> dict[str, Any]:
        """Return the shorter conversation. Raises ApiError."""
        await served.find(self._layer, self._request.model)
        turns = await self._turns()
        details = await model_details(self._layer)
        context_tokens = int(details.get("context_tokens") or _UNKNOWN_CONTEXT)
        systems = [turn for turn in turns if turn.role == "system"]
        spoken = [turn for turn in turns if turn.role != "system"]
        begin = _first_kept(spoken, context_tokens // 2)
        kept = [_without_thought(turn) for turn in spoken[begin:]]
        if begin:
            summary = await self._summary(spoken[:begin], context_tokens)
            kept = [ChatMessage("user", SUMMARISE), ChatMessage("assistant", summary), *kept]
        sealed = sealing.seal("compaction", self._requester.owner, packed(kept))
        output: list[Item] = [_system_item(turn) for turn in systems]
        key = ids.wire_id(ids.COMPACTION, request_id)
        output.append(CompactionItem(id=key, encrypted_content=sealed))
        usage = Usage(
            input_tokens=self._asked,
            output_tokens=self._answered,
            total_tokens=self._asked + self._answered,
        )
        return {
            "id": ids.wire_id(ids.RESPONSE, request_id),
            "object": "response.compaction",
            "created_at": int(time.time()),
            "output": [item.model_dump(mode="json") for item in output],
            "usage": usage.model_dump(mode="json"),
        }

    async def _turns(self) -> list[ChatMessage]:
        """Return all turns: the instructions, those of the response that is followed, the new
        ones."""
        owner, request = self._requester.owner, self._request
        turns: list[ChatMessage] = []
        if request.previous_response_id is not None:
            key = ids.key_of(request.previous_response_id, ids.RESPONSE)
            row = await context.own_response(key, owner) if key else None
            if row is None or row.finished_at is None:
                raise refusals.previous_not_found(request.previous_response_id)
            turns += await context.said_until(row)
        given = await references.resolved(request.input, owner)
        turns += await turns_of(given, await asking_of(self._layer, self._requester))
        if not turns:
            text = "`input` or `previous_response_id` is required."
            raise ApiError(400, "missing_required_parameter", text, "input")
        return turns

    # --- the summary ---

    async def _summary(self, turns: Sequence[ChatMessage], context_tokens: int) -> str:
        """Return the model's summary of older turns."""
        written = "\n\n".join(map(_written, turns))
        size = max(_LEAST_CHARS, context_tokens * 2)
        summary, at = "", 0
        for _ in range(_MOST_PARTS):
            part = written[at : at + size]
            before = _BEFORE.format(summary=summary) if summary else ""
            try:
                summary = (await self._answer(_ASK + before + part))[:_MOST_SUMMARY_CHARS]
            except ApiError as error:
                if error.code not in _TOO_LONG or size <= _LEAST_CHARS:
                    raise
                size = max(_LEAST_CHARS, size // 2)
                continue
            at += len(part)
            if at >= len(written):
                return summary
        text = "The conversation is too long for this model to be summarised in one request."
        raise ApiError(400, "context_length_exceeded", text, "input")

    async def _answer(self, prompt: str) -> str:
        """Return the model's answer to a prompt of the server's, which nothing is kept of."""
        wanted = Params(max_tokens=_SUMMARY_TOKENS, truncation="disabled")
        details = await model_details(self._layer)
        resolved = params.resolve(wanted, details, thinking=ThinkingParams(reasoning_effort="none"))
        task = Items((ChatMessage("user", prompt),), stored=False)
        subscription = Subscription(self._layer)
        try:
            await subscription.begin(
                task, params=resolved, requester=self._requester, response_id=uuid4()
            )
        except WaitingListError as error:
            raise of_refusal(error.code, str(error), await retry_after(self._layer)) from None
        async for event in subscription.events(_QUIET_SECONDS):
            if event is not None and event["type"] in TERMINAL_TYPES:
                return await self._text_of(event["response"])
        raise AssertionError("the events ended without the last one")

    async def _text_of(self, response: dict[str, Any]) -> str:
        if response["status"] not in ("completed", "incomplete"):
            error = response["error"] and ResponseError.model_validate(response["error"])
            raise of_end(response["status"], error, await retry_after(self._layer))
        usage = response["usage"] or {}
        self._asked += usage.get("input_tokens", 0)
        self._answered += usage.get("output_tokens", 0)
        texts = [
            part["text"]
            for item in response["output"]
            if item["type"] == "message"
            for part in item["content"]
            if part["type"] == "output_text"
        ]
        if text := "".join(texts).strip():
            return text
        raise ApiError(500, "internal_error", "The model has made no summary. Try again.")


def _first_kept(turns: Sequence[ChatMessage], most_chars: int) -> int:
    """Return the number of the first of the newest turns that fit, all of one exchange together: a
    call is not without its result, nor an answer without its prompt."""
    kept, chars = len(turns), 0
    for number in range(len(turns) - 1, -1, -1):
        chars += len(_written(turns[number]))
        if chars > most_chars:
            break
        if turns[number].role == "user" or number == 0:
            kept = number
    return kept


def _without_thought(turn: ChatMessage) -> ChatMessage:
    return ChatMessage(turn.role, turn.content, turn.fields, "", turn.parts)


def _written(turn: ChatMessage) -> str:
    calls = [
        f"[calls {call['function'].get('name')}: {call['function'].get('arguments')}]"
        for call in turn.fields.get("tool_calls", ())
    ]
    return "\n".join([f"{turn.role}: {turn.content}", *calls])


def _system_item(turn: ChatMessage) -> MessageItem:
    return MessageItem(
        id=ids.wire_id(ids.MESSAGE, uuid4()),
        status="completed",
        role="developer" if turn.fields.get("author") == "developer" else "system",
        content=[InputText(text=turn.content)],
    )
