"""Writes prompts by a chat template, in a process that can be killed; see `chat_template`.

What people wrote is guarded while the template runs (`guarded_texts`). The token strings in the
result are then the template's own: they get secret names, and the guarded text is put back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streaming.engine.base import ChatMessage, EngineError
from streaming.engine.templates.guarded_texts import SECRET, GuardedTexts, clean
from streaming.engine.templates.system_message import with_instruction, with_system_in_question
from streaming.engine.templates.template import OVERRUN, Template, excerpt, rendered
from streaming.engine.templates.thought_marks import Marks, Split, split
from streaming.engine.templates.token_names import TokenNames
from streaming.engine.templates.traits import Traits

_FREE_CHARS = 100_000
_GROWTH = 4
"""The most characters of a prompt: _FREE_CHARS, and _GROWTH for each character of its messages."""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt cut at its border tokens: text, border, text, ..., text. Texts may be empty."""

    texts: tuple[str, ...]
    borders: tuple[int, ...]


class TemplateWriter:
    """Writes prompts by one template, whose traits are known."""

    def __init__(self, template: Template, traits: Traits) -> None:
        self._template, self._traits = template, traits
        self._names = TokenNames(template.names)

    def write(
        self, messages: Sequence[ChatMessage], variables: Mapping[str, Any], instruction: str = ""
    ) -> RenderedPrompt:
        """Write the prompt up to where the answer begins or, if the last message is the
        assistant's, goes on. `instruction` is ours, and is appended to the system message.

        Raises EngineError: `invalid_messages` with the template's own words, `template_overrun` if
        it makes too much of the messages.
        """
        chars = sum(len(message.content) + len(message.reasoning) for message in messages)
        prompt = GuardedTexts(self._names)
        messages = with_instruction(list(messages), instruction)
        if not self._traits.takes_system:
            messages = with_system_in_question(messages)
        variables = prompt.guarded(variables)
        *before, last = messages
        try:
            if last.role == "assistant":
                if not before:
                    raise ValueError("There is no message before the answer.")
                text = self._continued(prompt, before, last, variables)
            else:
                text = self._named(self._rendered(prompt, messages, variables))
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
        messages: Sequence[ChatMessage],
        variables: Mapping[str, Any],
        last: Mapping[str, Any] | None = None,
    ) -> str:
        """Render all messages and, if there is one, a `last` message that stays open."""
        conversation = [self._message(prompt, message) for message in messages]
        conversation += [] if last is None else [dict(last)]
        return rendered(
            self._template,
            conversation,
            variables,
            answers=last is None,
            lists=self._traits.lists,
        )

    def _continued(
        self,
        prompt: GuardedTexts,
        before: list[ChatMessage],
        last: ChatMessage,
        variables: Mapping[str, Any],
    ) -> str:
        """Render up to where an answer that has begun goes on: in its thought, while it has said
        nothing yet. The beginning is written as it is, also where the template would strip it:
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
        if marks is None:  # this model cannot go on in a thought
            return self._named(text) + ("" if thinks else prompt.typed(content))
        if thinks:
            text = _opened(text, marks, traits.after_open)
            return self._named(text) + prompt.typed(_after(text, thought))
        if _is_open(text, marks):
            text += f"{marks.close}\n\n"
        return self._named(text) + prompt.typed(content)

    def _message(self, prompt: GuardedTexts, message: ChatMessage) -> dict[str, Any]:
        """Return a message in the template's form, its text guarded."""
        content = clean(message.content)
        if message.role != "assistant":
            return {"role": message.role, "content": prompt.guard(content)}
        if message.reasoning:
            thought = prompt.guard(clean(message.reasoning))
            return self._traits.message(thought, prompt.guard(content))
        found = self._split(content)
        if found is None or not found.closed:
            return {"role": "assistant", "content": prompt.guard(content)}
        thought, rest = prompt.guard(found.thought), prompt.guard(found.rest)
        marks = self._traits.marks
        if marks is None or (self._traits.thought and not self._traits.strips):
            return self._traits.message(thought, rest)
        # with its marks as it came, since the template looks for them itself
        opened = found.before + marks.open if found.opened else ""
        return {"role": "assistant", "content": f"{opened}{thought}{marks.close}{rest}"}

    def _split(self, content: str) -> Split | None:
        """Find a thought in an assistant's text whose client took it for text, as the template
        would. Only at its beginning: whoever wrote that could have sent a thought as well, so
        nobody gains by it. Elsewhere marks are quoted text."""
        marks = self._traits.marks
        return None if marks is None else split(content, marks, opens=self._traits.opens)

    def _named(self, text: str) -> str:
        """Return `text` with the secret names of the tokens that the template wrote."""
        return self._names.pattern.sub(lambda match: self._template.names[match[0]], text)

    def _cut(self, text: str) -> RenderedPrompt:
        """Cut at the borders. Secret names of other tokens stay in the texts."""
        texts: list[str] = []
        borders: list[int] = []
        start = 0
        for match in SECRET.finditer(text):
            token = self._template.borders.get(match[0])
            if token is not None:
                texts.append(text[start : match.start()])
                borders.append(token)
                start = match.end()
        return RenderedPrompt((*texts, text[start:]), tuple(borders))


def _after(text: str, thought: str) -> str:
    """Return a thought without the line break that the prompt already ends with."""
    return thought.removeprefix("\n") if text.endswith("\n") else thought


def _is_open(text: str, marks: Marks) -> bool:
    return text.rstrip().endswith(marks.open.rstrip())


def _opened(text: str, marks: Marks, blank: str) -> str:
    """Return a prompt that ends inside a thought. It may have opened one itself, or have opened and
    closed an empty one, since there was to be none."""
    if _is_open(text, marks):
        return text
    if text.rstrip().endswith(marks.close):
        text = text.rstrip().removesuffix(marks.close)
        if _is_open(text, marks):
            text = text.rstrip().removesuffix(marks.open.rstrip())
    return text + marks.open + blank
