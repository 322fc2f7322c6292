"""Passes an answer on to its readers, within bounds, and keeps what they have of it."""

from __future__ import annotations

from collections.abc import Callable

from streaming.engine.base import (
    UNKNOWN_TOKEN,
    Channel,
    EngineEvent,
    GenerationRequest,
    PassedDelta,
    TextDelta,
)
from streaming.engine.passed import Passed, add, kept
from streaming.engine.upstream import passed_fields
from streaming.engine.upstream.bounds import (
    DELTA_CHARS,
    PIECES_A_TOKEN,
    Allowance,
    answer_chars,
)
from streaming.engine.upstream.stream import Piece

THOUGHT_TOKEN = UNKNOWN_TOKEN - 1
"""An unknown token of a thought, so that an attempt after a crash can count them."""


_NO_ANSWER = {"usage", "service_tier"}
"""Fields that tell of an answer and are no part of it."""


class AnswerRelay:
    """Passes one answer on through `emit`.

    - `id`: the response's
    - `said`, `thought`: the text and the thought that readers have
    - `generated`: tokens of both, of which `thought_tokens` belong to the thought
    - `passed`: the fields besides, as `engine.passed` describes them
    - `goes_on_thinking`: the request continues a thought; no server can go on within one, so a new
      paragraph begins
    """

    def __init__(
        self,
        request: GenerationRequest,
        emit: Callable[[EngineEvent], None],
        *,
        goes_on_thinking: bool,
    ) -> None:
        self.id = request.response_id
        self._emit = emit
        self._most_answer_tokens = request.params.max_tokens
        self._most_tokens = request.params.max_tokens + request.thinking.max_tokens
        self.allowance = Allowance(self._most_tokens)
        self.said, self.thought = request.prior_text, request.prior_reasoning
        self.generated = len(request.prior_tokens)
        self.thought_tokens = request.prior_tokens.count(THOUGHT_TOKEN)
        self.passed: Passed = {}
        add(self.passed, request.prior_passed)
        self._passed_chars = passed_fields.chars_of(self.passed)
        self._is_thinking = request.prior_in_thought
        self._goes_on_thinking = goes_on_thinking
        self._before = self._used = self._thought_before = 0

    @property
    def answered(self) -> int:
        """Return the tokens of the answer, without those of the thought."""
        return self.generated - self.thought_tokens

    @property
    def is_empty(self) -> bool:
        """Return whether readers have nothing yet."""
        return not (self.said or self.thought or self.generated or self.passed)

    @property
    def can_be_continued(self) -> bool:
        """Return whether what readers have is a text at whose end a server can go on: not a thought
        at its end or alone, no call of a tool, no refusal."""
        if self.passed.keys() & {"tool_calls", "refusal"}:
            return False
        return not self.thought or not (self._is_thinking or not self.said.strip())

    @property
    def has_only_thought(self) -> bool:
        """Return whether there is a thought (which not every server shows) and nothing else."""
        is_said = bool(self.said) or not self.passed.keys() <= _NO_ANSWER
        return bool(self.thought or self.thought_tokens) and not is_said

    @property
    def is_overlong(self) -> bool:
        """Return whether the server has said more than was asked for, by whatever measure."""
        chars = len(self.said) + self._passed_chars
        return (
            self.generated > PIECES_A_TOKEN * self._most_tokens
            or chars >= answer_chars(self._most_answer_tokens)
            or chars + len(self.thought) >= answer_chars(self._most_tokens)
        )

    def void(self) -> None:
        """Forget everything: the answer begins anew."""
        self.said = self.thought = ""
        self._is_thinking = False
        self.generated = self.thought_tokens = self._passed_chars = 0
        self.passed = {}

    def begin_connection(self) -> None:
        """Count the tokens from here on for a new connection, whose `usage` begins at 0."""
        self._before, self._used = self.generated, 0
        self._thought_before = self.thought_tokens

    def take(self, piece: Piece, text: str) -> bool:
        """Pass on a piece, of whose text `text` is new. Returns whether there was anything to pass
        on."""
        tokens = 1 if piece.has_output else 0
        if piece.completion_tokens:
            self._used = max(self._used, piece.completion_tokens)
            tokens = max(0, self._before + self._used - self.generated)
            tokens = min(tokens, self._most_tokens)
        if piece.reasoning:
            self._think(piece.reasoning, 0 if text else tokens)
            tokens = tokens if text else 0
        room = answer_chars(self._most_answer_tokens) - len(self.said) - self._passed_chars
        passed, text = piece.passed, text[: max(0, room)]
        if text and "tool_calls" in passed:  # a call follows the text that comes with it
            self._say(text, tokens)
            room, text, tokens = room - len(text), "", 0
        if passed and passed_fields.chars_of(passed) > room:
            self._passed_chars += max(0, room)  # makes it overlong: half a call must not go on
        elif passed:
            self._relay_fields(passed, 0 if text else tokens)
            tokens = tokens if text else 0
        if text or tokens:
            self._say(text, tokens)
        if piece.completion_tokens:
            self.generated = self._before + self._used  # the server knows better
        if piece.reasoning_tokens is not None:
            thought = self._thought_before + piece.reasoning_tokens
            self.thought_tokens = min(self.generated, thought)
        return bool(piece.reasoning or piece.passed or text or tokens)

    def _relay_fields(self, passed: Passed, tokens: int) -> None:
        """Pass on fields that are no text."""
        chars = passed_fields.chars_of(passed)
        self.allowance.take_chars(chars)
        self._passed_chars += chars
        add(self.passed, kept(passed))
        self.generated += tokens
        self._emit(PassedDelta(self.id, passed, (UNKNOWN_TOKEN,) * tokens))

    def _think(self, text: str, tokens: int) -> None:
        """Pass a thought on."""
        room = (
            answer_chars(self._most_tokens)
            - len(self.said)
            - self._passed_chars
            - len(self.thought)
        )
        if self._goes_on_thinking and not self.thought:
            text = "\n\n" + text
        text = text[: max(0, room)]
        self._is_thinking = True
        self.thought += text
        self.thought_tokens += tokens
        self._tell(Channel.REASONING, text, THOUGHT_TOKEN, tokens)

    def _say(self, text: str, tokens: int) -> None:
        """Pass text on."""
        self._is_thinking = self._is_thinking and not text
        self.said += text
        self._tell(Channel.TEXT, text, UNKNOWN_TOKEN, tokens)

    def _tell(self, channel: Channel, text: str, token: int, tokens: int) -> None:
        """Emit a text, a huge one in parts."""
        self.allowance.take_chars(len(text))
        self.generated += tokens
        self._emit(TextDelta(self.id, text[:DELTA_CHARS], (token,) * tokens, channel))
        for at in range(DELTA_CHARS, len(text), DELTA_CHARS):
            self._emit(TextDelta(self.id, text[at : at + DELTA_CHARS], (), channel))
