"""What a model writes, token by token, as thought and text.

Delimiters that are tokens of the tokenizer are matched as tokens, see `Delimiters`. So a model that
copies somebody's "</think>" in ordinary characters stays where it is. A pure function of the tokens
pushed so far, as `Detokenizer` is.

transformers' ResponseParser splits alike (the tests compare). It keeps and copies all of an answer
with each token, and searches text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from streaming.engine.base import Channel
from streaming.engine.local.answers.delimiters import MARKS, Delimiters, State, Watched
from streaming.engine.local.answers.detokenizer import Detokenizer, Part, StopStrings, overlap

_MOST_HEADER_CHARS = 256
"""What goes on longer is no header, and shown as text."""

_MOST_UNDECIDED = 64
"""Tokens that belong to a header are fewer; a model may also write ones without any text."""

_BETWEEN = "\n\n"
"""Between a thought and one that comes after some text, and between the parts of a text."""

_ROLE = "assistant"


class Channels:
    """The channels of one answer. `closing` are the tokens that end a thought of `most_thought`
    tokens (0: it may go on), and `after` the last ones of a text that goes on."""

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
        self._outside = State.TEXT if delimiters.format.implicit else State.HEADER
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
        """Whether a stop string has ended the answer."""
        return self._stops.stopped

    @property
    def channel(self) -> Channel:
        return Channel.REASONING if self._state is State.THOUGHT else Channel.TEXT

    @property
    def uncounted(self) -> int:
        """Tokens pushed so far that are not the answer's: of thoughts, and those that may be."""
        return self.thought_tokens + min(self._undecided, _MOST_UNDECIDED)

    def begin(self, tail: str, *, continued: bool) -> None:
        """Go to where a prompt leaves the answer: `tail` is what it wrote of it, with marks.
        `continued`: what is said there is the answer's beginning."""
        stops, self._stops = self._stops, StopStrings(())
        self._take(tail)
        self._stops, self._held, self._header = stops, "", ""
        self._parts.clear()
        self._blanks.clear()
        if not continued:
            self._said = False
            self._spoken.clear()

    def forced(self) -> int | None:
        """The token that must come next, whatever the model says: a thought has been too long."""
        if 0 < self._closed < len(self._closing) or self._is_overdue:
            return self._closing[self._closed]
        return None

    def ends(self, token: int) -> bool:
        """Whether the turn ends with a token that ends other messages."""
        return self._is_last and token in self._delimiters.message_ends

    def read(self, token: int) -> Sequence[Part]:
        """What `token` completes: nothing while a character, a delimiter, blanks at the end of a
        thought, or a stop string may go on."""
        if self._closing and (self._closed or self._is_overdue):
            self._closed = self._closed + 1 if token == self._closing[self._closed] else 0
        before = self.channel
        mark = self._delimiters.marks.get(token)
        if mark is None:
            if text := self._characters.push(token):
                self._take(text)
        else:  # half a character before it is nobody's
            self._characters = Detokenizer(self._decode, silent=self._silent, after=[token])
            self._take(mark)
        self._count(before)
        if self._closed and self._closed == len(self._closing):
            self._closed = 0
            if self._is_overdue:  # it did not help, and never will
                self._most_thought = 0
        if self.stopped:
            self._held = ""
        parts, self._parts = self._parts, []
        return parts

    def end(self) -> Sequence[Part]:
        """What was held back for a delimiter or a stop string that did not come."""
        if self.stopped:
            return ()
        held, self._held = self._held, ""
        self._say(held)
        if self._state is State.HEADER and self._is_bare:
            self._leave_header()
        self._end_stretch()
        parts, self._parts = self._parts, []
        return parts

    @property
    def _is_overdue(self) -> bool:
        return (
            self._state is State.THOUGHT
            and 0 < self._most_thought <= self.thought_tokens
            and bool(self._closing)
        )

    def _count(self, before: Channel) -> None:
        if self._held or self._state is State.HEADER:
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
            at, watched = self._scan(text)
            self._say(text[:at])
            if watched is None:
                self._held = text[at:]
                return
            text = text[at + len(watched.literal) :]
            self._enter(watched)

    def _scan(self, text: str) -> tuple[int, Watched | None]:
        """Where the first delimiter begins (the longest there), or else what may be one."""
        hold = at = len(text)
        best: Watched | None = None
        for watched in self._delimiters.watched[self._state]:
            literal = watched.literal
            if watched.at_start:
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
                at, best = found, watched
        return (hold, None) if best is None or at >= hold else (at, best)

    def _enter(self, watched: Watched) -> None:
        state = watched.into
        self._is_last = state is State.MESSAGE
        if state is None:
            state = self._state_by_header()
        self._end_stretch()
        self._header = ""
        self._is_bare = watched.literal == next(iter(self._delimiters.header_opens), None)
        self._state = self._outside if state is State.TEXT else state
        self._is_bare |= self._state is not state

    def _state_by_header(self) -> State:
        it = self._delimiters.format
        name = next(iter(self._header.split()), "")
        self._is_last = name.startswith(it.last)
        return State.THOUGHT if name.startswith(it.thoughts) else State.MESSAGE

    def _leave_header(self) -> None:
        """It was none: a model that names no channel says something."""
        said, self._header = self._header.removeprefix(_ROLE), ""
        self._state = State.TEXT
        self._say(said)

    def _end_stretch(self) -> None:
        if self._state in (State.TEXT, State.MESSAGE) and (held := self._stops.flush()):
            self._parts.append((Channel.TEXT, held))
        self._blanks.clear()
        self._said = False

    def _say(self, text: str) -> None:
        text = MARKS.sub("", text)
        if self._state is State.HEADER:
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
