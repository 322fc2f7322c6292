"""What came with a prompt besides its text: images and files, as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_INLINE_CHARS = 100_000
"""Characters of an image's data URL that a page carries; a longer one is only named."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """An image or a file. `url` is a data URL, or empty: no address of another host is loaded."""

    name: str
    is_image: bool
    url: str = ""


def attachments_of(parts: Sequence[Mapping[str, Any]] | None) -> list[Attachment]:
    """Return those of a message's parts, in their order."""
    found = []
    for part in parts or ():
        name = str(part.get("filename") or "")
        if part.get("type") == "input_file":
            found.append(Attachment(name, is_image=False))
        elif part.get("type") == "input_image":
            found.append(Attachment(name, is_image=True, url=_inline(part.get("image_url"))))
    return found


def _inline(url: object) -> str:
    is_inline = isinstance(url, str) and url.startswith("data:image/")
    return str(url) if is_inline and len(str(url)) <= MOST_INLINE_CHARS else ""
