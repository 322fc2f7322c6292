"""What people wrote stays text, whatever a chat template does with it.

Parts of it that are, or may become, an added token ("<|im_end|>") are markers while the template
runs, and come back when the tokens that it wrote itself have their secret names.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from streaming.engine.templates.names import pattern_of

_OPEN, _CLOSE = "\ue000", "\ue001"

SECRET = re.compile(f"{_OPEN}[0-9a-f]+t[0-9]+{_CLOSE}")
"""What `secret_of` makes."""


def secret_of(nonce: str, token: int) -> str:
    """What stands for an added token in a prompt, and in nobody's text."""
    return f"{_OPEN}{nonce}t{token}{_CLOSE}"


def clean(text: str) -> str:
    """`text` without lone surrogates, which no tokenizer encodes; pairs become characters."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Names:
    """The added tokens' names, whole and in parts: how they begin and end."""

    def __init__(self, names: Collection[str]) -> None:
        self.pattern = pattern_of(list(names))
        self.beginnings = {name[:size] for name in names for size in range(1, len(name))}
        self.endings = {name[size:] for name in names for size in range(1, len(name))}
        self.longest = max(map(len, names), default=1) - 1


class GuardedTexts:
    """The texts of one prompt."""

    def __init__(self, names: Names) -> None:
        # The template can tell what a marker looks like; so it is no other conversation's.
        nonce = secrets.token_hex(8)
        self._names = names
        self._typed: list[str] = []
        self._opening = f"{_OPEN}{nonce}u"
        self._marker = re.compile(f"{self._opening}([0-9]+){_CLOSE}")
        self.place = f"{_OPEN}{nonce}c{_CLOSE}"

    def up_to_place(self, text: str) -> str:
        """What stands before the place where the answer goes on; empty if it is nowhere."""
        return text[: max(0, text.rfind(self.place))]

    def unveiled(self, text: str) -> str:
        """Return a text with each marker replaced by what was typed there."""
        return self._marker.sub(lambda match: self._typed[int(match[1])], text)

    def typed(self, text: str) -> str:
        """A marker for all of a text."""
        self._typed.append(text)
        return f"{self._opening}{len(self._typed) - 1}{_CLOSE}"

    def guarded(self, value: Any) -> Any:
        """A JSON value whose strings can become no token."""
        if isinstance(value, str):
            return self.guard(clean(value))
        if isinstance(value, Mapping):
            return {self.guarded(key): self.guarded(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.guarded(each) for each in value]
        return value

    def guard(self, text: str) -> str:
        """`text` with a marker in place of all that is, or at its edges may become, a token."""
        names = self._names
        text = names.pattern.sub(lambda match: self.typed(match[0]), text)
        # "<|im_end|" at the end plus the template's next character must not make a token either;
        # templates may strip blanks, so the edges are looked at without them
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
