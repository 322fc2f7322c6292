"""Makes text from a server harmless for a terminal."""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t"
_PICTURES = 0x2400
"""The first of the pictures of control characters: U+241B is the one of `ESC`."""

_TABLE = {code: _PICTURES + code for code in range(0x20) if chr(code) not in _KEPT}
_TABLE[0x7F] = 0x2421
_TABLE |= dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
# Direction overrides can make a text look like another one.
_TABLE |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)
_TABLE |= dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)


def is_visible(text: str) -> bool:
    """Return whether a text has more than blanks and characters without a width."""
    return any(unicodedata.category(sign)[0] not in "ZC" for sign in text)


def visible(text: str) -> str:
    """Return a text with pictures instead of control characters, except line feed and tab.

    A model or server must not move the cursor, retitle the window or simulate key presses.
    """
    return text.translate(_TABLE)
