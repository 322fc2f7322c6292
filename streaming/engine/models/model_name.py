"""The name of a model for people, which does not show where its files are."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath

_ABSOLUTE = re.compile(r"[/\\~.]|[A-Za-z]:[/\\]|file:")
_FILE = re.compile(r"\.(gguf|safetensors|bin)$", re.IGNORECASE)
_HUB_FOLDER = re.compile(r"models--(.+?)(?:--(.+))?")


def shown_name(name: str) -> str:
    """Return a model's name without the path, if it is one here or on an upstream's machine.

    That is the name of the folder or file, or the Hub id whose cached copy it is. A relative path
    is one only if it exists; else it is a Hub id.
    """
    text = name.strip()
    if not (_ABSOLUTE.match(text) or _FILE.search(text) or _is_here(text)):
        return text
    parts = PureWindowsPath(text.removeprefix("file:")).parts  # takes both kinds of slashes
    for part in parts:
        if cached := _HUB_FOLDER.fullmatch(part):
            return "/".join(filter(None, cached.groups()))
    last = _FILE.sub("", parts[-1]) if parts else ""
    if not last.strip("./\\~:"):
        last = Path(text).expanduser().resolve().name
    return last.removeprefix(".") or "model"


def _is_here(text: str) -> bool:
    try:
        return bool(text) and Path(text).exists()
    except (OSError, ValueError):
        return False
