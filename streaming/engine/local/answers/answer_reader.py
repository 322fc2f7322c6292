"""Reads one model's answers: where they begin in a prompt, what in them is a thought, what ends
them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from streaming.engine.base import ChatMessage, EngineError, SamplingParams
from streaming.engine.local.answers.channel_parser import ChannelParser
from streaming.engine.local.answers.delimiters import Delimiters
from streaming.engine.local.answers.detokenizer import Detokenizer
from streaming.engine.local.answers.turn_end import (
    ONE_TURN,
    TWO_TURNS,
    begin_of_answer,
    end_of_turn,
    pieces_of,
)
from streaming.engine.templates.response_format import choose_format, mentions

logger = logging.getLogger("streaming.engine")

_CONTEXT_TOKENS = 8  # of an answer that goes on: enough for any decoder to join the next one

Encode = Callable[[Sequence[ChatMessage]], Sequence[int]]


class AnswerReader:
    """Makes a parser for each answer of a model with this tokenizer.

    - `source`: its chat template's source
    - `encode` makes the prompt of a conversation
    - `decode`, `silent`: as in Detokenizer

    `thinks`: its answers may begin with a thought.
    """

    def __init__(
        self,
        tokenizer: Any,
        source: str,
        encode: Encode,
        decode: Callable[[Sequence[int]], str],
        silent: frozenset[int],
    ) -> None:
        self._tokenizer = tokenizer
        self._decode, self._silent = decode, silent
        added: Mapping[int, Any] = tokenizer.added_tokens_decoder
        names = {entry.content: token for token, entry in added.items() if entry.content.strip()}
        self._added = frozenset(names.values())
        own = getattr(tokenizer, "response_template", None)
        found = choose_format(source, names, own)
        self._delimiters = Delimiters(found, names) if found else None
        self.thinks = found is not None and (not found.when or mentions(found, source))
        self._end = self._end_of_turn(encode)
        self._anchor: int | None = None
        self._lead = ""
        self._closing: list[int] = []
        if self._delimiters:
            self._find_begin(encode, self._delimiters)
            closing = self._delimiters.format.closing
            self._closing = list(tokenizer.encode(closing, add_special_tokens=False))

    @property
    def format_name(self) -> str:
        """Return the name of the ResponseFormat that tells thoughts apart; empty if there is
        none."""
        return self._delimiters.format.name if self._delimiters else ""

    def stop_ids(self, of_model: Iterable[int]) -> frozenset[int]:
        """Return the tokens that end an answer: those that the model and the tokenizer declare, the
        one that the template writes after an answer, and those of the response format. Without
        those that delimit thoughts, after which the answer goes on."""
        declared = self._tokenizer.eos_token_id
        ids = {*of_model, *([declared] if isinstance(declared, int) else declared or ())}
        if self._end is not None:
            ids.add(self._end)
        if self._delimiters:
            ids |= self._delimiters.ends
            ids -= self._delimiters.tokens
        return frozenset(ids)

    def begin(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        newest: ChatMessage,
        most_thought: int = 0,
    ) -> Detokenizer | ChannelParser:
        """Return a parser for the answer to a prompt whose last message is `newest`. A thought is
        ended after `most_thought` tokens (0: never)."""
        continued = newest.role == "assistant"
        after = prompt[-_CONTEXT_TOKENS:] if continued else ()
        if self._delimiters is None:
            return Detokenizer(self._decode, params.stop, self._silent, after=after)
        channels = ChannelParser(
            self._delimiters, self._decode, params.stop, self._silent, after,
            closing=self._closing, most_thought=most_thought,
        )  # fmt: skip
        tail = self._tail(prompt, self._delimiters, continued=continued)
        channels.begin(self._begun(newest) if tail is None else tail, continued=continued)
        return channels

    def begin_raw(self, prompt: Sequence[int], params: SamplingParams) -> Detokenizer:
        """Return a parser for what follows a bare text: all of it is text."""
        after = prompt[-_CONTEXT_TOKENS:]
        return Detokenizer(self._decode, params.stop, self._silent, after=after)

    def _begun(self, newest: ChatMessage) -> str:
        """Return what an answer begins with, told from the newest message alone."""
        if self._delimiters is None or newest.role != "assistant":
            return ""
        if newest.reasoning and not newest.content:
            opens = self._delimiters.format.thought_opens[0]
            return self._delimiters.marked(opens) + newest.reasoning
        return newest.content

    def _tail(
        self, prompt: Sequence[int], delimiters: Delimiters, *, continued: bool
    ) -> str | None:
        """Return what a prompt has of the answer, with marks; None if it cannot be found."""
        start = 0
        if self._anchor is not None:
            if self._anchor not in prompt:
                return None
            start = len(prompt) - list(reversed(prompt)).index(self._anchor)
            start -= bool(delimiters.header_opens)  # which is a part of it
        pieces = pieces_of(prompt[start:], delimiters.marks, self._decode)
        text = "".join(
            piece if isinstance(piece, str) else delimiters.marks[piece] for piece in pieces
        )
        if delimiters.header_opens:
            return text
        if self._anchor is None:
            if not self._lead or self._lead not in text:
                return None
            text = text.rpartition(self._lead)[2]
        else:
            text = text.removeprefix(self._lead)
        return text if continued else text[delimiters.starts(text) :]

    def _end_of_turn(self, encode: Encode) -> int | None:
        skipped = self._delimiters.tokens if self._delimiters else ()
        closes = self._delimiters.format.text_closes if self._delimiters else ()
        try:
            prompt = encode(TWO_TURNS)
        except EngineError as error:
            logger.info("What ends a turn is not asked of the chat template: %s", error)
            return None
        return end_of_turn(prompt, self._added, self._decode, skipped, closes)

    def _find_begin(self, encode: Encode, delimiters: Delimiters) -> None:
        if delimiters.header_opens:
            mark = delimiters.header_opens[0]
            self._anchor = next((t for t, each in delimiters.marks.items() if each == mark), None)
            return
        try:
            prompt = encode(ONE_TURN)
        except EngineError as error:
            logger.info("Where an answer begins is not asked of the chat template: %s", error)
            return
        added = self._added
        self._anchor, self._lead = begin_of_answer(prompt, added, self._decode, delimiters.tokens)
        if self._anchor is None:  # all of it is text, the thought's beginning too
            self._lead = self._lead[: delimiters.starts(self._lead)]
