"""Makes tokens of messages: chat template, history trimming, and text that cannot forge a token.

Whatever a person types reaches the model as plain text. The tokenizer used here is a copy in
which every added token that means something ("<|im_end|>", "<think>", ...) has a secret random
name. The template is rendered as usual; only the token strings that the template itself wrote are
then renamed, so those in a message have nothing left to match. Ordinary messages come out exactly
as from the tokenizer's own `apply_chat_template`, and so do added tokens that are nothing but
text, such as Gemma's `<b>`.

A tokenizer treats the text between two added tokens independently of the rest. So a rendered prompt
is cut there, each piece is tokenized once, also across turns, and trimming is arithmetic.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from streaming.engine.base import (
    CHARS_PER_TOKEN,
    ChatMessage,
    EngineError,
    Thinking,
    context_exceeded,
)
from streaming.engine.local.answers.answer_reader import AnswerReader
from streaming.engine.local.prompts.protected import control_text, is_text, rename
from streaming.engine.local.prompts.token_cache import TokenCache
from streaming.engine.local.prompts.trimming import TrimSearch, chars_of, first_within, turns_of
from streaming.engine.templates.chat_template import AUTO, ChatTemplate
from streaming.engine.templates.choice import choose
from streaming.engine.templates.guarded_texts import secret_of
from streaming.engine.templates.template import Template
from streaming.engine.templates.token_names import pattern_of

_MOST_CHARS = 1_000_000
"""Turns beyond so many characters, or beyond CHARS_PER_TOKEN for each token that fits, are left out
without being tokenized."""


OnProgress = Callable[[], None]
"""Called whenever the making of a prompt has made progress."""


class PromptBuilder:
    """Tokenizes conversations for one model. Safe to use from any thread."""

    def __init__(self, tokenizer: Any, template: str | None = None) -> None:
        """Prepare for a tokenizer and, instead of its own chat template, `template`. Raises
        EngineError if there is none, or if an added token cannot be protected."""
        self._tokenizer = tokenizer
        source = self._source = choose(template or tokenizer.chat_template)
        added = tokenizer.added_tokens_decoder
        self.special_ids = frozenset(
            {token for token, entry in added.items() if entry.special}
            | set(tokenizer.all_special_ids)
        )
        control = control_text(tokenizer, source)
        named = {
            token: entry
            for token, entry in added.items()
            if token in self.special_ids or not is_text(entry.content, control)
            if entry.content
        }
        names = {entry.content: token for token, entry in named.items()}
        pattern_of(list(names))  # raises its error here, where somebody sees it
        nonce = secrets.token_hex(8)
        self._secrets = {token: secret_of(nonce, token) for token in named}
        self._renamed, self._ids = rename(tokenizer, self._secrets, names)
        # A token that the tokenizer does not find in text (since its normalizer puts a blank
        # before it) is text in a template, too.
        written = {
            name: self._secrets[token] if self._finds(token) else name
            for name, token in names.items()
        }
        # Tokens that are found in normalized text only, or only between blanks, depend on what
        # stands around them.
        borders = {
            written[entry.content]: token
            for token, entry in named.items()
            if not (entry.normalized or entry.single_word) and self._finds(token)
        }
        variables = dict(tokenizer.special_tokens_map)
        tokens = frozenset(entry.content for entry in added.values())
        self.template = ChatTemplate(Template(source, variables, written, borders, tokens))
        self._token_cache = TokenCache()

    @cached_property
    def answers(self) -> AnswerReader:
        """Return what reads the answers to these prompts. The first call renders some
        conversations."""
        return AnswerReader(
            self._tokenizer, self._source, self.encode, self.decode, self.special_ids
        )

    def stop_ids(self, of_model: Iterable[int]) -> frozenset[int]:
        """Return the tokens that end an answer: those of the model, of the tokenizer and of the
        template."""
        return self.answers.stop_ids(of_model)

    def names_of(self, tokens: Iterable[int]) -> list[str]:
        """Return the tokenizer's names of tokens."""
        return [str(name) for name in self._tokenizer.convert_ids_to_tokens(list(tokens))]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, special ones included."""
        text: str = self._tokenizer.decode(
            list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def encode(self, messages: Sequence[ChatMessage], thinking: Thinking = AUTO) -> list[int]:
        """Return the prompt of all messages, up to where the answer begins or, if the last message
        is the assistant's, goes on. Raises EngineError as `ChatTemplate.render`."""
        return self._encode(messages, thinking, None).tokens

    def whole(
        self,
        messages: Sequence[ChatMessage],
        context: int,
        on_progress: OnProgress = lambda: None,
        thinking: Thinking = AUTO,
    ) -> list[int]:
        """Return the prompt of all messages, which leaves room for at least one token of an answer
        in a context of `context` tokens.

        Raises EngineError: `context_length_exceeded` if it does not, `invalid_messages` if there is
        no message, and as `ChatTemplate.render`.
        """
        if not messages:
            raise EngineError("There is no message to answer.", "invalid_messages")
        messages = self.template.seen(messages, thinking)
        chars = sum(map(chars_of, messages))
        if chars > max(_MOST_CHARS, CHARS_PER_TOKEN * context):
            raise context_exceeded(context)
        tokens = self._encode(messages, thinking, None, on_progress).tokens
        if len(tokens) >= context:
            raise context_exceeded(context, len(tokens))
        return tokens

    def raw(self, text: str, context: int, on_progress: OnProgress = lambda: None) -> list[int]:
        """Return the prompt of a bare text: the tokens that begin every text for this tokenizer,
        then the text's, which leave room for at least one more in a context of `context` tokens.
        Names of special tokens in it are text, as in a message.

        Raises EngineError: `context_length_exceeded`, or `invalid_messages` if there is no token.
        """
        if len(text) > max(_MOST_CHARS, CHARS_PER_TOKEN * context):
            raise context_exceeded(context)
        tokens = [*self._begin_of_text, *self._tokens_of(None, text, None)]
        on_progress()
        if not tokens:
            raise EngineError("There is no text to go on with.", "invalid_messages")
        if len(tokens) >= context:
            raise context_exceeded(context, len(tokens))
        return tokens

    @cached_property
    def _begin_of_text(self) -> tuple[int, ...]:
        """The tokens that the tokenizer writes before any text of its own accord."""
        bare, whole = (
            self._tokenizer.encode("a", add_special_tokens=with_special)
            for with_special in (False, True)
        )
        at = next((n for n in range(len(whole)) if whole[n : n + len(bare)] == bare), 0)
        return tuple(whole[:at])

    def fit(
        self,
        messages: Sequence[ChatMessage],
        limit: int,
        on_progress: OnProgress = lambda: None,
        *,
        most: int | None = None,
        thinking: Thinking = AUTO,
    ) -> tuple[list[int], int]:
        """Return the prompt of the newest whole turns that fit `limit` tokens, and how many
        messages were left out. The newest turn alone may have `most` tokens (None: `limit`).

        System messages at the beginning always stay. Raises EngineError: `input_too_long` if even
        the newest turn does not fit, `context_full` if that is an answer that is to go on,
        `invalid_messages` if there is no message, and as `ChatTemplate.render`.
        """
        if not messages:
            raise EngineError("There is no message to answer.", "invalid_messages")
        messages = self.template.seen(messages, thinking)
        head, starts = turns_of(messages)
        first = first_within(messages, starts, max(_MOST_CHARS, CHARS_PER_TOKEN * limit))
        chars = CHARS_PER_TOKEN * limit
        if first == 0:
            whole = self._encode(messages, thinking, limit, on_progress)
            if len(whole.tokens) <= limit:
                return whole.tokens, 0
            chars = whole.chars_of(limit)
        search = TrimSearch(max(first, 1), len(starts) - 1, first_within(messages, starts, chars))
        best = None
        while (turn := search.next()) is not None:
            turns = [*messages[:head], *messages[starts[turn] :]]
            tried = self._encode(turns, thinking, limit, on_progress)
            if search.record(len(tried.tokens) <= limit):
                best = tried.tokens, starts[turn] - head
        if best is None:
            newest = self.encode([*messages[:head], *messages[starts[-1] :]], thinking)
            most = limit if most is None else most
            if len(newest) > most:
                raise _too_long(
                    len(newest),
                    most,
                    is_answer=messages[-1].role == "assistant",
                    is_instructed=head > 0,
                )
            return newest, starts[-1] - head
        return best

    def _encode(
        self,
        messages: Sequence[ChatMessage],
        thinking: Thinking,
        limit: int | None,
        on_progress: OnProgress = lambda: None,
    ) -> _Encoded:
        """Tokenize from the newest piece back, until there are more than `limit` tokens (None:
        all)."""
        parts = self.template.render(messages, thinking)
        on_progress()
        borders = (None, *parts.borders, None)
        found: list[Sequence[int]] = []
        tokens = chars = 0
        for text, before, after in zip(
            reversed(parts.texts), reversed(borders[:-1]), reversed(borders[1:]), strict=True
        ):
            ids = self._tokens_of(before, text, after)
            on_progress()
            found += [ids] if before is None else [ids, (before,)]
            tokens += len(ids) + (before is not None)
            chars += len(text)
            if limit is not None and tokens > limit:
                break
        return _Encoded([token for ids in reversed(found) for token in ids], chars)

    def _tokens_of(self, before: int | None, text: str, after: int | None) -> Sequence[int]:
        """Return the tokens of a text between two borders (None: an end of the prompt)."""
        if not text:
            return ()
        known = self._token_cache.get((before, text, after))
        if known is None:
            left = "" if before is None else self._secrets[before]
            right = "" if after is None else self._secrets[after]
            # Unlike `encode` it computes no offsets, which would take half of the time.
            (encoding,) = self._renamed.encode_batch_fast(
                [left + text + right], add_special_tokens=False
            )
            ids = encoding.ids[bool(left) : len(encoding.ids) - bool(right)]
            known = [self._ids.get(token, token) for token in ids]
            self._token_cache.put((before, text, after), known)
        return known

    def _finds(self, token: int) -> bool:
        """Whether the tokenizer finds a token by its secret name in the midst of text."""
        ids = self._renamed.encode(f".{self._secrets[token]}.", add_special_tokens=False).ids
        return token in (self._ids.get(each, each) for each in ids)


def _too_long(
    tokens: int, most: int, *, is_answer: bool, is_instructed: bool = False
) -> EngineError:
    if is_answer:
        message = (
            f"The answer fills the model's context: with its question it takes {tokens} tokens, "
            f"and {most} fit. Nothing can be added to it; ask a new question instead."
        )
        return EngineError(message, "context_full")
    message = (
        f"The message is too long: it takes {tokens} tokens and {most} fit. Send a shorter one."
    )
    if is_instructed:
        message = (
            f"The message and the instructions before it are too long: together they take {tokens} "
            f"tokens and {most} fit. Shorten one of them."
        )
    return EngineError(message, "input_too_long")


@dataclass(frozen=True, slots=True)
class _Encoded:
    """The last tokens of a prompt, and how many characters they stand for."""

    tokens: list[int]
    chars: int

    def chars_of(self, tokens: int) -> int:
        """Return about how many characters of this prompt make so many tokens."""
        return self.chars * tokens // max(1, len(self.tokens))
