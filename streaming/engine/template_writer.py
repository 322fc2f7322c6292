"""Renders conversations by a chat template, in a process that can be killed; see `chat_template`.

What people wrote must stay text: parts of it that are, or may become, an added token
("<|im_end|>") are markers while the template runs. The token strings in the result are then the
template's own; they get secret names, and the text comes back.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streaming.engine.base import EngineError
from streaming.engine.names import pattern_of
from streaming.engine.template_traits import (
    OVERRUN,
    Template,
    Traits,
    Turn,
    excerpt,
    folded,
    rendered,
    told,
)
from streaming.engine.thought_marks import Marks, Split, split

_OPEN, _CLOSE = "\ue000", "\ue001"

_FREE_CHARS = 100_000
_GROWTH = 4
"""A template may make so many times the characters of its messages out of them, and _FREE_CHARS."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A rendered prompt: text, border, text, ..., text. Texts may be empty."""

    texts: tuple[str, ...]
    borders: tuple[int, ...]


def secret_of(nonce: str, token: int) -> str:
    """What stands for an added token in a prompt, and in nobody's text."""
    return f"{_OPEN}{nonce}t{token}{_CLOSE}"


def clean(text: str) -> str:
    """`text` without lone surrogates, which no tokenizer encodes; pairs become characters."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Names:
    """The added tokens' names, whole and in parts: how they begin and end."""

    def __init__(self, names: Collection[str]) -> None:
        self.pattern = pattern_of(list(names))
        self.beginnings = {name[:size] for name in names for size in range(1, len(name))}
        self.endings = {name[size:] for name in names for size in range(1, len(name))}
        self.longest = max(map(len, names), default=1) - 1


