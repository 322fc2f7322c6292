"""Makes a conversation and its answer fit the context of the server's model."""

from __future__ import annotations

from streaming.engine.base import ChatMessage, GenerationRequest
from streaming.engine.upstream import faults
from streaming.engine.upstream.faults import UpstreamFault
from streaming.engine.upstream.query import Query

_SMALL_CONTEXT = 2048  # tokens, where nobody says how large the context is


class ContextFit:
    """What is sent of one request's messages, and how many tokens its answer may have.

    - `messages`: those that are sent, without an answer's beginning, which is `begun`
    - `trimmed`: how many older messages are left out
    - `room`: the most tokens of the answer, its thought included
    """

    def __init__(self, request: GenerationRequest) -> None:
        self.messages = list(request.messages)
        continues = bool(self.messages) and self.messages[-1].role == "assistant"
        self.begun = self.messages.pop() if continues else ChatMessage("assistant", "")
        self.trimmed = request.left_out
        self.room = request.params.max_tokens + request.thinking.max_tokens
        self._trims = request.trims

    def check(self, context_tokens: int) -> None:
        """Raise UpstreamFault if there is nothing to answer, or if the history was longer than any
        context and may not be trimmed. `context_tokens` 0: nobody knows."""
        if not self.messages:
            raise faults.no_messages()
        if self.trimmed and not self._trims:
            raise faults.too_long_to_keep(faults.too_long("turns are left out"), context_tokens)

    def shrink(
        self, fault: UpstreamFault, query: Query, context_tokens: int, *, goes_on: bool
    ) -> bool:
        """Send less after the server found the request too long.

        Leaves less room for the answer, then leaves out the older half of the turns, again and
        again. The leading system messages and the newest turn stay. Where no more can go, and
        while an answer `goes_on`, there is less and less room, down to one token.

        Returns False if an answer that goes on has no room left; raises UpstreamFault if there is
        nothing left to leave out.
        """
        self.room = query.max_tokens
        left = _left_by(fault, context_tokens)
        if not self._trims:
            return self._leave_less_room(fault, left, context_tokens, goes_on=goes_on)
        least = max(1, (context_tokens or _SMALL_CONTEXT) // 4)
        if self.room > least:
            self.room = left if left and least < left < self.room else least
            return True
        head = 0
        while head < len(self.messages) - 1 and self.messages[head].role == "system":
            head += 1
        turns = [n for n, m in enumerate(self.messages) if m.role == "user" and n > head]
        if goes_on or not turns:
            if self.room == 1:
                if goes_on:
                    return False
                raise faults.context_full(fault) if self.begun.content else fault
            self.room //= 2
            return True
        cut = turns[(len(turns) - 1) // 2]
        self.trimmed += cut - head
        del self.messages[head:cut]
        return True

    def _leave_less_room(
        self, fault: UpstreamFault, left: int | None, context_tokens: int, *, goes_on: bool
    ) -> bool:
        """Leave as much room as the server's numbers do, or else a quarter of what it was."""
        if left is None:
            left = self.room // 4
        if 0 < left < self.room:
            self.room = left
            return True
        if goes_on:
            return False
        raise faults.too_long_to_keep(fault, context_tokens)


def _left_by(fault: UpstreamFault, context_tokens: int) -> int | None:
    """Return the tokens that the prompt leaves of the context, negative if it is longer; None if
    nobody says."""
    context = fault.context_tokens or context_tokens
    return context - fault.prompt_tokens if fault.prompt_tokens and context else None
