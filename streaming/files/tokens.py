"""About how many tokens a text has, for what has no tokenizer."""

from __future__ import annotations

import re

_CHARS_PER_TOKEN = 4
_DENSE = re.compile("[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
"""Characters that are about a token each: those of Chinese, Japanese and Korean."""


def estimate(text: str) -> int:
    """Return about how many tokens a text has."""
    if text.isascii():
        return -(-len(text) // _CHARS_PER_TOKEN)
    dense = sum(1 for _ in _DENSE.finditer(text))
    return dense - (-(len(text) - dense) // _CHARS_PER_TOKEN)
