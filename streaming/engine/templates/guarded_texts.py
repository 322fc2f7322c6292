"""Keeps people's text from naming a token, whatever a chat template does with it.

Parts of a text that are, or may become, the name of an added token ("<|im_end|>") are replaced by
markers while the template runs. They are put back once the tokens that the template itself wrote
have their secret names.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from streaming.engine.templates.token_names import TokenNames

_OPEN, _CLOSE = "\ue000", "\ue001"

SECRET = re.compile(f"{_OPEN}[0-9a-f]+t[0-9]+{_CLOSE}")
"""Matches what `secret_of` returns."""


def secret_of(nonce: str, token: int) -> str:
    """Return the secret name of an added token, which stands in nobody's text."""
    return f"{_OPEN}{nonce}t{token}{_CLOSE}"


def clean(text: str) -> str:
    """Return `text` without lone surrogates, which no tokenizer encodes; pairs are joined."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class GuardedTexts:
    """Markers for the texts of one prompt. `place` is one for where an open answer goes on."""

    def __init__(self, names: TokenNames) -> None:
        # The template sees what a marker looks like; so each conversation has markers of its own.
        nonce = secrets.token_hex(8)
        self._names = names
        self._typed: list[str] = []
        self._opening = f"{_OPEN}{nonce}u"
        self._marker = re.compile(f"{self._opening}([0-9]+){_CLOSE}")
        self.place = f"{_OPEN}{nonce}c{_CLOSE}"

    def up_to_place(self, text: str) -> str:
        """Return the text before `place`; empty if it is nowhere in it."""
        return text[: max(0, text.rfind(self.place))]

    def unveiled(self, text: str) -> str:
        """Return a text with each marker replaced by what it stands for."""
        return self._marker.sub(lambda match: self._typed[int(match[1])], text)

    def typed(self, text: str) -> str:
        """Return a marker that stands for all of a text."""
        self._typed.append(text)
        return f"{self._opening}{len(self._typed) - 1}{_CLOSE}"

    def guarded(self, value: Any) -> Any:
        """Return a JSON value, all of whose strings (keys too) went through `guard`."""
        if isinstance(value, str):
            return self.guard(clean(value))
        if isinstance(value, Mapping):
            return {self.guarded(key): self.guarded(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.guarded(each) for each in value]
        return value

    def guard(self, text: str) -> str:
        """Return `text` with a marker for each part that is a token's name, or that at an edge of
        the text may become one together with what the template writes beside it."""
        names = self._names
        text = names.pattern.sub(lambda match: self.typed(match[0]), text)
        # "<|im_end|" at the end plus the template's next character must not make a token either.
        # Templates may strip blanks, so the edges are those of the stripped text.
        body = text.strip()
        if not body:
            return text
        left = text[: text.index(body)]
        right = text[len(left) + len(body) :]
        for size in range(min(names.longest, len(body)), 0, -1):
            if body[-size:] in names.beginnings:
                body = body[:-size] + self.typed(body[-size:])
                break
        for size in range(min(names.longest, len(body)), 0, -1):
            if body[:size] in names.endings:
                body = self.typed(body[:size]) + body[size:]
                break
        return left + body + right
