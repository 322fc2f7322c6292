"""An answer in tokens: words, as far as they were asked for, and their counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.tool_server.asked import Asked, Call, Said

_IMAGE_TOKENS = 85


@dataclass
class Spoken:
    """What is said of an answer so far.

    - `pieces()` yields its kind, its text and (of the first piece of a call) its call
    - `finish_reason`: `stop`, `length` or `tool_calls`, once all is said
    """

    asked: Asked
    parts: list[Said]
    finish_reason: str = "stop"
    tokens: int = 0
    thought_tokens: int = 0
    said: str = field(default="", repr=False)

    def pieces(self) -> Iterator[tuple[str, str, Call | None]]:
        """Yield the answer token by token, until it ends or has its tokens."""
        for part in self.parts:
            text = part.call.arguments if part.call else part.text
            call = part.call
            for piece in re.findall(r"\s*\S+|\s+$", text) or [""]:
                if self.tokens >= self.asked.max_tokens:
                    self.finish_reason = "length"
                    return
                if part.kind == "text":
                    self.said += piece
                    for stop in self.asked.stop:
                        if (at := self.said.find(stop)) >= 0:
                            kept = piece[: max(0, len(piece) - (len(self.said) - at))]
                            yield part.kind, kept, None
                            return
                self.tokens += 1
                self.thought_tokens += part.kind == "reasoning"
                yield part.kind, piece, call
                call = None
        if any(part.call for part in self.parts):
            self.finish_reason = "tool_calls"

    @property
    def prompt_tokens(self) -> int:
        """Return the words of the conversation, 6 for its frame and 85 for each image."""
        words = sum(len(turn.text.split()) for turn in self.asked.turns)
        return 6 + words + _IMAGE_TOKENS * sum(len(turn.images) for turn in self.asked.turns)

    @property
    def cached_tokens(self) -> int:
        """Return half of them: as if a part of the prompt had been seen before."""
        return self.prompt_tokens // 2

    def logprob(self, token: str) -> dict[str, Any] | None:
        """Return the probability of a token and of its likeliest others, None if unwanted."""
        if self.asked.top_logprobs is None:
            return None
        others = [
            {"token": f"{token}{number or ''}", "logprob": -0.25 - number, "bytes": None}
            for number in range(self.asked.top_logprobs)
        ]
        units = [*token.encode()]
        return {"token": token, "logprob": -0.25, "bytes": units, "top_logprobs": others}
