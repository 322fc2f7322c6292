"""Leaves out what a server repeats of an answer before it continues it.

llama.cpp's builds of May to September 2026 repeat it, unless told `continue_final_message`. Whether
a server does is asked once, with a text that no model comes to by itself, since a model may well
repeat what it has just said.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from streaming.engine.upstream.bounds import Allowance
from streaming.engine.upstream.host import Upstream
from streaming.engine.upstream.parts import text_part
from streaming.engine.upstream.query import Api, Query
from streaming.engine.upstream.stream import Piece, pieces

_QUESTION = "Repeat."
_MARKER = "Qoph 7316 tzadi"
_KEPT = (
    "model", "stream", "stream_options", "continue_final_message", "add_generation_prompt", "store",
)  # fmt: skip
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def question(query: Query) -> Query:
    """Return a request that shows whether the server repeats the last message of one like
    `query`."""
    limit = next(name for name in _LIMITS if name in query.body)
    asked = {name: query.body[name] for name in _KEPT if name in query.body} | {limit: 2}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": _QUESTION},
        {"role": "assistant", "content": _MARKER},
    ]
    if query.api is Api.CHAT:
        return Query(query.api, {**asked, "messages": turns}, 2, _MARKER)
    begun = {**query.body["input"][-1], "content": [text_part(_MARKER, is_assistant=True)]}
    return Query(query.api, {**asked, "input": [turns[0], begun]}, 2, _MARKER)


async def is_echo(stream: AsyncIterator[Piece]) -> bool:
    """Return whether the answer to `question` repeats its last message."""
    said = ""
    async for piece in stream:
        said = (said + piece.text).lstrip()
        if len(said) >= len(_MARKER):
            break
    return said.startswith(_MARKER)


async def repeated_text(upstream: Upstream, query: Query, allowance: Allowance) -> str:
    """Return the text that the server will repeat before it answers; empty if it does not.

    Asks the server the first time; answers that need to know meanwhile wait for that. Raises
    UpstreamFault if the server does not answer.
    """
    dialect = upstream.dialect
    if not dialect.may_echo(query):
        return ""
    async with dialect.asking:
        echoes = dialect.echoes
        if echoes is None:
            async with upstream.server.answer(question(query), allowance) as answer:
                said = pieces(answer, allowance)
                async with aclosing(said) as stream:  # type: ignore[type-var]
                    echoes = dialect.echoes = await is_echo(stream)
    # Not `dialect.echoes` as it is now: another answer may have reset it meanwhile.
    return query.goes_on if echoes else ""


class EchoFilter:
    """Removes what readers have from the beginning of a text that comes in pieces: `echo`, if it is
    repeated, then `blanks`, with which readers' text ends and which the server was not sent.

    What turns out to be something else is let through unchanged.
    """

    def __init__(self, echo: str, blanks: str) -> None:
        self._echoes = [echo, echo.lstrip()] if echo else []
        self._blanks = blanks
        self._held = ""

    def take(self, text: str) -> str:
        """Return what of the next piece is new."""
        if self._echoes and text:
            self._held += text
            if any(echo.startswith(self._held) and echo != self._held for echo in self._echoes):
                return ""
            text = self._held
            for echo in self._echoes:
                if text.startswith(echo):
                    text = text[len(echo) :]
                    break
            self._echoes, self._held = [], ""
        return self._without_blanks(text)

    def rest(self) -> str:
        """Return what was held back, when nothing more comes."""
        self._echoes, held, self._held = [], self._held, ""
        return self._without_blanks(held)

    def _without_blanks(self, text: str) -> str:
        while self._blanks and text and text[0] == self._blanks[0]:
            text, self._blanks = text[1:], self._blanks[1:]
        if text:
            self._blanks = ""
        return text
