"""The delimiters of thought and text in the tokens of one tokenizer.

In the text that `ChannelParser` reads, each delimiter that is a token is a lone surrogate (its
mark), which decoded text never contains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import NamedTuple

from streaming.engine.templates.response_format import ResponseFormat

_FIRST_MARK, _MOST_MARKS = 0xD800, 2048
MARKS = re.compile("[\ud800-\udfff]")


class ParserState(Enum):
    """Where in an answer a parser is."""

    TEXT = auto()  # outside of all delimiters
    MESSAGE = auto()  # text that a delimiter opened
    THOUGHT = auto()
    HEADER = auto()


class Delimiter(NamedTuple):
    """A delimiter, and the state that it leads to; None: the header decides. `at_start`: it counts
    only at the beginning of a stretch, since it is ordinary text and no token."""

    literal: str
    into: ParserState | None
    at_start: bool


class Delimiters:
    """The delimiters of a ResponseFormat in one tokenizer, whose added tokens are `names`.

    - `marks`: the mark of each token that is a delimiter or a part of one
    - `by_state`: the delimiters that count in each state; `in_tokens`: whether all of them are
      tokens
    - `message_ends`: tokens that end a message, and the turn in its last message; `ends`: tokens
      that end the turn
    - `tokens`: delimiters that end no turn
    """

    def __init__(self, response_format: ResponseFormat, names: Mapping[str, int]) -> None:
        it = self.format = response_format
        self._names = names
        self.marks: dict[int, str] = {}
        # A word, a blank or a bracket may be an added token, too, and means nothing by itself.
        self._known = [
            name for name in sorted(names, key=len, reverse=True)
            if len(name) > 2 and not name.strip().isalnum()
            and any(name in each for each in _literals(it))
        ]  # fmt: skip
        opens = self._all(it.thought_opens)
        closes = self._all(it.thought_closes)
        texts, ends = self._all(it.text_opens), self._all(it.text_closes)
        self.header_opens = self._all(it.header_opens)
        self.header_close = self.marked(it.header_close)
        headers = [Delimiter(each, ParserState.HEADER, False) for each in self.header_opens]
        opening = [Delimiter(each, ParserState.THOUGHT, not self._is_token(each)) for each in opens]
        saying = [Delimiter(each, ParserState.MESSAGE, not self._is_token(each)) for each in texts]
        # One that closes what is not open is dropped if it is a token; else it is text.
        stray = [Delimiter(each, ParserState.TEXT, False)
                 for each in (*closes, *ends) if self._is_token(each)]  # fmt: skip
        ending = [Delimiter(each, ParserState.TEXT, False) for each in ends]
        closing = [Delimiter(each, ParserState.TEXT, False) for each in closes]
        spoken = [each for each in saying if self._is_token(each.literal)]
        named = [Delimiter(self.header_close, None, False)] if self.header_close else []
        if it.header_close:  # then the others are whole headers
            opening = saying = spoken = []
        self.by_state = {
            ParserState.TEXT: (*opening, *saying, *stray, *headers),
            ParserState.MESSAGE: (*opening, *ending, *stray, *headers),
            ParserState.THOUGHT: (*closing, *opening, *spoken, *headers),
            ParserState.HEADER: (*named, *opening, *saying, *headers),
        }
        self.in_tokens = {
            state: all(self._is_token(each.literal) for each in delimiters)
            for state, delimiters in self.by_state.items()
        }
        self.wraps_text = bool(texts)
        shared = [each for each in closes if each in ends]
        self.message_ends = self._tokens(shared)
        self.ends = self._tokens(self._all(it.ends))
        self.tokens = frozenset(self.marks) - self.ends

    def marked(self, text: str) -> str:
        """Return `text` with a mark for each token that is, or is part of, a delimiter. Raises
        ValueError if there are more than 2,048."""
        for name in self._known:
            if name in text:
                token = self._names[name]
                if token not in self.marks:
                    if len(self.marks) == _MOST_MARKS:
                        raise ValueError("it has too many delimiters")
                    self.marks[token] = chr(_FIRST_MARK + len(self.marks))
                text = text.replace(name, self.marks[token])
        return text

    def starts(self, text: str) -> int:
        """Return where in `text` the first delimiter begins; its length if there is none."""
        literals = {each.literal for state in self.by_state.values() for each in state}
        found = [at for literal in literals if (at := text.find(literal)) >= 0]
        return min(found, default=len(text))

    def _all(self, literals: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self.marked, literals))

    def _is_token(self, literal: str) -> bool:
        return literal[0] in self.marks.values()

    def _tokens(self, literals: Iterable[str]) -> frozenset[int]:
        tokens = {mark: token for token, mark in self.marks.items()}
        return frozenset(tokens[each] for each in literals if each in tokens)


def _literals(response_format: ResponseFormat) -> list[str]:
    it = response_format
    several = (it.thought_opens, it.thought_closes, it.text_opens, it.text_closes, it.header_opens)
    return [*(each for literals in several for each in literals), it.header_close, *it.ends]
