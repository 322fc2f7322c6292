"""One request to the server, in the words of one of the APIs that a server may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from streaming.engine.base import ChatMessage, SamplingParams, Thinking


class Api(StrEnum):
    """An API in which a server answers, and its address below the base URL."""

    CHAT = "chat/completions"
    RESPONSES = "responses"
    TEXT = "completions"

    @property
    def other(self) -> Api:
        """Return the other one of the two that answer conversations."""
        return Api.RESPONSES if self is Api.CHAT else Api.CHAT


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an answer wants, in no API's words.

    - `server`: the kind of server, by its `owned_by`
    - `max_tokens`: of the answer and of its thought together
    - `with_thoughts`: all turns are sent with what was thought before them; else only those after
      the last of the user's, where a model goes on after its tools' results
    """

    model: str
    messages: Sequence[ChatMessage]
    params: SamplingParams
    thinking: Thinking
    max_tokens: int
    server: str = ""
    with_thoughts: bool = False

    @property
    def goes_on(self) -> str:
        """Return the text that the answer goes on with: that of a last message of the
        assistant's."""
        last = self.messages[-1]
        return last.content if last.role == "assistant" else ""

    def thought_of(self, number: int) -> str:
        """Return what is sent of the thought of the message of this number."""
        message = self.messages[number]
        if not message.reasoning or self.with_thoughts:
            return message.reasoning
        is_old = any(later.role == "user" for later in self.messages[number:])
        return "" if is_old else message.reasoning


@dataclass(frozen=True, slots=True)
class Query:
    """A request's JSON for `api`.

    - `max_tokens`: the most tokens that it asks for
    - `goes_on`: the text of the assistant's that it is to go on with; empty for most
    """

    api: Api
    body: dict[str, Any]
    max_tokens: int
    goes_on: str = ""
