"""Tells from a server's words whether it refuses images or tools as such, whatever the request."""

from __future__ import annotations

import re

_IMAGES = re.compile(
    r"(image inputs?|image_url|images|vision|multi-?modal\w*)\W{0,3}(content |inputs? )?(is|are) "
    r"not supported|(not|n't) support (any )?(image(s|_url| input)?|vision|multi-?modal)\b"
    r"(?! (type|form))"
    r"|not a multi-?modal|at most 0 image|mmproj|required for image input|that support image input",
    re.IGNORECASE,
)
_TOOLS = re.compile(
    r"\btools?\b.{0,60}\b(not support|unsupported|require)"
    r"|\b(not support|unsupported)\w*\b.{0,40}\b(tools?|function calling)"
    r"|--jinja|--enable-auto-tool-choice",
    re.IGNORECASE | re.DOTALL,
)


def is_of_images(said: str) -> bool:
    """Return whether a refusal says that the model sees no images."""
    return bool(_IMAGES.search(said))


def is_of_tools(said: str) -> bool:
    """Return whether a refusal says that the model calls no tools."""
    return bool(_TOOLS.search(said))
