"""The marks that models write around a thought, and finding a thought in an answer's text.

Literal strings by the models' publishers. The reader of answers and the writer of prompts use the
same ones.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Marks:
    """`open` begins a thought and `close` ends it."""

    open: str
    close: str


MARKS = (
    Marks("<think>", "</think>"),  # DeepSeek, Qwen, GLM, MiniMax, Kimi, Nemotron, LFM, SmolLM, ...
    Marks("[THINK]", "[/THINK]"),  # Mistral
    Marks("<|channel>thought\n", "<channel|>"),  # Gemma 4
    Marks("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    Marks("<seed:think>", "</seed:think>"),
    Marks("<longcat_think>", "</longcat_think>"),
    Marks("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    Marks("<|begin_of_thought|>", "<|end_of_thought|>"),
    Marks("<unused94>thought\n", "<unused95>"),  # MedGemma
    Marks("◁think▷", "◁/think▷"),  # Kimi VL
    Marks("<thought>", "</thought>"),
    Marks("<thinking>", "</thinking>"),
    Marks("<reasoning>", "</reasoning>"),
)


@dataclass(frozen=True, slots=True)
class Split:
    """A text in three parts: the blanks before the thought, the thought, and the rest.

    `opened`: the text has the mark that opens the thought; `closed`: the one that ends it.
    """

    before: str
    thought: str
    rest: str
    opened: bool = True
    closed: bool = True


def split(text: str, marks: Marks, *, opens: bool = False) -> Split | None:
    """Split off the thought that an assistant's text begins with; None if it begins with none.

    `opens`: the model's prompt opens the thought, so that the text may lack the opening mark. Then
    only a closing mark on a line of its own ends it: one within a line is quoted.
    """
    begun = text.lstrip()
    before = text[: len(text) - len(begun)]
    if begun.startswith(marks.open.rstrip()):
        # the name of a channel may be all of its line
        size = len(marks.open if begun.startswith(marks.open) else marks.open.rstrip())
        thought, found, rest = begun[size:].partition(marks.close)
        return Split(before, thought, rest, closed=bool(found))
    if opens and marks.open not in text:
        thought, found, rest = text.partition(f"\n{marks.close}\n")
        if found:
            return Split("", f"{thought}\n", f"\n{rest}", opened=False)
    return None


def marked(marks: Marks, thought: str, *, spaced: bool) -> str:
    """Return a thought between its marks; `spaced`: on lines of its own, with a blank line after
    it."""
    if not spaced:
        return f"{marks.open}{thought}{marks.close}"
    blank = "" if marks.open.endswith("\n") else "\n"
    thought = thought.strip("\n")
    return f"{marks.open}{blank}{thought}\n{marks.close}\n\n"
