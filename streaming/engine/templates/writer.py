"""Renders conversations by a chat template, in a process that can be killed; see `chat_template`.

What people wrote is guarded while the template runs (`guarded_texts`). The token strings in the
result are then the template's own; they get secret names, and the text comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streaming.engine.base import EngineError
from streaming.engine.templates.guarded_texts import SECRET, GuardedTexts, Names, clean
from streaming.engine.templates.thought_marks import Marks, Split, split
from streaming.engine.templates.traits import (
    OVERRUN,
    Template,
    Traits,
    Turn,
    excerpt,
    folded,
    rendered,
    told,
)

_FREE_CHARS = 100_000
_GROWTH = 4
"""A template may make so many times the characters of its messages out of them, and _FREE_CHARS."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A rendered prompt: text, border, text, ..., text. Texts may be empty."""

    texts: tuple[str, ...]
    borders: tuple[int, ...]


class TemplateWriter:
    def __init__(self, template: Template, traits: Traits) -> None:
        self._template, self._traits = template, traits
        self._names = Names(template.names)

    def write(
        self, turns: Sequence[Turn], variables: Mapping[str, Any], instruction: str = ""
    ) -> Parts:
        """The prompt, up to where the answer begins or, when the last turn is the assistant's own,
        goes on. `instruction` is ours, and stands in the system message."""
        chars = sum(len(turn.content) + len(turn.reasoning) for turn in turns)
        prompt = GuardedTexts(self._names)
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
        prompt: GuardedTexts,
        turns: Sequence[Turn],
        variables: Mapping[str, Any],
        last: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of all turns and, if there is one, of a `last` message that stays open."""
        conversation = [self._message(prompt, turn) for turn in turns]
        conversation += [] if last is None else [dict(last)]
        return rendered(
            self._template,
            conversation,
            variables,
            answers=last is None,
            lists=self._traits.lists,
        )

    def _continued(
        self, prompt: GuardedTexts, before: list[Turn], last: Turn, variables: Mapping[str, Any]
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
                return self._named(text) + prompt.typed(_after(text, thought))
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
            return self._named(text) + prompt.typed(_after(text, thought))
        if _is_open(text, marks):
            text += f"{marks.close}\n\n"
        return self._named(text) + prompt.typed(content)

    def _message(self, prompt: GuardedTexts, turn: Turn) -> dict[str, Any]:
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
        for match in SECRET.finditer(text):
            token = self._template.borders.get(match[0])
            if token is not None:
                texts.append(text[start : match.start()])
                borders.append(token)
                start = match.end()
        return Parts((*texts, text[start:]), tuple(borders))


def _after(text: str, thought: str) -> str:
    """A thought without the line that the prompt has begun for it already."""
    return thought.removeprefix("\n") if text.endswith("\n") else thought


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
