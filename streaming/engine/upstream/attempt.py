"""One connection of an answer: asks, and passes on what comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

from streaming.engine.base import FinishReason, SamplingParams
from streaming.engine.upstream import faults
from streaming.engine.upstream.echo import EchoFilter, repeated_text
from streaming.engine.upstream.faults import UpstreamFault
from streaming.engine.upstream.host import Upstream
from streaming.engine.upstream.query import Api, Query
from streaming.engine.upstream.relay import AnswerRelay
from streaming.engine.upstream.stop_strings import StopFilter
from streaming.engine.upstream.stream import Piece, finish_reason, pieces

logger = logging.getLogger("streaming.engine.upstream")

_USAGE_SECONDS = 5.0  # some servers send the usage after the reason to end


class Attempt:
    """Asks `query` and passes the answer on by `relay`.

    - `before`: the text that readers have, of which the server was sent the end stripped
    - `is_bounded`: the server was given no more tokens than the answer may have
    - `on_start` is called once the server has begun to answer, `on_progress` after each new word
    - `prompt_tokens`: as the server counts them, 0 before it does
    """

    def __init__(
        self,
        upstream: Upstream,
        query: Query,
        relay: AnswerRelay,
        params: SamplingParams,
        *,
        before: str,
        is_bounded: bool,
        on_start: Callable[[], None],
        on_progress: Callable[[], None],
    ) -> None:
        self.prompt_tokens = 0
        self._upstream = upstream
        self._query = query
        self._relay = relay
        self._params = params
        self._before = before
        self._is_bounded = is_bounded
        self._on_start = on_start
        self._on_progress = on_progress
        self._echo_filter = EchoFilter("", "")
        # Chat Completions has a place for them.
        self._stops = StopFilter(params.stop if query.api is Api.RESPONSES else ())
        self._has_gone_on = False  # whether this connection has said new text

    @property
    def _has_tools(self) -> bool:
        """Whether the model was offered tools."""
        return bool(self._params.passed and self._params.passed.get("tools"))

    @property
    def _is_full(self) -> bool:
        """Whether the answer has its tokens, where the server was given more of them for a
        thought."""
        return not self._is_bounded and self._relay.answered >= self._params.max_tokens

    async def run(self) -> FinishReason:
        """Ask, and pass the answer on to its end. Raises UpstreamFault, also for an answer that
        breaks off."""
        upstream, relay, reason = self._upstream, self._relay, ""
        echo = await repeated_text(upstream, self._query, relay.allowance)
        try:
            async with (
                asyncio.timeout(None) as limit,
                upstream.server.answer(self._query, relay.allowance) as answer,
            ):
                self._on_start()
                blanks = self._before[len(self._before.rstrip()) :]
                self._echo_filter = EchoFilter(echo, blanks)
                said = pieces(answer, relay.allowance)
                async with aclosing(said) as stream:  # type: ignore[type-var]
                    async for piece in stream:
                        upstream.heard()
                        self._check(piece)
                        if piece.text and self._is_full:
                            reason = reason or "length"
                            break
                        self._take(piece)
                        if self._stops.found:
                            reason = "stop"
                            break
                        if piece.reason and not reason:
                            reason = piece.reason
                            limit.reschedule(asyncio.get_running_loop().time() + _USAGE_SECONDS)
                        if relay.is_overlong:
                            logger.warning("Response %s: the server does not stop", relay.id)
                            reason = reason or "length"
                            break
        except (UpstreamFault, TimeoutError):
            if not reason:
                raise
        return finish_reason(reason, with_tools=self._has_tools)

    def _check(self, piece: Piece) -> None:
        """Raise UpstreamFault for a call of a tool that nobody offered, and if the server thinks
        instead of going on with a text: what it calls a thought may then be text, and nobody can
        tell."""
        if "tool_calls" in piece.passed and not self._has_tools:
            raise faults.unwanted_call("a call of a tool that was not offered")
        if piece.reasoning or piece.reasoning_tokens:
            self._upstream.dialect.thinks = True
        if piece.reasoning and self._query.goes_on and not self._has_gone_on:
            raise faults.thinks_again()

    def _take(self, piece: Piece) -> None:
        """Pass a piece on, without what readers have already."""
        if piece.prompt_tokens is not None:
            self.prompt_tokens = piece.prompt_tokens
        text = self._echo_filter.take(piece.text)
        if piece.reason:
            text += self._echo_filter.rest()
        text = self._stops.take(text)
        if piece.reason and not self._stops.found:
            text += self._stops.rest()
        self._has_gone_on = self._has_gone_on or bool(text)
        if self._relay.take(piece, text):
            self._on_progress()
