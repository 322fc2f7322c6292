"""Splits what a model writes, token by token, into thought and text.

Delimiters that are tokens of the tokenizer are matched as tokens, see `Delimiters`. So a model that
copies somebody's "</think>" in ordinary characters stays in its channel. The result is a pure
function of the tokens read so far, as that of `Detokenizer`.

transformers' ResponseParser splits alike (the tests compare). It copies all of the answer with each
token, and searches text only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from streaming.engine.base import Channel
from streaming.engine.local.answers.delimiters import MARKS, Delimiter, Delimiters, ParserState
from streaming.engine.local.answers.detokenizer import Detokenizer, Part, StopStrings, overlap

_MOST_HEADER_CHARS = 256
"""What is longer is no header, and is shown as text."""

_MOST_UNDECIDED = 64
"""The most tokens of a header. More are counted as the answer's: a model may write tokens without
any text for ever."""

_BETWEEN = "\n\n"
"""Between two thoughts of one answer, and between two texts."""

_ROLE = "assistant"


class ChannelParser:
    """Parses one answer.

    - `decode`, `stop`, `silent`, `after`: as in `Detokenizer`
    - `closing`: the tokens that end a thought, which are forced when it has `most_thought` tokens
      (0: never)

    `thought_tokens` counts the tokens of thoughts.
    """

    def __init__(
        self,
        delimiters: Delimiters,
        decode: Callable[[Sequence[int]], str],
        stop: Sequence[str] = (),
        silent: Collection[int] = (),
        after: Sequence[int] = (),
        closing: Sequence[int] = (),
        most_thought: int = 0,
    ) -> None:
        self.thought_tokens = 0
        self._delimiters = delimiters
        self._decode, self._silent = decode, silent
        self._characters = Detokenizer(decode, silent=silent, after=after)
        self._stops = StopStrings(stop)
        self._closing, self._most_thought = closing, most_thought
        self._closed = 0  # of the tokens of `closing`, how many have come
        self._undecided = 0  # tokens that may belong to a delimiter, or to a header
        self._outside = ParserState.TEXT if delimiters.format.implicit else ParserState.HEADER
        self._state = self._outside
        self._is_last = False  # of the turn's messages
        self._held = ""  # may be the beginning of a delimiter
        self._blanks: list[str] = []  # come out when more follows in this stretch
        self._header = ""
        self._is_bare = True  # a header that has named no channel yet
        self._said = False  # something in this stretch
        self._spoken: set[Channel] = set()  # something was said before
        self._parts: list[Part] = []

    @property
    def stopped(self) -> bool:
        """Return whether a stop string has ended the answer."""
        return self._stops.stopped

    @property
    def channel(self) -> Channel:
        """Return the channel of what is being written."""
        return Channel.REASONING if self._state is ParserState.THOUGHT else Channel.TEXT

    @property
    def uncounted(self) -> int:
        """Return how many tokens read so far do not count for `max_tokens`: those of thoughts, and
        those that may become a part of a delimiter or header."""
        return self.thought_tokens + min(self._undecided, _MOST_UNDECIDED)

    def begin(self, tail: str, *, continued: bool) -> None:
        """Go to where the prompt leaves the answer.

        `tail` is what the prompt has of the answer, with marks; `continued`: its text is the
        answer's own beginning.
        """
        stops, self._stops = self._stops, StopStrings(())
        self._take(tail)
        self._stops, self._held, self._header = stops, "", ""
        self._parts.clear()
        self._blanks.clear()
        if not continued:
            self._said = False
            self._spoken.clear()

    def forced(self) -> int | None:
        """Return the token that must come next, since a thought is too long; None if any may."""
        if 0 < self._closed < len(self._closing) or self._is_overdue:
            return self._closing[self._closed]
        return None

    def ends(self, token: int) -> bool:
        """Return whether a token ends the turn here, where it ends a message elsewhere."""
        return self._is_last and token in self._delimiters.message_ends

    def read(self, token: int) -> Sequence[Part]:
        """Return the parts that `token` completes: none while it may belong to an incomplete
        character, a delimiter, the blanks at the end of a thought, or a stop string."""
        if self._closing and (self._closed or self._is_overdue):
            self._closed = self._closed + 1 if token == self._closing[self._closed] else 0
        before = self.channel
        mark = self._delimiters.marks.get(token)
        if mark is None:
            if text := self._characters.push(token):
                self._take(text)
        else:  # half a character before it is dropped
            self._characters = Detokenizer(self._decode, silent=self._silent, after=[token])
            self._take(mark)
        self._count(before)
        if self._closed and self._closed == len(self._closing):
            self._closed = 0
            if self._is_overdue:  # `closing` does not end thoughts, and never will
                self._most_thought = 0
        if self.stopped:
            self._held = ""
        parts, self._parts = self._parts, []
        return parts

    def end(self) -> Sequence[Part]:
        """Return what was held back for a delimiter or a stop string that did not come."""
        if self.stopped:
            return ()
        held, self._held = self._held, ""
        self._say(held)
        if self._state is ParserState.HEADER and self._is_bare:
            self._leave_header()
        self._end_stretch()
        parts, self._parts = self._parts, []
        return parts

    @property
    def _is_overdue(self) -> bool:
        return (
            self._state is ParserState.THOUGHT
            and 0 < self._most_thought <= self.thought_tokens
            and bool(self._closing)
        )

    def _count(self, before: Channel) -> None:
        if self._held or self._state is ParserState.HEADER:
            self._undecided += 1
            return
        if Channel.REASONING in (before, self.channel):
            self.thought_tokens += self._undecided + 1
        self._undecided = 0

    def _take(self, text: str) -> None:
        if not self._held and self._delimiters.in_tokens[self._state] and not MARKS.search(text):
            self._say(text)
            return
        text, self._held = self._held + text, ""
        while text and not self.stopped:
            at, delimiter = self._scan(text)
            self._say(text[:at])
            if delimiter is None:
                self._held = text[at:]
                return
            text = text[at + len(delimiter.literal) :]
            self._enter(delimiter)

    def _scan(self, text: str) -> tuple[int, Delimiter | None]:
        """Return where the first delimiter begins, and the longest one there; or where what may
        become one begins, and None."""
        hold = at = len(text)
        best: Delimiter | None = None
        for delimiter in self._delimiters.by_state[self._state]:
            literal = delimiter.literal
            if delimiter.at_start:
                if self._said:
                    continue
                found = len(text) - len(text.lstrip())
                if not text.startswith(literal, found):
                    if literal.startswith(text[found:]):
                        hold = min(hold, found)
                    continue
            else:
                found = text.find(literal)
                if found < 0:
                    hold = min(hold, len(text) - overlap(text, literal))
                    continue
            if best is None or (found, -len(literal)) < (at, -len(best.literal)):
                at, best = found, delimiter
        return (hold, None) if best is None or at >= hold else (at, best)

    def _enter(self, delimiter: Delimiter) -> None:
        state = delimiter.into
        self._is_last = state is ParserState.MESSAGE
        if state is None:
            state = self._state_by_header()
        self._end_stretch()
        self._header = ""
        self._is_bare = delimiter.literal == next(iter(self._delimiters.header_opens), None)
        self._state = self._outside if state is ParserState.TEXT else state
        self._is_bare |= self._state is not state

    def _state_by_header(self) -> ParserState:
        it = self._delimiters.format
        name = next(iter(self._header.split()), "")
        self._is_last = name.startswith(it.last)
        return ParserState.THOUGHT if name.startswith(it.thoughts) else ParserState.MESSAGE

    def _leave_header(self) -> None:
        """Treat a header as text after all: the model names no channel."""
        said, self._header = self._header.removeprefix(_ROLE), ""
        self._state = ParserState.TEXT
        self._say(said)

    def _end_stretch(self) -> None:
        if self._state in (ParserState.TEXT, ParserState.MESSAGE) and (held := self._stops.flush()):
            self._parts.append((Channel.TEXT, held))
        self._blanks.clear()
        self._said = False

    def _say(self, text: str) -> None:
        text = MARKS.sub("", text)
        if self._state is ParserState.HEADER:
            self._header += text
            if len(self._header) > _MOST_HEADER_CHARS:
                self._leave_header()
            return
        channel = self.channel
        if not self._said:
            text = text.lstrip()
            if not text:
                return
            if channel in self._spoken:
                text = _BETWEEN + text
            self._said = True
            self._spoken.add(channel)
        if channel is Channel.REASONING or self._delimiters.wraps_text:
            text = self._without_end(text)
        if channel is Channel.TEXT:
            text = self._stops.push(text)
        if text:
            self._parts.append((channel, text))

    def _without_end(self, text: str) -> str:
        body = text.rstrip()
        if not body:
            if text:
                self._blanks.append(text)
            return ""
        out = "".join(self._blanks) + body
        self._blanks = [text[len(body) :]] if len(body) < len(text) else []
        return out
