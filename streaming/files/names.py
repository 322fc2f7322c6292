"""Names of files, which strangers write: one line, without a path, of a bounded length."""

from __future__ import annotations

import unicodedata

MOST_CHARS = 120
_ENDING_CHARS = 12
_MOST_READ = 500
"""Characters that are looked at from the beginning of a long name, and from its end."""

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Categories of what nobody sees, or what turns the writing round."""


def clean_name(name: object) -> str:
    """Return a name that can be shown, sent in a header and put into a prompt; `file` for none."""
    text = name if isinstance(name, str) else ""
    text = text.replace("\\", "/").rpartition("/")[2]
    if len(text) > 2 * _MOST_READ:
        text = text[:_MOST_READ] + text[-_MOST_READ:]
    text = "".join(" " if unicodedata.category(char) in _UNSEEN else char for char in text)
    text = " ".join(text.replace('"', "'").split()).strip(". ")
    if len(text) > MOST_CHARS:
        stem, dot, ending = text.rpartition(".")
        ending = dot + ending if stem and len(ending) <= _ENDING_CHARS else ""
        text = text[: MOST_CHARS - len(ending) - 1].rstrip() + "…" + ending
    return text or "file"


def ending_of(name: str) -> str:
    """Return what follows the last point of a name, in lower case; empty without one."""
    stem, _, ending = name.rpartition(".")
    return ending.lower() if stem and ending.isalnum() and ending.isascii() else ""