class TemplateWriter:
    def __init__(self, template: Template, traits: Traits) -> None:
        self._template, self._traits = template, traits
        self._names = Names(template.names)
        self._secret = re.compile(f"{_OPEN}[0-9a-f]+t[0-9]+{_CLOSE}")

    def write(
        self, turns: Sequence[Turn], variables: Mapping[str, Any], instruction: str = ""
    ) -> Parts:
        """The prompt, up to where the answer begins or, when the last turn is the assistant's own,
        goes on. `instruction` is ours, and stands in the system message."""
        chars = sum(len(turn.content) + len(turn.reasoning) for turn in turns)
        prompt = _Prompt(self._names)
        turns = told(list(turns), instruction)
        if not self._traits.takes_system:
            turns = folded(turns)
        variables = prompt.guarded(variables)
        *before, last = turns
        try:
            if last.role == "assistant":
                if not before:
                    raise ValueError("There is no message before the answer.")
                text = self._continued(prompt, before, last, variables)
            else:
                text = self._named(self._rendered(prompt, turns, variables))
        except MemoryError:
            raise
        except Exception as error:
            said = excerpt(prompt.unveiled(str(error)))
            raise EngineError(
                f"The model's chat template refuses this conversation: {said}", "invalid_messages"
            ) from None
        if len(text) > _FREE_CHARS + _GROWTH * chars:
            message = f"The model's chat template makes {len(text):,} characters of this."
            raise EngineError(message, OVERRUN)
        return self._cut(prompt.unveiled(text))

    def _rendered(
        self,
        prompt: _Prompt,
        turns: Sequence[Turn],
        variables: Mapping[str, Any],
        last: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of all turns and, if there is one, of a `last` message that stays open."""
        conversation = [self._message(prompt, turn) for turn in turns]
        conversation += [] if last is None else [dict(last)]
        return rendered(self._template, conversation, variables, answers=last is None)

    def _continued(
        self, prompt: _Prompt, before: list[Turn], last: Turn, variables: Mapping[str, Any]
    ) -> str:
        """The text up to where an answer that has begun goes on: in its thought, while it has said
        nothing yet. What has begun stands there as it is, also where the template would strip it:
        blanks at its end are the model's own."""
        traits, marks = self._traits, self._traits.marks
        thought, content = clean(last.reasoning), clean(last.content)
        thinks = bool(thought) and not content
        if not thought and (found := self._split(content)):
            thought, content = found.thought, found.rest
            thinks = not found.closed
        if thinks and traits.continues_thought:
            message = traits.message(prompt.place, "")
            if text := prompt.up_to_place(self._rendered(prompt, before, variables, message)):
                return self._named(text) + prompt.typed(thought)
        elif not thinks and traits.continues:
            kept = prompt.guard(thought) if thought else ""
            message = traits.message(kept, prompt.place, is_last=True)
            if text := prompt.up_to_place(self._rendered(prompt, before, variables, message)):
                return self._named(text) + prompt.typed(content)
        text = self._rendered(prompt, before, variables)
        if marks is None:  # a thought is nothing that this model could go on with
            return self._named(text) + ("" if thinks else prompt.typed(content))
        if thinks:
            text = _opened(text, marks, traits.after_open)
            return self._named(text) + prompt.typed(thought)
        if _is_open(text, marks):
            text += f"{marks.close}\n\n"
        return self._named(text) + prompt.typed(content)

    def _message(self, prompt: _Prompt, turn: Turn) -> dict[str, Any]:
        content = clean(turn.content)
        if turn.role != "assistant":
            return {"role": turn.role, "content": prompt.guard(content)}
        if turn.reasoning:
            thought = prompt.guard(clean(turn.reasoning))
            return self._traits.message(thought, prompt.guard(content))
        found = self._split(content)
        if found is None or not found.closed:
            return {"role": "assistant", "content": prompt.guard(content)}
        thought, rest = prompt.guard(found.thought), prompt.guard(found.rest)
        marks = self._traits.marks
        if marks is None or (self._traits.thought and not self._traits.strips):
            return self._traits.message(thought, rest)
        # as it came: the template looks for the marks itself
        opened = found.before + marks.open if found.opened else ""
        return {"role": "assistant", "content": f"{opened}{thought}{marks.close}{rest}"}

    def _split(self, content: str) -> Split | None:
        """The thought in an answer's text that its client took for text, as the template would
        find it. Only at the beginning and only in an assistant's: there nobody gains by it but who
        could have written the thought as one, and elsewhere marks are what people speak of."""
        marks = self._traits.marks
        return None if marks is None else split(content, marks, opens=self._traits.opens)

    def _named(self, text: str) -> str:
        """`text` with the secret names of the tokens that the template wrote."""
        return self._names.pattern.sub(lambda match: self._template.names[match[0]], text)

    def _cut(self, text: str) -> Parts:
        """Secret names of tokens that are no borders stay in the texts."""
        texts: list[str] = []
        borders: list[int] = []
        start = 0
        for match in self._secret.finditer(text):
            token = self._template.borders.get(match[0])
            if token is not None:
                texts.append(text[start : match.start()])
                borders.append(token)
                start = match.end()
        return Parts((*texts, text[start:]), tuple(borders))


def _is_open(text: str, marks: Marks) -> bool:
    return text.rstrip().endswith(marks.open.rstrip())


def _opened(text: str, marks: Marks, blank: str) -> str:
    """A prompt within whose answer's thought one goes on: it may have opened one itself, or have
    ended it at once, since there was to be none."""
    if _is_open(text, marks):
        return text
    if text.rstrip().endswith(marks.close):
        text = text.rstrip().removesuffix(marks.close)
        if _is_open(text, marks):
            text = text.rstrip().removesuffix(marks.open.rstrip())
    return text + marks.open + blank


class _Prompt:
    """What people's texts of one prompt have become while the template runs."""

    def __init__(self, names: Names) -> None:
        # The template can tell what a marker looks like; so it is no other conversation's.
        nonce = secrets.token_hex(8)
        self._names = names
        self._typed: list[str] = []
        self._opening = f"{_OPEN}{nonce}u"
        self._marker = re.compile(f"{self._opening}([0-9]+){_CLOSE}")
        self.place = f"{_OPEN}{nonce}c{_CLOSE}"

    def up_to_place(self, text: str) -> str:
        """What stands before the place where the answer goes on; empty if it is nowhere."""
        return text[: max(0, text.rfind(self.place))]

    def unveiled(self, text: str) -> str:
        return self._marker.sub(lambda match: self._typed[int(match[1])], text)

    def typed(self, text: str) -> str:
        """A marker for all of a text."""
        self._typed.append(text)
        return f"{self._opening}{len(self._typed) - 1}{_CLOSE}"

    def guarded(self, value: Any) -> Any:
        """A JSON value whose strings can become no token."""
        if isinstance(value, str):
            return self.guard(clean(value))
        if isinstance(value, Mapping):
            return {self.guarded(key): self.guarded(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.guarded(each) for each in value]
        return value

    def guard(self, text: str) -> str:
        """`text` with a marker in place of all that is, or at its edges may become, a token."""
        names = self._names
        text = names.pattern.sub(lambda match: self.typed(match[0]), text)
        # "<|im_end|" at the end plus the template's next character must not make a token either;
        # templates may strip blanks, so the edges are looked at without them
        body = text.strip()
        if not body:
            return text
        left = text[: text.index(body)]
        right = text[len(left) + len(body) :]
        for size in range(min(names.longest, len(body)), 0, -1):
            if body[-size:] in names.beginnings:
                body = body[:-size] + self.typed(body[-size:])
                break
        for size in range(min(names.longest, len(body)), 0, -1):
            if body[:size] in names.endings:
                body = self.typed(body[:size]) + body[size:]
                break
        return left + body + right
