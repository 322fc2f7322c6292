"""One changing part of the page: the text and the attributes of an element, made here alone.

A template shows it on the first page; a frame brings what has changed of it, which the script puts
in the same place (`static/streaming/queue/queue_parts.js`) without knowing what it means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.forms.utils import flatatt
from django.utils.safestring import SafeString


@dataclass(frozen=True, slots=True)
class Part:
    """`text` of None leaves the text to a clock or to the template. Of the attributes True is one
    without a value, False and None one that is not there."""

    text: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    def is_like(self, other: Part | None) -> bool:
        """Return whether both show the same; the text of a clock goes on by itself."""
        if other is None or self.attributes != other.attributes:
            return False
        return self.text == other.text or bool(self.attributes.get("data-clock"))

    @property
    def html(self) -> SafeString:
        """Return the attributes as a tag has them, with a space before each."""
        given = {name: value for name, value in self.attributes.items() if value is not None}
        return flatatt(given)

    @property
    def values(self) -> dict[str, Any]:
        """Return text and attributes as JSON values; the text is called `text`."""
        return self.attributes if self.text is None else self.attributes | {"text": self.text}


def part(text: object = None, /, **attributes: Any) -> Part:
    """Return a part; `_` in the name of an attribute is `-`."""
    if any("_" in name for name in attributes):
        attributes = {name.replace("_", "-"): value for name, value in attributes.items()}
    return Part(None if text is None else str(text), attributes)
