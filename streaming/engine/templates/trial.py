"""Finds out what a chat template does, by trying it on a few words.

No list of models: what a template reads of a thought, which variable switches thinking, whether it
takes a system message and how an answer goes on shows in what it makes of them. Runs where
templates run, in a process that can be killed; see `chat_template`.
"""

from __future__ import annotations

from streaming.engine.base import EngineError
from streaming.engine.templates.effort_trial import efforts_of
from streaming.engine.templates.probe import (
    ANSWER,
    OTHER,
    QUESTION,
    RULE,
    SYSTEM,
    THOUGHT,
    Probe,
    assistant,
    user,
)
from streaming.engine.templates.template import Template, excerpt
from streaming.engine.templates.thought_marks import MARKS, Marks, marked
from streaming.engine.templates.traits import PARTS, Traits

_FIELDS = ("reasoning_content", "reasoning", "thought")
"""Fields of a message in which templates look for its thought. transformers itself gives one named
`reasoning_content` to those that read `thinking`, too."""


def learn(template: Template) -> Traits:
    """Return what a template does. Raises EngineError (`template_overrun`) if it makes too much of
    a few words."""
    return _Trial(Probe(template)).traits()


class _Trial:
    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._source = probe.source
        self._say = probe.render_or_empty

    def traits(self) -> Traits:
        if fault := self._fault():
            self._probe.lists = True  # as templates of models that also read images may want it
            if self._fault():
                return Traits(fault)
        takes_system = RULE in self._say(SYSTEM, user())
        marks = self._marks()
        strips = spaced = False
        after_open = ""
        if marks is not None:
            plain = self._say(user(), assistant(), user(), assistant(OTHER), user())
            after_open = self._after(marks)
            strips = self._strips(marks)
            again = assistant(marked(marks, THOUGHT, spaced=True) + ANSWER)
            spaced = self._say(user(), again, user(), assistant(OTHER), user()) == plain
            spaced = spaced if strips else bool(after_open)
        thought = self._thought()
        known = Traits(thought=thought, marks=marks, strips=strips, spaced=spaced)
        begun = self._say(user(), known.message("", ANSWER), answers=False)
        inside = known.message(THOUGHT, "") if thought else None
        efforts = efforts_of(self._probe, takes_system=takes_system)
        kept = known.message(THOUGHT, ANSWER)
        return Traits(
            takes_system=takes_system,
            thought=thought,
            marks=marks,
            strips=strips,
            spaced=spaced,
            keeps=any(
                THOUGHT in self._say(user(), kept, user(), **switch.variables)
                for switch in efforts.values()
            ),
            opens=marks is not None and self._say(user()).rstrip().endswith(marks.open.rstrip()),
            after_open=after_open,
            lists=self._probe.lists,
            continues=QUESTION in begun and ANSWER in begun,
            continues_thought=inside is not None
            and THOUGHT in self._say(user(), inside, answers=False),
            efforts=efforts,
        )

    def _fault(self) -> str:
        """Why a conversation of one turn, or of two, cannot be rendered; empty if both can."""
        for conversation in ([user()], [user(OTHER), assistant(), user()]):
            try:
                text = self._probe.render(*conversation)
            except (MemoryError, EngineError):
                raise
            except Exception as error:
                return excerpt(str(error)) or type(error).__name__
            if QUESTION not in text:
                return "it does not show the newest message"
        return ""

    def _marks(self) -> Marks | None:
        """The first marks that the source mentions, or whose names the tokenizer has as tokens."""
        for marks in MARKS:
            names = marks.open.strip().removesuffix("thought"), marks.close
            if marks.close in self._source or self._probe.template.tokens.issuperset(names):
                return marks
        return None

    def _after(self, marks: Marks) -> str:
        """The line break that the template writes after the mark that opens a thought, if any."""
        if marks.open.endswith("\n"):
            return ""
        mentions = marks.open in self._source
        written = (f"{marks.open}\\n", f"{marks.open}\n")  # as a literal, or as text
        return "\n" if not mentions or any(text in self._source for text in written) else ""

    def _strips(self, marks: Marks) -> bool:
        """Whether the template removes a thought between its marks from an earlier answer."""
        content = marked(marks, THOUGHT, spaced=False) + ANSWER
        text = self._say(user(), assistant(content), user(), assistant(OTHER), user())
        return ANSWER in text and content not in text

    def _thought(self) -> str:
        """Where the template reads a thought, as `Traits.thought`."""
        for name in _FIELDS:
            message = assistant(**{name: THOUGHT})
            texts = (
                self._say(user(), message, answers=False),
                self._say(user(), message, user()),
            )
            if any(THOUGHT in text for text in texts):
                return name
        parts = [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": ANSWER}]
        text = self._say(user(), assistant(parts), answers=False)
        # a template that takes all contents for texts shows how Python writes such a list
        return PARTS if THOUGHT in text and ANSWER in text and "'type'" not in text else ""
