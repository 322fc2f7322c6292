"""What a chat template does with what it is given, and conversations in the form that it takes.

Used where templates run, in a process that can be killed; see `chat_template`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streaming.engine.templates.thought_marks import Marks
from streaming.system.escaping import bounded, one_line

OVERRUN = "template_overrun"
PARTS = "parts"
"""Of a message's content: a thought is one of them."""

_EXCERPT_CHARS, _READ_CHARS = 200, 4000


@dataclass(frozen=True, slots=True)
class Template:
    """`source` is Jinja; `variables` are what it may use besides the messages.

    `names`: the added tokens' names, and what is written for those that the template wrote.
    `borders`: of what is so written, that at which text may be cut, and its token; what stands
    between two of them is tokenized by itself, whatever stands beyond. `tokens`: all added tokens'
    names.
    """

    source: str
    variables: Mapping[str, Any]
    names: Mapping[str, str]
    borders: Mapping[str, int]
    tokens: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    content: str
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """How an effort is told: the template's `variables`, and what the system message says."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Traits:
    """`fault`: why no conversation, or none of several turns, can be rendered, in the template's
    own words. `takes_system`: it shows a system message.

    `thought`: where it reads an assistant's thought: a field of the message, PARTS, or nowhere
    (empty). `marks`: what stands around its thoughts; None if it has none, or no text could.
    `strips`: it cuts what stands between them out of a content; `spaced`: also the blank lines
    around. `keeps`: it shows thoughts of earlier turns. `opens`: the prompt ends with the mark that
    opens a thought. `after_open`: blanks that follow this mark.

    `lists`: it takes no text for a content, but a list of parts.

    `continues`, `continues_thought`: a last message may stay open, in its content and its thought.
    `ways`: how efforts are told; one that is not there cannot be.
    """

    fault: str = ""
    takes_system: bool = True
    thought: str = ""
    marks: Marks | None = None
    strips: bool = False
    spaced: bool = False
    keeps: bool = False
    opens: bool = False
    after_open: str = ""
    lists: bool = False
    continues: bool = False
    continues_thought: bool = False
    ways: Mapping[str, Way] = field(default_factory=dict)

    @property
    def thinks(self) -> bool:
        """Whether it knows of thoughts."""
        return bool(self.thought or self.marks)

    def message(self, thought: str, content: str, *, is_last: bool = False) -> dict[str, Any]:
        """An assistant's message in the form that the template understands. A thought that it
        would take for text is left out, but for the one of an answer that goes on."""
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if not thought:
            return message
        if self.thought == PARTS:
            parts = [{"type": "thinking", "thinking": thought}]
            message["content"] = [*parts, *([{"type": "text", "text": content}] if content else [])]
        elif self.thought:
            message[self.thought] = thought
        elif self.marks is not None and (self.strips or is_last):
            message["content"] = marked(self.marks, thought, spaced=self.spaced) + content
        return message


def excerpt(text: str) -> str:
    """Words of a template on one line: few, and all of them visible."""
    return one_line(bounded(" ".join(text[:_READ_CHARS].split()), _EXCERPT_CHARS))


def rendered(
    template: Template,
    conversation: Sequence[Mapping[str, Any]],
    variables: Mapping[str, Any],
    *,
    answers: bool = True,
    lists: bool = False,
) -> str:
    """What the template makes of a conversation; `answers`: an answer of its own comes next,
    `lists`: as in Traits. Raises whatever it raises."""
    from transformers.utils.chat_template_utils import render_jinja_template

    made: Any = render_jinja_template(  # its annotation is wrong
        conversations=[[_listed(message) if lists else dict(message) for message in conversation]],
        chat_template=template.source,
        add_generation_prompt=answers,
        **{**template.variables, **variables},
    )
    text: str = made[0][0]
    return text


def _listed(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    return {**message, "content": content}


def told(turns: list[Turn], instruction: str) -> list[Turn]:
    """The turns with an instruction at the end of their system message."""
    if not instruction:
        return turns
    if turns[0].role != "system":
        return [Turn("system", instruction), *turns]
    return [Turn("system", f"{turns[0].content}\n\n{instruction}".lstrip()), *turns[1:]]


def folded(turns: list[Turn]) -> list[Turn]:
    """The turns with their system messages, those at the beginning, before the first question."""
    first = next((at for at, turn in enumerate(turns) if turn.role != "system"), 0)
    if first == 0 or turns[first].role != "user":
        return turns
    texts = [turn.content for turn in turns[: first + 1]]
    return [Turn("user", "\n\n".join(texts)), *turns[first + 1 :]]


def marked(marks: Marks, thought: str, *, spaced: bool) -> str:
    """A thought as it stands in a text; `spaced`: on lines of its own."""
    if not spaced:
        return f"{marks.open}{thought}{marks.close}"
    blank = "" if marks.open.endswith("\n") else "\n"
    thought = thought.strip("\n")
    return f"{marks.open}{blank}{thought}\n{marks.close}\n\n"
