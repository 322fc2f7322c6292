"""The names of a tokenizer's added tokens, and finding any of thousands of them in a text that may
be made to look like them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from streaming.engine.base import EngineError


class TokenNames:
    """The added tokens' names: a `pattern` that finds them, their proper `beginnings` and
    `endings`, and how many characters the `longest` of these have."""

    def __init__(self, names: Collection[str]) -> None:
        self.pattern = pattern_of(list(names))
        self.beginnings = {name[:size] for name in names for size in range(1, len(name))}
        self.endings = {name[size:] for name in names for size in range(1, len(name))}
        self.longest = max(map(len, names), default=1) - 1


def pattern_of(names: Sequence[str]) -> re.Pattern[str]:
    """Compile a pattern that matches the longest of the names at a place.

    It is a trie: common beginnings are tried once, so that the time does not grow with the number
    of names as it does for an alternation. Raises EngineError if the names nest too deeply.
    """
    root: dict[str, Any] = {}
    for name in filter(None, names):
        node = root
        for char in name:
            node = node.setdefault(char, {})
        node[""] = {}
    try:
        return re.compile(_branches(root) if root else r"(?!)")
    except RecursionError:
        raise EngineError("The tokenizer's added tokens are too many to be protected.") from None


def _branches(node: dict[str, Any]) -> str:
    tails = []
    for char, below in node.items():
        text = re.escape(char)
        while len(below) == 1 and "" not in below:
            following, below = next(iter(below.items()))
            text += re.escape(following)
        if char:
            tails.append(text + (_branches(below) if below.keys() != {""} else ""))
    inner = tails[0] if len(tails) == 1 else "(?:" + "|".join(tails) + ")"
    return f"(?:{inner})?" if "" in node else inner
