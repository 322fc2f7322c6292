"""What a chat template does with what it is given: where it reads a thought, whether it shows a
system message, how an answer goes on, how each effort is set.

`trial` finds it out; `writer` goes by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streaming.engine.templates.thought_marks import Marks, marked

PARTS = "parts"
"""Value of `Traits.thought`: the thought is a part of the message's content."""


@dataclass(frozen=True, slots=True)
class EffortSwitch:
    """How an effort is set: `variables` of the template, and an `instruction` that is appended to
    the system message."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a chat template does.

    - `fault`: why it cannot render a conversation of one or of several turns, in its own words;
      empty if it can
    - `takes_system`: it shows a system message
    - `thought`: where it reads an assistant's thought: the name of a message's field, PARTS, or
      empty for nowhere
    - `marks`: what stands around its thoughts; None if it has none, or no text could
    - `strips`: it removes what stands between the marks from a content; `spaced`: the blank lines
      around it, too
    - `keeps`: it shows thoughts of earlier turns
    - `opens`: the prompt ends with the mark that opens a thought
    - `after_open`: the line break that follows this mark, or nothing
    - `lists`: it takes a list of parts for a content, and no text
    - `continues`, `continues_thought`: a last message may stay open in its content, in its thought
    - `efforts`: how each effort is set; one that is missing cannot be set
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
    efforts: Mapping[str, EffortSwitch] = field(default_factory=dict)

    @property
    def thinks(self) -> bool:
        """Return whether the template knows of thoughts."""
        return bool(self.thought or self.marks)

    def message(self, thought: str, content: str, *, is_last: bool = False) -> dict[str, Any]:
        """Return an assistant's message in the form that the template reads.

        A thought that the template would show as text is left out, unless the message `is_last`:
        an answer that goes on.
        """
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
