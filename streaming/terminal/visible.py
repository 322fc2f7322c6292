"""Text from elsewhere, made harmless for a terminal."""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t"
_PICTURES = 0x2400
"""The characters from here on picture the control characters: U+241B is `ESC`."""

_TABLE = {code: _PICTURES + code for code in range(0x20) if chr(code) not in _KEPT}
_TABLE[0x7F] = 0x2421
_TABLE |= dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
# Overrides of the writing direction make a text look like another one.
_TABLE |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)
_TABLE |= dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)


def is_visible(text: str) -> bool:
    """Whether there is anything to be read in it: more than blanks and signs without a width."""
    return any(unicodedata.category(sign)[0] not in "ZC" for sign in text)


def visible(text: str) -> str:
    """The text with every control character but line feed and tab shown instead of sent: a model
    (or a server) must not move the cursor, retitle the window or answer for the keyboard."""
    return text.translate(_TABLE)
