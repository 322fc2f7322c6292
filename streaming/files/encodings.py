"""Bytes as text: which encoding they have, in an order in which the certain comes first."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 64 * 1024
"""Bytes by which an encoding is guessed."""

_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffe\uffff]")
"""Characters that no text has. (A form feed separates pages, an escape colours a terminal.)"""

_KANA = re.compile("[\u3041-\u30fe\u3001\u3002\uff0c\uff0e]")
_HALF_WIDTH = re.compile("[\uff61-\uff9f]")
_JAPANESE = ("cp932", "euc_jp", "iso2022_jp")


def utf8(data: bytes) -> str | None:
    """Return a text in UTF-8, with or without a mark; None for anything else."""
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if is_text(text) and "\x1b$" not in text else None


def decode(data: bytes) -> str | None:
    """Return bytes as text; None if they are none."""
    if (text := utf8(data)) is not None:
        return text
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _try(data, name)
    if wide := _wide(data):
        return _try(data, wide)
    if b"\x00" in data:
        return None
    if (text := _mended(data)) is not None:
        return text
    return _japanese(data) or _guessed(data) or _try(data, "cp1252") or _try(data, "latin-1")


def is_text(text: str) -> bool:
    """Return whether a text has no character that only other files have."""
    return _CONTROLS.search(text) is None


def _try(data: bytes, name: str) -> str | None:
    try:
        text = data.decode(name)
    except (UnicodeDecodeError, LookupError):
        return None
    return text if is_text(text) else None


def _wide(data: bytes) -> str | None:
    """Return which UTF-16 has no mark but a zero in every second byte, as Latin letters have."""
    sample = data[:_SAMPLE]
    half = len(sample) // 2
    if len(data) % 2 or half < 2:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > half * 0.4 and even < half * 0.05:
        return "utf-16-le"
    if even > half * 0.4 and odd < half * 0.05:
        return "utf-16-be"
    return None


def _mended(data: bytes) -> str | None:
    """Return a text that is UTF-8 but for a few bytes, as one that was cut is."""
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(char > "\x7f" for char in text[:_SAMPLE]) - bad
    return text if 0 < 10 * bad <= good and is_text(text) else None


def _japanese(data: bytes) -> str | None:
    """Return a text in one of Japan's encodings, by what nearly every Japanese text has: kana and
    punctuation, of which a wrong encoding makes few."""
    found = []
    for name in _JAPANESE:
        if name == "iso2022_jp" and b"\x1b$" not in data:
            continue
        if (text := _try(data, name)) is not None:
            beyond = sum(char > "\x7f" for char in text[:_SAMPLE])
            kana = len(_KANA.findall(text[:_SAMPLE])) - len(_HALF_WIDTH.findall(text[:_SAMPLE]))
            found.append((kana / beyond if beyond else 0.0, text))
    share, text = max(found, default=(0.0, ""))
    return text if share > 0.2 else None


def _guessed(data: bytes) -> str | None:
    """Return a text in an encoding of another script than Latin, as statistics tell. Those of Latin
    letters they do not tell apart; nearly all are Windows'."""
    from charset_normalizer import from_bytes  # in the process that reads files alone

    best = from_bytes(data[:_SAMPLE]).best()
    text = None if best is None else _try(data, best.encoding)
    if text is None:
        return None
    beyond = [char for char in text[:_SAMPLE] if char > "\x7f"]
    is_latin = sum(char < "\u0370" for char in beyond) * 2 >= len(beyond)
    return None if is_latin else text
