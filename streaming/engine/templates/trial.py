"""Finds out what a chat template does, by trying it on a few words.

No list of models: what a template reads of a thought, which variable switches thinking, whether it
takes a system message and how an answer goes on shows in what it makes of them. Runs where
templates run, in a process that can be killed; see `chat_template`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streaming.engine.base import EngineError
from streaming.engine.templates.thought_marks import MARKS, Marks
from streaming.engine.templates.traits import (
    OVERRUN,
    PARTS,
    Template,
    Traits,
    Turn,
    Way,
    excerpt,
    marked,
    rendered,
    told,
)

_MOST_CHARS = 100_000  # of what a template makes of a few words

_FIELDS = ("reasoning_content", "reasoning", "thought")
"""Of a message, where templates look for its thought. transformers itself gives one named
`reasoning_content` to those that read `thinking`, too."""

_SWITCHES = ("enable_thinking", "thinking", "enable_reasoning", "reasoning", "think")
_EFFORT, _BUDGET = "reasoning_effort", "thinking_budget"
_NEAREST = {
    "low": ("low", "medium", "high"),
    "medium": ("medium", "high", "low"),
    "high": ("high", "medium", "low"),
}
_BUDGETS = {"low": 1024, "medium": 4096, "high": 16_384}  # tokens
_INSTRUCTIONS = (
    ("/no_think", "/think"),
    ("/nothink", "/think"),
    ("detailed thinking off", "detailed thinking on"),
)
"""What a system message says to have no thought, or one, where a template heeds it."""

# Words that no template has for its own.
_ASKED, _SAID, _THOUGHT, _TOLD = "zqaskedzq", "zqsaidzq", "zqthoughtzq", "zqtoldzq"
_OTHER = "zqotherzq"


def learn(template: Template) -> Traits:
    """Try a template. Raises EngineError (`template_overrun`) if it makes too much of it."""
    return _Trial(template).traits()


def _user(content: str = _ASKED) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _assistant(content: Any = _SAID, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


_SYSTEM = {"role": "system", "content": _TOLD}


class _Trial:
    def __init__(self, template: Template) -> None:
        self._template = template
        self._source = template.source
        self._lists = False

    def traits(self) -> Traits:
        if fault := self._fault():
            self._lists = True  # as templates of models that also read images may want it
            if self._fault():
                return Traits(fault)
        takes_system = _TOLD in self._say(_SYSTEM, _user())
        marks = self._marks()
        strips = spaced = False
        after_open = ""
        if marks is not None:
            plain = self._say(_user(), _assistant(), _user(), _assistant(_OTHER), _user())
            after_open = self._after(marks)
            strips = self._strips(marks)
            again = _assistant(marked(marks, _THOUGHT, spaced=True) + _SAID)
            spaced = self._say(_user(), again, _user(), _assistant(_OTHER), _user()) == plain
            spaced = spaced if strips else bool(after_open)
        thought = self._thought()
        known = Traits(thought=thought, marks=marks, strips=strips, spaced=spaced)
        begun = self._say(_user(), known.message("", _SAID), answers=False)
        inside = known.message(_THOUGHT, "") if thought else None
        ways = self._ways(takes_system)
        kept = known.message(_THOUGHT, _SAID)
        return Traits(
            takes_system=takes_system,
            thought=thought,
            marks=marks,
            strips=strips,
            spaced=spaced,
            keeps=any(
                _THOUGHT in self._say(_user(), kept, _user(), **way.variables)
                for way in ways.values()
            ),
            opens=marks is not None and self._say(_user()).rstrip().endswith(marks.open.rstrip()),
            after_open=after_open,
            lists=self._lists,
            continues=_ASKED in begun and _SAID in begun,
            continues_thought=inside is not None
            and _THOUGHT in self._say(_user(), inside, answers=False),
            ways=ways,
        )

    def _fault(self) -> str:
        for conversation in ([_user()], [_user(_OTHER), _assistant(), _user()]):
            try:
                text = self._tried(*conversation)
            except MemoryError:
                raise
            except EngineError:
                raise
            except Exception as error:
                return excerpt(str(error)) or type(error).__name__
            if _ASKED not in text:
                return "it does not show the newest message"
        return ""

    def _say(self, *conversation: Mapping[str, Any], answers: bool = True, **variables: Any) -> str:
        """What it makes of a conversation; empty if it refuses."""
        try:
            return self._tried(*conversation, answers=answers, **variables)
        except (MemoryError, EngineError):
            raise
        except Exception:
            return ""

    def _tried(
        self, *conversation: Mapping[str, Any], answers: bool = True, **variables: Any
    ) -> str:
        text = rendered(self._template, conversation, variables, answers=answers, lists=self._lists)
        if len(text) > _MOST_CHARS:
            message = f"The model's chat template makes {len(text):,} characters of a few words."
            raise EngineError(message, OVERRUN)
        return text

    def _marks(self) -> Marks | None:
        for marks in MARKS:
            names = marks.open.strip().removesuffix("thought"), marks.close
            if marks.close in self._source or self._template.tokens.issuperset(names):
                return marks
        return None

    def _after(self, marks: Marks) -> str:
        if marks.open.endswith("\n"):
            return ""
        mentions = marks.open in self._source
        written = (f"{marks.open}\\n", f"{marks.open}\n")  # as a literal, or as text
        return "\n" if not mentions or any(text in self._source for text in written) else ""

    def _strips(self, marks: Marks) -> bool:
        content = marked(marks, _THOUGHT, spaced=False) + _SAID
        text = self._say(_user(), _assistant(content), _user(), _assistant(_OTHER), _user())
        return _SAID in text and content not in text

    def _thought(self) -> str:
        for name in _FIELDS:
            message = _assistant(**{name: _THOUGHT})
            texts = (
                self._say(_user(), message, answers=False),
                self._say(_user(), message, _user()),
            )
            if any(_THOUGHT in text for text in texts):
                return name
        parts = [{"type": "thinking", "thinking": _THOUGHT}, {"type": "text", "text": _SAID}]
        text = self._say(_user(), _assistant(parts), answers=False)
        # a template that takes all contents for texts shows how Python writes such a list
        return PARTS if _THOUGHT in text and _SAID in text and "'type'" not in text else ""

    def _ways(self, takes_system: bool) -> dict[str, Way]:
        """How each effort is told, by what changes the prompt."""
        ways = {"auto": Way()}
        head = [_SYSTEM] if takes_system else []
        conversation = [*head, _user(_OTHER), _assistant(), _user()]

        def made(**variables: Any) -> str:
            return self._say(*conversation, **variables)

        switches = [
            name
            for name in _SWITCHES
            if name in self._source
            and (texts := (made(**{name: True}), made(**{name: False})))
            and all(texts)
            and texts[0] != texts[1]
        ]
        on: dict[str, Any] = dict.fromkeys(switches, True)
        efforts = self._efforts(made)
        for effort in _NEAREST:
            variables = {**on, **efforts.get(effort, {})}
            if variables:
                ways[effort] = Way(variables)
        if switches:
            ways["off"] = Way(dict.fromkeys(switches, False))
        elif self._says(_EFFORT, "none") and made(**{_EFFORT: "none"}):
            ways["off"] = Way({_EFFORT: "none"})
        elif _BUDGET in self._source and made(**{_BUDGET: 0}) not in ("", made()):
            ways["off"] = Way({_BUDGET: 0})
        elif instruction := self._instruction(takes_system):
            ways["off"] = Way({}, instruction[0])
            for effort in _NEAREST:
                ways.setdefault(effort, Way({}, instruction[1]))
        return ways

    def _efforts(self, made: Callable[..., str]) -> dict[str, dict[str, Any]]:
        """The variables that say how much, where they make a difference."""
        found: dict[str, dict[str, Any]] = {}
        if _EFFORT in self._source:
            texts = {value: made(**{_EFFORT: value}) for value in _NEAREST}
            if len(set(texts.values())) > 1 or "" in texts.values():
                for effort, values in _NEAREST.items():
                    nearest = next((value for value in values if texts[value]), None)
                    if nearest is not None:
                        found[effort] = {_EFFORT: nearest}
        if _BUDGET in self._source:
            texts = {effort: made(**{_BUDGET: tokens}) for effort, tokens in _BUDGETS.items()}
            if all(texts.values()) and len(set(texts.values())) > 1:
                for effort, tokens in _BUDGETS.items():
                    found.setdefault(effort, {})[_BUDGET] = tokens
        return found

    def _says(self, variable: str, value: str) -> bool:
        """Whether the source speaks of this value: one that prints whatever it is given does not
        promise what it means."""
        quoted = (f"'{value}'", f'"{value}"')
        return variable in self._source and any(text in self._source for text in quoted)

    def _instruction(self, takes_system: bool) -> tuple[str, str] | None:
        for off, on in _INSTRUCTIONS:
            if off not in self._source:
                continue
            tails = [
                self._say(*[{"role": turn.role, "content": turn.content} for turn in turns])
                for text in (off, on)
                for turns in [told([Turn("system", _TOLD), Turn("user", _ASKED)], text)]
            ]
            if takes_system and len({tail.rpartition(_ASKED)[2] for tail in tails}) > 1:
                return off, on
        return None
