"""One response: from its request to its end, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from streaming.engine.base import (
    ChatMessage,
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    Started,
)
from streaming.engine.upstream import faults, seam
from streaming.engine.upstream.dialect import asked_of, complained_of
from streaming.engine.upstream.faults import Kind, UpstreamFault
from streaming.engine.upstream.host import Upstream
from streaming.engine.upstream.patience import Patience
from streaming.engine.upstream.seam import Seam
from streaming.engine.upstream.stream import Piece, finish_reason, pieces
from streaming.engine.upstream.telling import Telling

logger = logging.getLogger("streaming.engine.upstream")

_BREAKS = 1
_REFUSALS = 4  # a server may complain of one field after the other
_USAGE_SECONDS = 5.0  # the usage comes after the reason to end, from some
_SMALL_CONTEXT = 2048  # where nobody says how large it is


class UpstreamAnswer:
    """Says everything through `emit`, a Finished at the end whatever happens."""

    def __init__(
        self,
        request: GenerationRequest,
        upstream: Upstream,
        emit: Callable[[EngineEvent], None],
    ) -> None:
        self._id = request.response_id
        self._params = request.params
        self._thinking = request.thinking
        self._messages = list(request.messages)
        begun = self._messages.pop() if self._continues_one() else ChatMessage("assistant", "")
        self._begun, self._has_thought = begun.content, bool(begun.reasoning)
        is_cut = self._has_thought and not self._begun  # in its thought
        self._told = Telling(request, emit, goes_on_thinking=is_cut)
        self._upstream = upstream
        self._emit = emit
        self._prompt_tokens = 0
        self._trimmed = request.left_out
        self._trims = request.trims
        self._room = request.params.max_tokens + request.thinking.max_tokens
        self._started = False
        self._anew = False
        self._is_bounded_there = True
        self._breaks = 0
        self._refusals = 0
        self._left_out: set[str] = set()
        self._patience = Patience(upstream.patience_seconds, upstream.pause_seconds)
        self._seam, self._has_gone_on = Seam("", ""), False

    def _continues_one(self) -> bool:
        return bool(self._messages) and self._messages[-1].role == "assistant"

    async def run(self) -> None:
        """To the end. Cancelled, it closes its connection, which ends the generation there."""
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
        told = self._told
        counts = self._prompt_tokens, told.generated
        self._emit(Finished(self._id, reason, *counts, code, message, told.thought_tokens))

    async def _answer(self) -> FinishReason:
        if not self._messages:
            message = "There is no message to answer."
            raise UpstreamFault(Kind.FATAL, "no messages", message, "invalid_messages")
        if self._trimmed and not self._trims:  # of a history that is longer than any context
            fault = faults.too_long("turns are left out")
            raise faults.too_long_to_keep(fault, self._upstream.context_tokens)
        self._take_up()
        while self._told.answered < self._params.max_tokens or self._anew:
            knew = self._upstream.dialect.thinks
            body = self._body()
            try:
                reason = await self._attempt(body)
                if not (reason is FinishReason.LENGTH and self._ran_dry(knew)):
                    return reason
                self._anew = True
            except UpstreamFault as fault:
                logger.info("Response %s: %s (%s)", self._id, fault.kind, fault.detail)
                if fault.said:
                    logger.debug("Response %s: the server said: %.300r", self._id, fault.said)
                if await self._heed(fault, body) is False:
                    return FinishReason.LENGTH
        return FinishReason.LENGTH

    def _ran_dry(self, knew: bool) -> bool:
        """Whether its thought took the room of the answer, since nobody `knew` that it thinks."""
        told, has_room = self._told, self._thinking.max_tokens > 0
        return has_room and not knew and told.has_only_thought

    def _take_up(self) -> None:
        """Go on after what was said before, or begin anew. Nothing goes on in a thought, in a call
        of a tool, or in a form."""
        dialect, told = self._upstream.dialect, self._told
        thought = bool(told.thought) or self._has_thought
        continues = dialect.continues and not (thought and dialect.thinks_again)
        is_between = "tool_calls" in told.passed or (told.thought and not told.said)
        if continues and not (self._has_grammar() or is_between):
            return
        if self._begun and not continues:
            raise faults.cannot_continue()
        self._anew = not told.is_nothing

    def _has_grammar(self) -> bool:
        """Whether the server holds the answer to a form, whose beginning it would ask for again in
        the middle."""
        form = (self._params.passed or {}).get("response_format")
        return isinstance(form, dict) and form.get("type") != "text"

    def _body(self) -> dict[str, Any]:
        messages, text = list(self._messages), self._begun
        left, thought = self._params.max_tokens, self._thinking.max_tokens
        if not self._anew:
            text += self._told.said
            left -= self._told.answered
            thought -= self._told.thought_tokens
        if text := text.rstrip():  # templates strip it, and a model makes its own blank
            messages.append(ChatMessage("assistant", text))
        model, dialect = self._upstream.model, self._upstream.dialect
        self._is_bounded_there = not dialect.thinks or bool(text)
        if not self._is_bounded_there:
            left += max(0, thought)
        max_tokens = min(left, self._room)
        params = self._params, self._thinking
        return dialect.body(model.name, messages, *params, max_tokens, self._left_out)

    # --- one connection ---

    async def _attempt(self, body: dict[str, Any]) -> FinishReason:
        upstream, reason = self._upstream, ""
        passed = self._params.passed
        echo = await self._echo_of(body)
        try:
            async with (
                asyncio.timeout(None) as limit,
                upstream.server.answer(body, self._told.allowance) as source,
            ):
                self._start()
                self._seam, self._has_gone_on = Seam(echo, self._trailing_blanks()), False
                said = pieces(source, self._told.allowance, all_of_it=passed is not None)
                async with aclosing(said) as stream:  # type: ignore[type-var]
                    async for piece in stream:
                        upstream.heard()
                        self._heed_thought(piece, body)
                        if piece.text and self._is_full:
                            reason = reason or "length"
                            break
                        self._take(piece)
                        if piece.reason and not reason:
                            reason = piece.reason
                            limit.reschedule(asyncio.get_running_loop().time() + _USAGE_SECONDS)
                        if self._told.is_overlong:
                            logger.warning("Response %s: the server does not stop", self._id)
                            reason = reason or "length"
                            break
        except (UpstreamFault, TimeoutError):
            if not reason:
                raise
        return finish_reason(reason, with_tools=bool(passed and passed.get("tools")))

    async def _echo_of(self, body: dict[str, Any]) -> str:
        """What the server will say once more before it goes on; empty if it does not."""
        upstream, dialect = self._upstream, self._upstream.dialect
        if not dialect.may_echo(body):
            return ""
        async with dialect.asking:
            echoes = dialect.echoes
            if echoes is None:
                asked = upstream.server.answer(seam.question(body), self._told.allowance)
                async with asked as source:
                    said = pieces(source, self._told.allowance)
                    async with aclosing(said) as stream:  # type: ignore[type-var]
                        echoes = dialect.echoes = await seam.is_echo(stream)
        # Not as the dialect says by now: another answer may have found the server away meanwhile.
        return str(body["messages"][-1]["content"]) if echoes else ""

    def _start(self) -> None:
        """The server has begun to answer, so it did not mind what was left out."""
        self._upstream.dialect.refused |= self._left_out
        if self._anew:
            self._told.void()
        if self._anew or not self._started:
            started = Started(self._id, self._prompt_tokens, self._trimmed, anew=self._anew)
            self._emit(started)
        self._started, self._anew = True, False
        self._told.connected()

    @property
    def _is_full(self) -> bool:
        """Whether the answer has its tokens, of a server that was given more, for the thought."""
        most = self._params.max_tokens
        return not self._is_bounded_there and self._told.answered >= most

    def _trailing_blanks(self) -> str:
        """Blanks that readers have and the server was not told."""
        text = self._begun + self._told.said
        return text[len(text.rstrip()) :]

    def _heed_thought(self, piece: Piece, body: dict[str, Any]) -> None:
        """Raises UpstreamFault where it thinks instead of going on with a text: what is said there
        as a thought may be text, and nobody can tell."""
        if piece.reasoning or piece.reasoning_tokens:
            self._upstream.dialect.thinks = True
        if not piece.reasoning:
            return
        if body["messages"][-1]["role"] == "assistant" and not self._has_gone_on:
            raise faults.thinks_again()

    def _take(self, piece: Piece) -> None:
        """Pass a piece on."""
        if piece.prompt_tokens is not None:
            self._prompt_tokens = piece.prompt_tokens
        text = self._seam.take(piece.text)
        if piece.reason:
            text += self._seam.rest()
        self._has_gone_on = self._has_gone_on or bool(text)
        if self._told.take(piece, text):
            self._patience.renew()

    # --- what goes wrong ---

    async def _heed(self, fault: UpstreamFault, body: dict[str, Any]) -> bool:
        """Prepare the next attempt. False if there is no room for more; raises UpstreamFault if
        there is no use."""
        dialect = self._upstream.dialect
        match fault.kind:
            case Kind.AWAY:
                await self._wait(fault)
                return True
            case Kind.BROKEN if self._breaks < _BREAKS:
                self._breaks += 1
                await self._wait(fault)
                return True
            case Kind.REFUSED if self._refusals < _REFUSALS:
                self._refusals += 1
                thought = asked_of(self._thinking)
                if names := complained_of(body, fault.said, thought):
                    self._left_out |= names
                    return True
                if asked := {*(self._params.passed or ()), *thought}:
                    raise faults.refused_with(asked, fault)
            case Kind.THINKS:
                dialect.thinks_again = True
                if self._begun:
                    raise faults.cannot_continue()
                self._anew = True
                return True
            case Kind.TOO_LONG:
                return self._shorten(fault, body)
        raise fault

    async def _wait(self, fault: UpstreamFault) -> None:
        self._upstream.look()
        self._upstream.dialect.echoes = None  # another build may come back
        self._take_up()
        await self._patience.wait(fault)

    def _shorten(self, fault: UpstreamFault, body: dict[str, Any]) -> bool:
        """Leave less room for the answer, then leave out the older half of the turns, again and
        again. The first system messages stay, and so does the newest turn. Where no more
        can go, and while an answer goes on, there is less and less room, down to a token."""
        self._room = body.get("max_tokens") or body["max_completion_tokens"]
        left = self._left_by(fault)
        if not self._trims:
            return self._leave_less_room(fault, left)
        least = max(1, (self._upstream.context_tokens or _SMALL_CONTEXT) // 4)
        if self._room > least:
            self._room = left if left and least < left < self._room else least
            return True
        goes_on = bool(self._told.said) and not self._anew
        head = 0
        while head < len(self._messages) - 1 and self._messages[head].role == "system":
            head += 1
        turns = [n for n, m in enumerate(self._messages) if m.role == "user" and n > head]
        if goes_on or not turns:
            if self._room == 1:
                if goes_on:
                    return False
                raise faults.context_full(fault) if self._begun else fault
            self._room //= 2
            return True
        cut = turns[(len(turns) - 1) // 2]
        self._trimmed += cut - head
        del self._messages[head:cut]
        return True

    def _leave_less_room(self, fault: UpstreamFault, left: int | None) -> bool:
        """As much as is left by the server's numbers, or else a quarter of what it was."""
        if left is None:
            left = self._room // 4
        if 0 < left < self._room:
            self._room = left
            return True
        if self._told.said and not self._anew:
            return False
        raise faults.too_long_to_keep(fault, self._upstream.context_tokens)

    def _left_by(self, fault: UpstreamFault) -> int | None:
        """Tokens that the prompt leaves of the context, below 0 if it is longer; None if nobody
        says."""
        context = fault.context_tokens or self._upstream.context_tokens
        return context - fault.prompt_tokens if fault.prompt_tokens and context else None
