"""Answers one request, from its beginning to its end, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from streaming.engine.base import (
    ChatMessage,
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    Started,
)
from streaming.engine.upstream import faults, parts, refusals, text_request
from streaming.engine.upstream.attempt import Attempt
from streaming.engine.upstream.backoff import Backoff
from streaming.engine.upstream.chat_request import ADVICE
from streaming.engine.upstream.context_fit import ContextFit
from streaming.engine.upstream.dialect import asked_of, complained_of
from streaming.engine.upstream.faults import FaultKind, UpstreamFault
from streaming.engine.upstream.host import Upstream
from streaming.engine.upstream.query import Api, Query
from streaming.engine.upstream.relay import AnswerRelay

logger = logging.getLogger("streaming.engine.upstream")

_BREAKS = 1  # a stream that breaks is taken up again so many times
_REFUSALS = 4  # a server may complain of one field after the other


class UpstreamAnswer:
    """Answers `request` by `upstream`; says everything through `emit`, with a Finished at the end
    whatever happens."""

    def __init__(
        self,
        request: GenerationRequest,
        upstream: Upstream,
        emit: Callable[[EngineEvent], None],
    ) -> None:
        self._id = request.response_id
        self._params = request.params
        self._thinking = request.thinking
        self._is_raw = request.raw
        self._fit = ContextFit(request)
        begun = self._fit.begun
        self._begun, self._has_thought = begun.content, bool(begun.reasoning)
        is_cut = self._has_thought and not self._begun  # in its thought
        self._relay = AnswerRelay(request, emit, goes_on_thinking=is_cut)
        self._upstream = upstream
        self._emit = emit
        self._prompt_tokens = 0
        self._started = False
        self._anew = False
        self._is_bounded_there = True
        self._breaks = 0
        self._refusals = 0
        self._left_out: set[str] = set()
        self._missing: set[Api] = set()  # APIs that the server does not have
        self._backoff = Backoff(upstream.patience_seconds, upstream.pause_seconds)

    async def run(self) -> None:
        """Answer to the end. If cancelled, close the connection, which ends the generation on the
        server."""
        reason, code, message = FinishReason.ERROR, "", ""
        try:
            reason = await self._answer()
        except asyncio.CancelledError:
            reason = FinishReason.CANCELLED
        except UpstreamFault as fault:
            logger.error("Response %s failed: %s (%s)", self._id, fault, fault.detail)
            code, message = fault.code, str(fault)
        except Exception:
            logger.exception("Response %s failed", self._id)
            code, message = "engine_error", "The answer could not be passed on."
        relay = self._relay
        counts = self._prompt_tokens, relay.generated
        self._emit(Finished(self._id, reason, *counts, code, message, relay.thought_tokens))

    async def _answer(self) -> FinishReason:
        self._fit.check(self._upstream.context_tokens)
        self._resume_or_restart()
        while self._relay.answered < self._params.max_tokens or self._anew:
            knew = self._upstream.dialect.thinks
            query = self._query()
            try:
                reason = await self._attempt(query)
                if not (reason is FinishReason.LENGTH and self._thought_took_all(knew)):
                    return reason
                self._anew = True
            except UpstreamFault as fault:
                logger.info("Response %s: %s (%s)", self._id, fault.kind, fault.detail)
                if fault.said:
                    logger.debug("Response %s: the server said: %.300r", self._id, fault.said)
                if await self._recover(fault, query) is False:
                    return FinishReason.LENGTH
        return FinishReason.LENGTH

    def _thought_took_all(self, knew: bool) -> bool:
        """Whether the thought took the answer's tokens because nobody `knew` that the model
        thinks."""
        may_think = self._thinking.max_tokens > 0
        return may_think and not knew and self._relay.has_only_thought

    def _resume_or_restart(self) -> None:
        """Decide whether to go on after what was said before, or to begin anew. No server goes on
        within a thought, a call of a tool, a refusal, or a structured output.

        A bare text is gone on with wherever it ends. Raises UpstreamFault if the request continues
        an answer and the server cannot.
        """
        if self._is_raw:
            self._check_text()
            return
        dialect, relay = self._upstream.dialect, self._relay
        thought = bool(relay.thought) or self._has_thought
        continues = dialect.continues and not (thought and dialect.thinks_again)
        if continues and relay.can_be_continued and not self._has_grammar():
            return
        if self._begun and not continues:
            raise faults.cannot_continue()
        self._anew = not relay.is_empty

    def _check_text(self) -> None:
        """Raise UpstreamFault if the server is known not to go on with a bare text."""
        if not self._upstream.dialect.completes_text:
            raise faults.completes_no_text("it puts a text into the chat template")

    def _has_grammar(self) -> bool:
        """Whether the answer's form is prescribed (`response_format`): in the middle of an answer
        the server would prescribe its beginning again."""
        form = (self._params.passed or {}).get("response_format")
        return isinstance(form, dict) and form.get("type") != "text"

    def _query(self) -> Query:
        """The request for the next attempt."""
        if self._is_raw:
            return self._text_query()
        messages, text = list(self._fit.messages), self._begun
        left, thought = self._params.max_tokens, self._thinking.max_tokens
        if not self._anew:
            text += self._relay.said
            left -= self._relay.answered
            thought -= self._relay.thought_tokens
        if text := text.rstrip():  # templates strip it, and the model writes its own blank
            messages.append(ChatMessage("assistant", text))
        model, dialect = self._upstream.model, self._upstream.dialect
        self._is_bounded_there = not dialect.thinks or bool(text)
        if not self._is_bounded_there:
            left += max(0, thought)
        max_tokens = min(left, self._fit.room)
        params = self._params, self._thinking
        return dialect.query(model.name, messages, *params, max_tokens, self._left_out)

    def _text_query(self) -> Query:
        """The request that goes on with a bare text, and with what was said after it."""
        turns = [message.content for message in self._fit.messages]
        text = "".join((*turns, self._begun, self._relay.said))
        model, dialect = self._upstream.model, self._upstream.dialect
        max_tokens = min(self._params.max_tokens - self._relay.answered, self._fit.room)
        without = dialect.refused_with_text | self._left_out
        return text_request.query(
            model.name, text, self._params, max_tokens, server=dialect.server, without=without
        )

    async def _attempt(self, query: Query) -> FinishReason:
        before = self._begun if self._anew else self._begun + self._relay.said
        if self._is_raw:
            before = ""  # its blanks were sent, too
        attempt = Attempt(
            self._upstream,
            query,
            self._relay,
            self._params,
            before=before,
            is_bounded=self._is_bounded_there,
            on_start=self._start,
            on_progress=self._backoff.reset,
        )
        try:
            return await attempt.run()
        finally:
            self._prompt_tokens = attempt.prompt_tokens or self._prompt_tokens

    def _start(self) -> None:
        """Take note that the server has begun to answer: it has this API, and accepted the fields
        that were sent."""
        if self._is_raw:
            self._upstream.dialect.refused_with_text |= self._left_out
        else:
            self._upstream.dialect.accept(self._left_out)
        if self._anew:
            self._relay.void()
        if self._anew or not self._started:
            started = Started(self._id, self._prompt_tokens, self._fit.trimmed, anew=self._anew)
            self._emit(started)
        self._started, self._anew = True, False
        self._relay.begin_connection()

    # --- what goes wrong ---

    async def _recover(self, fault: UpstreamFault, query: Query) -> bool:
        """Prepare the next attempt. Return False if the context has no room for more; raise
        UpstreamFault if another attempt is of no use."""
        dialect = self._upstream.dialect
        match fault.kind:
            case FaultKind.AWAY:
                await self._wait(fault)
                return True
            case FaultKind.BROKEN if self._breaks < _BREAKS:
                self._breaks += 1
                await self._wait(fault)
                return True
            case FaultKind.MISSING if self._is_raw:
                raise faults.completes_no_text(fault.detail, fault.said)
            case FaultKind.MISSING if query.api not in self._missing:
                self._missing.add(query.api)
                if query.api.other not in self._missing and dialect.switch_from(query.api):
                    self._left_out = set()
                    self._resume_or_restart()
                    return True
            case FaultKind.REFUSED if self._refusals < _REFUSALS:
                self._refusals += 1
                thought = asked_of(query.api, self._thinking)
                if names := complained_of(query, fault.said, thought):
                    self._left_out |= names
                    return True
                asked = {*(self._params.passed or ()), *thought} - {*ADVICE}
                self._explain(fault, asked)
            case FaultKind.THINKS:
                dialect.thinks_again = True
                if self._begun:
                    raise faults.cannot_continue()
                self._anew = True
                return True
            case FaultKind.TOO_LONG:
                goes_on = bool(self._relay.said) and not self._anew
                context = self._upstream.context_tokens
                return self._fit.shrink(fault, query, context, goes_on=goes_on)
        raise fault

    def _explain(self, fault: UpstreamFault, asked: set[str]) -> None:
        """Raise UpstreamFault with what the server does not accept of a request, if that can be
        told; `asked`: parameters that were asked for."""
        dialect = self._upstream.dialect
        has_images = any(parts.has_images(message) for message in self._fit.messages)
        if has_images and refusals.is_of_images(fault.said):
            dialect.refuses_images = True
            raise faults.takes_text_only(fault)
        if "tools" in asked and refusals.is_of_tools(fault.said):
            dialect.refuses_tools = True
            raise faults.takes_no_tools(fault)
        if asked:
            raise faults.refused_with(asked, fault)

    async def _wait(self, fault: UpstreamFault) -> None:
        """Pause before the next attempt. Raises UpstreamFault if it would come too late."""
        self._upstream.look()
        self._upstream.dialect.echoes = None  # another build may come back
        self._resume_or_restart()
        await self._backoff.wait(fault)
