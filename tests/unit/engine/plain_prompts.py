"""Prompts made plainly: the model for the property tests of `prompt`."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any

from streaming.engine.base import ChatMessage, EngineError
from streaming.engine.local.prompts.prompt import _too_long
from streaming.engine.local.prompts.protected import rename

_OPEN, _CLOSE = "\ue000", "\ue001"


class PlainPrompts:
    """What `PromptBuilder` must give: the whole text at once, again for each try."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        self.special_ids = frozenset(
            {token for token, entry in added.items() if entry.special}
            | set(tokenizer.all_special_ids)
        )
        # Others are ordinary text, as they are to the tokenizer: runs of blanks, words, markup.
        control = tokenizer.chat_template + "<think></think>"
        names = {
            entry.content: token
            for token, entry in added.items()
            if token in self.special_ids
            or (entry.content in control and not entry.content.replace(" ", "x").isalnum())
        }
        self._nonce = secrets.token_hex(8)
        self._secret = {
            name: f"{_OPEN}{self._nonce}t{token}{_CLOSE}" for name, token in names.items()
        }
        ordered = sorted(names, key=len, reverse=True)  # the longest match wins, as in tokenizers
        self._names = re.compile("|".join(map(re.escape, ordered)) or r"(?!)")
        self._beginnings = {name[:size] for name in names for size in range(1, len(name))}
        self._endings = {name[size:] for name in names for size in range(1, len(name))}
        self._longest = max(map(len, names), default=1) - 1
        secrets_of = {token: self._secret[name] for name, token in names.items()}
        self._renamed, self._ids = rename(tokenizer, secrets_of, names)

    def encode(self, messages: Sequence[ChatMessage]) -> list[int]:
        """The prompt of all messages, up to where the answer begins or, when the last one is the
        assistant's own, goes on."""
        protected: list[str] = []
        conversation = [
            {"role": m.role, "content": self._protect(_clean(m.content), protected)}
            for m in messages
        ]
        begun, place = "", "x" + self._nonce
        goes_on = messages[-1].role == "assistant"
        if goes_on:  # after what the template writes before any answer, whatever the answer is
            begun, conversation[-1]["content"] = conversation[-1]["content"], place
        try:
            text: str = self._tokenizer.apply_chat_template(
                conversation,
                tokenize=False,
                add_generation_prompt=not goes_on,
                continue_final_message=goes_on,
            )
        except Exception as error:
            raise EngineError(
                f"The model's chat template refuses this conversation: {error}", "invalid_messages"
            ) from error
        text = text.removesuffix(place) if goes_on else text
        text = self._names.sub(lambda match: self._secret[match[0]], text) + begun
        marker = re.compile(f"{_OPEN}{self._nonce}u(\\d+){_CLOSE}")
        text = marker.sub(lambda match: protected[int(match[1])], text)
        ids = self._renamed.encode(text, add_special_tokens=False).ids
        return [self._ids.get(token, token) for token in ids]

    def fit(self, messages: Sequence[ChatMessage], limit: int) -> tuple[list[int], int]:
        """Tokens of the newest whole turns that fit `limit` tokens, and how many messages went.

        System messages at the beginning always stay. Raises EngineError (`input_too_long`) when
        even the newest turn does not fit, `invalid_messages` when there is none.
        """
        if not messages:
            raise EngineError("There is no message to answer.", "invalid_messages")
        tokens = self.encode(messages)
        if len(tokens) <= limit:
            return tokens, 0
        head, starts = _turns(messages)
        # every turn dropped makes the prompt shorter: find the fewest by bisection
        low, high, best = 1, len(starts) - 1, None
        while low <= high:
            middle = (low + high) // 2
            tokens = self.encode([*messages[:head], *messages[starts[middle] :]])
            if len(tokens) <= limit:
                best, high = (tokens, starts[middle] - head), middle - 1
            else:
                low = middle + 1
        if best is None:
            newest = self.encode([*messages[:head], *messages[starts[-1] :]])
            is_answer = messages[-1].role == "assistant"
            raise _too_long(len(newest), limit, is_answer=is_answer, is_instructed=head > 0)
        return best

    def _protect(self, text: str, protected: list[str]) -> str:
        """`text` with a marker in place of all that is, or at its edges may become, a token."""

        def marker(part: str) -> str:
            protected.append(part)
            return f"{_OPEN}{self._nonce}u{len(protected) - 1}{_CLOSE}"

        text = self._names.sub(lambda match: marker(match[0]), text)
        # "<|im_end|" at the end plus the template's next character must not make a token either;
        # templates may strip blanks, so the edges are looked at without them
        body = text.strip()
        if not body:
            return text
        left = text[: text.index(body)]
        right = text[len(left) + len(body) :]
        for size in range(min(self._longest, len(body)), 0, -1):
            if body[-size:] in self._beginnings:
                body = body[:-size] + marker(body[-size:])
                break
        for size in range(min(self._longest, len(body)), 0, -1):
            if body[:size] in self._endings:
                body = marker(body[:size]) + body[size:]
                break
        return left + body + right


def _clean(text: str) -> str:
    """`text` without lone surrogates, which no tokenizer encodes; pairs become characters."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _turns(messages: Sequence[ChatMessage]) -> tuple[int, list[int]]:
    """How many system messages lead, and where each turn after them begins."""
    head = 0
    while head < len(messages) - 1 and messages[head].role == "system":
        head += 1
    starts = [head]
    starts += [i for i in range(head + 1, len(messages)) if messages[i].role == "user"]
    return head, starts
