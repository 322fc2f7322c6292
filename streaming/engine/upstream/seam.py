"""Where an answer is gone on with: what the server says there that readers have already.

Some servers say an answer that is to be continued once more before they go on: llama.cpp's builds
of May to September 2026 do, unless told `continue_final_message`. Whether one does is asked once,
with a text that no model comes to by itself, since a model may well repeat what it has just said.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from streaming.engine.upstream.stream import Piece

_QUESTION = "Repeat."
_MARKER = "Qoph 7316 tzadi"
_KEPT = ("model", "stream", "stream_options", "continue_final_message", "add_generation_prompt")


def question(body: dict[str, Any]) -> dict[str, Any]:
    """A request that shows whether the server echoes one such as `body`."""
    limit = next(name for name in ("max_tokens", "max_completion_tokens") if name in body)
    turns = [("user", _QUESTION), ("assistant", _MARKER)]
    messages = [{"role": role, "content": content} for role, content in turns]
    asked = {name: body[name] for name in _KEPT if name in body}
    return {**asked, "messages": messages, limit: 2}


async def is_echo(stream: AsyncIterator[Piece]) -> bool:
    """Whether the answer to `question` repeats it."""
    said = ""
    async for piece in stream:
        said = (said + piece.text).lstrip()
        if len(said) >= len(_MARKER):
            break
    return said.startswith(_MARKER)


class Seam:
    """Leaves out what readers have: `echo` at the beginning of what comes, in whatever pieces, if
    there is one; then `blanks`, with which the text ended and which the server was not told.

    What turns out to be something else is let through as it came.
    """

    def __init__(self, echo: str, blanks: str) -> None:
        self._echoes = [echo, echo.lstrip()] if echo else []
        self._blanks = blanks
        self._held = ""

    def take(self, text: str) -> str:
        """What of it is new."""
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
        """What was kept back, when nothing more comes."""
        self._echoes, held, self._held = [], self._held, ""
        return self._without_blanks(held)

    def _without_blanks(self, text: str) -> str:
        while self._blanks and text and text[0] == self._blanks[0]:
            text, self._blanks = text[1:], self._blanks[1:]
        if text:
            self._blanks = ""
        return text
