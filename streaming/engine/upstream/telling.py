"""What readers have of one answer, and how more of it is passed on to them, within bounds."""

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
from streaming.engine.upstream import beside
from streaming.engine.upstream.bounds import (
    DELTA_CHARS,
    PIECES_A_TOKEN,
    Allowance,
    answer_chars,
)
from streaming.engine.upstream.stream import Piece

THOUGHT_TOKEN = UNKNOWN_TOKEN - 1
"""An unknown token that was thought: whoever goes on after a crash can count them."""


class Telling:
    """`said` and `thought` are what readers have; `generated` how many tokens it is, of which
    `thought_tokens` were thought.

    `goes_on_thinking`: before this response there is a thought that was cut, in which no server can
    go on, so that another one follows it.
    """

    def __init__(
        self,
        request: GenerationRequest,
        emit: Callable[[EngineEvent], None],
        *,
        goes_on_thinking: bool,
    ) -> None:
        self._id = request.response_id
        self._emit = emit
        self._most_answer_tokens = request.params.max_tokens
        self._most_tokens = request.params.max_tokens + request.thinking.max_tokens
        self.allowance = Allowance(self._most_tokens)
        self.said, self.thought = request.prior_text, request.prior_reasoning
        self.generated = len(request.prior_tokens)
        self.thought_tokens = request.prior_tokens.count(THOUGHT_TOKEN)
        self.passed: Passed = {}
        add(self.passed, request.prior_passed)
        self._beside = beside.chars_of(self.passed)  # characters that are neither text nor thought
        self._goes_on_thinking = goes_on_thinking
        self._before = self._used = self._thought_before = 0

    @property
    def answered(self) -> int:
        """Tokens of the answer, without those of the thought."""
        return self.generated - self.thought_tokens

    @property
    def is_nothing(self) -> bool:
        return not (self.said or self.thought or self.generated or self.passed)

    @property
    def has_only_thought(self) -> bool:
        """Whether it has thought, which not every server shows, and said nothing else."""
        is_said = bool(self.said) or not self.passed.keys() <= {"usage"}
        return bool(self.thought or self.thought_tokens) and not is_said

    @property
    def is_overlong(self) -> bool:
        """Whether the server has said more than was asked for, whatever it counts."""
        chars = len(self.said) + self._beside
        return (
            self.generated > PIECES_A_TOKEN * self._most_tokens
            or chars >= answer_chars(self._most_answer_tokens)
            or chars + len(self.thought) >= answer_chars(self._most_tokens)
        )

    def void(self) -> None:
        """It begins anew."""
        self.said = self.thought = ""
        self.generated = self.thought_tokens = self._beside = 0
        self.passed = {}

    def connected(self) -> None:
        """What comes from here on comes over another connection, which counts its own tokens."""
        self._before, self._used = self.generated, 0
        self._thought_before = self.thought_tokens

    def take(self, piece: Piece, text: str) -> bool:
        """Pass on a piece, whose new text this is. Whether there was anything to pass on."""
        tokens = 1 if piece.has_output else 0
        if piece.completion_tokens:
            self._used = max(self._used, piece.completion_tokens)
            tokens = max(0, self._before + self._used - self.generated)
            tokens = min(tokens, self._most_tokens)
        if piece.reasoning:
            self._think(piece.reasoning, 0 if text else tokens)
            tokens = tokens if text else 0
        room = answer_chars(self._most_answer_tokens) - len(self.said) - self._beside
        if piece.passed and beside.chars_of(piece.passed) > room:
            self._beside += room  # it is overlong: a call with a gap in it must not go on
        elif piece.passed:
            self._pass_on(piece.passed, 0 if text else tokens)
            tokens = tokens if text else 0
        text = text[: max(0, room)]
        if text or tokens:
            self._say(text, tokens)
        if piece.completion_tokens:
            self.generated = self._before + self._used  # it knows better
        if piece.reasoning_tokens is not None:
            thought = self._thought_before + piece.reasoning_tokens
            self.thought_tokens = min(self.generated, thought)
        return bool(piece.reasoning or piece.passed or text or tokens)

    def _pass_on(self, passed: Passed, tokens: int) -> None:
        """Pass on what is no text."""
        chars = beside.chars_of(passed)
        self.allowance.take_chars(chars)
        self._beside += chars
        add(self.passed, kept(passed))
        self.generated += tokens
        self._emit(PassedDelta(self._id, passed, (UNKNOWN_TOKEN,) * tokens))

    def _think(self, text: str, tokens: int) -> None:
        """Pass a thought on."""
        room = answer_chars(self._most_tokens) - len(self.said) - self._beside - len(self.thought)
        if self._goes_on_thinking and not self.thought:
            text = "\n\n" + text
        text = text[: max(0, room)]
        self.thought += text
        self.thought_tokens += tokens
        self._tell(Channel.REASONING, text, THOUGHT_TOKEN, tokens)

    def _say(self, text: str, tokens: int) -> None:
        """Pass text on."""
        self.said += text
        self._tell(Channel.TEXT, text, UNKNOWN_TOKEN, tokens)

    def _tell(self, channel: Channel, text: str, token: int, tokens: int) -> None:
        """A huge one in parts."""
        self.allowance.take_chars(len(text))
        self.generated += tokens
        self._emit(TextDelta(self._id, text[:DELTA_CHARS], (token,) * tokens, channel))
        for at in range(DELTA_CHARS, len(text), DELTA_CHARS):
            self._emit(TextDelta(self._id, text[at : at + DELTA_CHARS], (), channel))
