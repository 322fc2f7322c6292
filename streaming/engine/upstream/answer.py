"""One response: from its request to its end, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from streaming.engine.base import (
    UNKNOWN_TOKEN,
    ChatMessage,
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    PassedDelta,
    Started,
    TextDelta,
)
from streaming.engine.passed import Passed, add, kept, voids_text
from streaming.engine.upstream import beside, faults, seam
from streaming.engine.upstream.bounds import (
    DELTA_CHARS,
    PIECES_A_TOKEN,
    Allowance,
    answer_chars,
)
from streaming.engine.upstream.dialect import complained_of
from streaming.engine.upstream.faults import Kind, UpstreamFault
from streaming.engine.upstream.host import Upstream
from streaming.engine.upstream.patience import Patience
from streaming.engine.upstream.seam import Seam
from streaming.engine.upstream.stream import Piece, finish_reason, pieces

logger = logging.getLogger("streaming.engine.upstream")

_BREAKS = 1
_REFUSALS = 4  # a server may complain of one field after the other
_USAGE_SECONDS = 5.0  # the usage comes after the reason to end, from some
_SMALL_CONTEXT = 2048  # where nobody says how large it is


class UpstreamAnswer:
    """Says everything through `emit`, a Finished at the end whatever happens.

    `said` is the text of this response that readers have, `generated` how many tokens it is.
    """

    def __init__(
        self,
        request: GenerationRequest,
        upstream: Upstream,
        emit: Callable[[EngineEvent], None],
    ) -> None:
        self._id = request.response_id
        self._params = request.params
        self._messages = list(request.messages)
        self._begun = self._messages.pop().content if self._continues_one() else ""
        self._said = request.prior_text
        self._generated = len(request.prior_tokens)
        self._upstream = upstream
        self._emit = emit
        self._prompt_tokens = 0
        self._trimmed = request.left_out
        self._trims = request.trims
        self._room = request.params.max_tokens
        self._started = False
        self._anew = False
        self._breaks = 0
        self._refusals = 0
        self._left_out: set[str] = set()
        self._patience = Patience(upstream.patience_seconds, upstream.pause_seconds)
        self._allowance = Allowance(request.params.max_tokens)
        self._most_chars = answer_chars(request.params.max_tokens)
        self._used = 0  # tokens, as this connection says
        self._passed: Passed = {}
        add(self._passed, request.prior_passed)
        self._beside = beside.chars_of(self._passed)  # characters that are no text
        self._seam = Seam("", "")

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
        self._emit(Finished(self._id, reason, self._prompt_tokens, self._generated, code, message))

    async def _answer(self) -> FinishReason:
        if not self._messages:
            message = "There is no message to answer."
            raise UpstreamFault(Kind.FATAL, "no messages", message, "invalid_messages")
        if self._trimmed and not self._trims:  # of a history that is longer than any context
            fault = faults.too_long("turns are left out")
            raise faults.too_long_to_keep(fault, self._upstream.context_tokens)
        self._take_up()
        while self._generated < self._params.max_tokens or self._anew:
            body = self._body()
            try:
                return await self._attempt(body)
            except UpstreamFault as fault:
                logger.info("Response %s: %s (%s)", self._id, fault.kind, fault.detail)
                if fault.said:
                    logger.debug("Response %s: the server said: %.300r", self._id, fault.said)
                if await self._heed(fault, body) is False:
                    return FinishReason.LENGTH
        return FinishReason.LENGTH

    def _take_up(self) -> None:
        """Go on after what was said before, or begin anew."""
        continues = self._upstream.dialect.continues
        if continues and not (self._has_grammar() or voids_text(self._passed, self._said)):
            return
        if self._begun and not continues:
            raise faults.cannot_continue()
        self._anew = bool(self._said or self._generated or self._passed)

    def _has_grammar(self) -> bool:
        """Whether the server holds the answer to a form, whose beginning it would ask for again in
        the middle."""
        form = (self._params.passed or {}).get("response_format")
        return isinstance(form, dict) and form.get("type") != "text"

    def _body(self) -> dict[str, Any]:
        messages, text = list(self._messages), self._begun
        left = self._params.max_tokens
        if not self._anew:
            text += self._said
            left -= self._generated
        if text := text.rstrip():  # templates strip it, and a model makes its own blank
            messages.append(ChatMessage("assistant", text))
        model, dialect = self._upstream.model, self._upstream.dialect
        max_tokens = min(left, self._room)
        return dialect.body(model.name, messages, self._params, max_tokens, self._left_out)

    # --- one connection ---

    async def _attempt(self, body: dict[str, Any]) -> FinishReason:
        upstream, reason = self._upstream, ""
        passed = self._params.passed
        echo = await self._echo_of(body)
        try:
            async with (
                asyncio.timeout(None) as limit,
                upstream.server.answer(body, self._allowance) as source,
            ):
                self._start()
                before, self._seam = self._generated, Seam(echo, self._trailing_blanks())
                said = pieces(source, self._allowance, all_of_it=passed is not None)
                async with aclosing(said) as stream:  # type: ignore[type-var]
                    async for piece in stream:
                        upstream.heard()
                        self._take(piece, before)
                        if piece.reason and not reason:
                            reason = piece.reason
                            limit.reschedule(asyncio.get_running_loop().time() + _USAGE_SECONDS)
                        if self._is_overlong():
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
                asked = upstream.server.answer(seam.question(body), self._allowance)
                async with asked as source:
                    said = pieces(source, self._allowance)
                    async with aclosing(said) as stream:  # type: ignore[type-var]
                        echoes = dialect.echoes = await seam.is_echo(stream)
        # Not as the dialect says by now: another answer may have found the server away meanwhile.
        return str(body["messages"][-1]["content"]) if echoes else ""

    def _start(self) -> None:
        """The server has begun to answer, so it did not mind what was left out."""
        self._upstream.dialect.refused |= self._left_out
        if self._anew:
            self._said, self._generated, self._passed, self._beside = "", 0, {}, 0
        if self._anew or not self._started:
            started = Started(self._id, self._prompt_tokens, self._trimmed, anew=self._anew)
            self._emit(started)
        self._started, self._anew, self._used = True, False, 0

    def _is_overlong(self) -> bool:
        """Whether the server has said more than was asked for, whatever it counts."""
        most = PIECES_A_TOKEN * self._params.max_tokens
        return self._generated > most or len(self._said) + self._beside >= self._most_chars

    def _trailing_blanks(self) -> str:
        """Blanks that readers have and the server was not told."""
        text = self._begun + self._said
        return text[len(text.rstrip()) :]

    def _take(self, piece: Piece, before: int) -> None:
        """Pass a piece on; `before` so many tokens were said when the connection was made."""
        if piece.prompt_tokens is not None:
            self._prompt_tokens = piece.prompt_tokens
        text = self._seam.take(piece.text)
        if piece.reason:
            text += self._seam.rest()
        tokens = 1 if piece.has_output else 0
        if piece.completion_tokens:
            self._used = max(self._used, piece.completion_tokens)
            tokens = max(0, before + self._used - self._generated)
            tokens = min(tokens, self._params.max_tokens)
        room = self._most_chars - len(self._said) - self._beside
        if piece.passed and beside.chars_of(piece.passed) > room:
            self._beside += room  # it is overlong: a call with a gap in it must not go on
        elif piece.passed:
            self._pass_on(piece.passed, 0 if text else tokens)
            tokens = tokens if text else 0
        text = text[: max(0, room)]
        if text or tokens:
            self._say(text, tokens)
        if piece.completion_tokens:
            self._generated = before + self._used  # it knows better

    def _pass_on(self, passed: Passed, tokens: int) -> None:
        """Pass on what is no text."""
        chars = beside.chars_of(passed)
        self._allowance.take_chars(chars)
        self._beside += chars
        add(self._passed, kept(passed))
        self._generated += tokens
        self._patience.renew()
        self._emit(PassedDelta(self._id, passed, (UNKNOWN_TOKEN,) * tokens))

    def _say(self, text: str, tokens: int) -> None:
        """Pass text on, a huge one in parts."""
        self._allowance.take_chars(len(text))
        self._said += text
        self._generated += tokens
        self._patience.renew()
        self._emit(TextDelta(self._id, text[:DELTA_CHARS], (UNKNOWN_TOKEN,) * tokens))
        for at in range(DELTA_CHARS, len(text), DELTA_CHARS):
            self._emit(TextDelta(self._id, text[at : at + DELTA_CHARS], ()))

    # --- what goes wrong ---

    async def _heed(self, fault: UpstreamFault, body: dict[str, Any]) -> bool:
        """Prepare the next attempt. False if there is no room for more; raises UpstreamFault if
        there is no use."""
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
                if names := complained_of(body, fault.said):
                    self._left_out |= names
                    return True
                if self._params.passed:
                    raise faults.refused_with(self._params.passed, fault)
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
        if not self._trims:
            return self._leave_less_room(fault)
        least = max(1, (self._upstream.context_tokens or _SMALL_CONTEXT) // 4)
        if self._room > least:
            self._room = least
            return True
        goes_on = bool(self._said) and not self._anew
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

    def _leave_less_room(self, fault: UpstreamFault) -> bool:
        """As much as is left by the server's numbers, or else a quarter of what it was."""
        context = fault.context_tokens or self._upstream.context_tokens
        left = self._room // 4
        if fault.prompt_tokens and context:
            left = context - fault.prompt_tokens
        if 0 < left < self._room:
            self._room = left
            return True
        if self._said and not self._anew:
            return False
        raise faults.too_long_to_keep(fault, context)
