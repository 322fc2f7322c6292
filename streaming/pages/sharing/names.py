"""Names of files that are made of titles."""

from __future__ import annotations

import re
import unicodedata

_MOST_BYTES = 150
"""Bytes of a name in UTF-8, with room for what a browser appends to one that is taken."""

_SEPARATING = re.compile(r'[\\/:*?"<>|%~]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)", re.IGNORECASE)
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def file_name(title: str, ending: str) -> str:
    """Return a name that every system can have: no path, no device, nothing that is not seen and
    nothing that turns the direction of what is."""
    text = "".join(
        " " if character.isspace() else character
        for character in unicodedata.normalize("NFC", title)
        if character.isspace() or unicodedata.category(character) not in _HIDDEN
    )
    text = " ".join(_SEPARATING.sub(" ", text).split()).strip(". ")
    text = text.encode("utf-8", "ignore")[:_MOST_BYTES].decode("utf-8", "ignore").strip(". ")
    if not text or _RESERVED.fullmatch(text.partition(".")[0].strip()):
        text = f"conversation {text}".strip()
    return f"{text}.{ending}"
