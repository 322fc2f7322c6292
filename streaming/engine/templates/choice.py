"""Chooses the chat template that a model is served with: its own, one of several of its own, or one
from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from streaming.engine.base import EngineError

SETTING = "CHATSTREAM_CHAT_TEMPLATE"

_MOST_BYTES = 1_000_000
_NOT_FOR_CHAT = ("tool", "rag")


def read_template(path: Path) -> str:
    """Return the chat template in a file. Raises EngineError (`settings`) if it cannot be read."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _refusal(path, f"has more than {_MOST_BYTES:,} bytes")
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise _refusal(path, f"cannot be read ({said})") from error
    if not source.strip():
        raise _refusal(path, "is empty")
    return source


def of_processor(folder: Path | str) -> str | None:
    """Return the template in `chat_template.json`, which older models for images have beside their
    tokenizer and the tokenizer does not read; None if there is none that can be read."""
    path = Path(folder) / "chat_template.json"
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    source = said.get("chat_template") if isinstance(said, dict) else None
    return source if isinstance(source, str) and source.strip() else None


def choose(named: str | Mapping[str, str] | None) -> str:
    """Return the template for chats of those that a tokenizer has: the one called `default`, else
    the only one, else the only one that is not for tools or retrieval.

    Raises EngineError if there is none, or several are left.
    """
    if not named:
        raise EngineError(
            f"The model has no chat template. {SETTING} can name a file with one.",
            "model_unsupported",
        )
    if isinstance(named, str):
        return named
    if "default" in named:
        return named["default"]
    chats = [name for name in named if not any(word in name.lower() for word in _NOT_FOR_CHAT)]
    for names in (list(named), chats):
        if len(names) == 1:
            return named[names[0]]
    raise EngineError(
        f"The model has multiple chat templates ({', '.join(sorted(named))}), and none of them is "
        f"the default. {SETTING} can name a file with the one to use.",
        "model_unsupported",
    )


def _refusal(path: Path, what: str) -> EngineError:
    return EngineError(f"{SETTING}={path} {what}.", "settings")
