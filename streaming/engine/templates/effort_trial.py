"""Finds out how each effort of thinking is set for a chat template, by what changes the prompt.

Runs where templates run, in a process that can be killed; see `chat_template`.
"""

from __future__ import annotations

from typing import Any

from streaming.engine.base import ChatMessage
from streaming.engine.templates.probe import (
    OTHER,
    QUESTION,
    RULE,
    SYSTEM,
    Probe,
    assistant,
    user,
)
from streaming.engine.templates.system_message import with_instruction
from streaming.engine.templates.traits import EffortSwitch

_SWITCHES = ("enable_thinking", "thinking", "enable_reasoning", "reasoning", "think")
"""Variables that switch thinking on and off."""

_EFFORT, _BUDGET = "reasoning_effort", "thinking_budget"
_NEAREST = {
    "low": ("low", "medium", "high"),
    "medium": ("medium", "high", "low"),
    "high": ("high", "medium", "low"),
}
"""For each effort the values of _EFFORT that stand for it, the best one first."""

_BUDGETS = {"low": 1024, "medium": 4096, "high": 16_384}  # tokens
_INSTRUCTIONS = (
    ("/no_think", "/think"),
    ("/nothink", "/think"),
    ("detailed thinking off", "detailed thinking on"),
)
"""Instructions in a system message, off and on, where a template heeds them."""


def efforts_of(probe: Probe, *, takes_system: bool) -> dict[str, EffortSwitch]:
    """Return how each effort is set; `auto` always is, and one that is missing cannot be set.

    `takes_system`: the template shows a system message. Raises EngineError as `Probe.render`.
    """
    return _EffortTrial(probe, takes_system).efforts()


class _EffortTrial:
    def __init__(self, probe: Probe, takes_system: bool) -> None:
        self._probe, self._source = probe, probe.source
        self._takes_system = takes_system
        head = [SYSTEM] if takes_system else []
        self._conversation = [*head, user(OTHER), assistant(), user()]

    def efforts(self) -> dict[str, EffortSwitch]:
        found = {"auto": EffortSwitch()}
        switches = [name for name in _SWITCHES if self._switches(name)]
        on: dict[str, Any] = dict.fromkeys(switches, True)
        amounts = self._amounts()
        for effort in _NEAREST:
            variables = {**on, **amounts.get(effort, {})}
            if variables:
                found[effort] = EffortSwitch(variables)
        if switches:
            found["off"] = EffortSwitch(dict.fromkeys(switches, False))
        elif self._names(_EFFORT, "none") and self._prompt(**{_EFFORT: "none"}):
            found["off"] = EffortSwitch({_EFFORT: "none"})
        elif _BUDGET in self._source and self._prompt(**{_BUDGET: 0}) not in ("", self._prompt()):
            found["off"] = EffortSwitch({_BUDGET: 0})
        elif instruction := self._instruction():
            found["off"] = EffortSwitch({}, instruction[0])
            for effort in _NEAREST:
                found.setdefault(effort, EffortSwitch({}, instruction[1]))
        return found

    def _prompt(self, **variables: Any) -> str:
        return self._probe.render_or_empty(*self._conversation, **variables)

    def _switches(self, name: str) -> bool:
        """Whether the variable `name` makes a difference between true and false."""
        if name not in self._source:
            return False
        on, off = self._prompt(**{name: True}), self._prompt(**{name: False})
        return bool(on and off and on != off)

    def _amounts(self) -> dict[str, dict[str, Any]]:
        """The variables that say how much to think for each effort, where they make a difference
        between efforts."""
        found: dict[str, dict[str, Any]] = {}
        if _EFFORT in self._source:
            texts = {value: self._prompt(**{_EFFORT: value}) for value in _NEAREST}
            if len(set(texts.values())) > 1 or "" in texts.values():
                for effort, values in _NEAREST.items():
                    nearest = next((value for value in values if texts[value]), None)
                    if nearest is not None:
                        found[effort] = {_EFFORT: nearest}
        if _BUDGET in self._source:
            texts = {effort: self._prompt(**{_BUDGET: n}) for effort, n in _BUDGETS.items()}
            if all(texts.values()) and len(set(texts.values())) > 1:
                for effort, tokens in _BUDGETS.items():
                    found.setdefault(effort, {})[_BUDGET] = tokens
        return found

    def _names(self, variable: str, value: str) -> bool:
        """Whether the source names this value: a template that prints whatever it is given does not
        promise to heed it."""
        quoted = (f"'{value}'", f'"{value}"')
        return variable in self._source and any(text in self._source for text in quoted)

    def _instruction(self) -> tuple[str, str] | None:
        """The instructions, off and on, that change what comes after the question."""
        for off, on in _INSTRUCTIONS:
            if off not in self._source:
                continue
            tails = [
                self._probe.render_or_empty(
                    *[{"role": each.role, "content": each.content} for each in messages]
                )
                for text in (off, on)
                for messages in [
                    with_instruction(
                        [ChatMessage("system", RULE), ChatMessage("user", QUESTION)], text
                    )
                ]
            ]
            if self._takes_system and len({each.rpartition(QUESTION)[2] for each in tails}) > 1:
                return off, on
        return None
