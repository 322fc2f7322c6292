"""Checks the variables that a request gives to a chat template: plain data, few and small."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from streaming.engine.base import EngineError

MOST_VARIABLES, MOST_CHARS, _MOST_DEPTH = 32, 4_096, 4
"""The most of `chat_template_kwargs`: names, characters as JSON, and depth of nesting."""

_LARGEST = 2**53

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

_NOT_THEIRS = frozenset({
    "messages", "tools", "documents", "conversation", "conversations", "chat_template",
    "add_generation_prompt", "continue_final_message", "tokenize", "padding", "truncation",
    "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask",
    "tokenizer_kwargs", "processor_kwargs", "raise_exception", "strftime_now", "namespace", "dict",
})  # fmt: skip
"""Names of what rendering itself gives to a template, besides the special tokens."""


def checked(variables: Mapping[str, Any], reserved: Collection[str] = ()) -> dict[str, Any]:
    """Return copies of the variables, as `plain`.

    Raises EngineError (`invalid_params`) for what `plain` refuses.
    """
    try:
        return plain(variables, reserved)
    except ValueError as error:
        raise EngineError(f"chat_template_kwargs: {error}.", "invalid_params") from None


def plain(variables: Mapping[str, Any], reserved: Collection[str] = ()) -> dict[str, Any]:
    """Return copies of the variables, all of them JSON values.

    Raises ValueError if there are too many, if one is too large or too deep, is no JSON value or
    cannot be stored, or has a name that is `reserved` or rendering's own.
    """
    if len(variables) > MOST_VARIABLES:
        raise ValueError(f"it has {len(variables)} variables, at most {MOST_VARIABLES} are allowed")
    value: dict[str, Any] = {}
    for name, each in variables.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{str(name)[:50]!r} is no name of a variable")
        if name in _NOT_THEIRS or name in reserved or name.endswith(("_token", "_tokens_map")):
            raise ValueError(f"`{name}` is not for a request to set")
        value[name] = _copy(name, each, _MOST_DEPTH)
    _within(len(json.dumps(value, ensure_ascii=False)))
    return value


def _copy(name: str, value: Any, depth: int) -> Any:
    if depth == 0:
        raise ValueError(f"`{name}` is nested too deeply")
    if isinstance(value, Mapping):
        _within(len(value))
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"`{name}` has a key that is no text")
        return {_copy(name, key, 1): _copy(name, each, depth - 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        _within(len(value))
        return [_copy(name, each, depth - 1) for each in value]
    if isinstance(value, str):
        _within(len(value))
        if "\x00" in value or re.search("[\ud800-\udfff]", value):
            raise ValueError(f"`{name}` has U+0000 or half a character in it")
        return value
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, int | float) or (isinstance(value, float) and math.isnan(value)):
        raise ValueError(f"`{name}` has a value that is no JSON")
    if not abs(value) <= _LARGEST:
        raise ValueError(f"`{name}` has a number that is too large")
    return value


def _within(size: int) -> None:
    if size > MOST_CHARS:
        raise ValueError(f"it has {size:,} characters, at most {MOST_CHARS:,} are allowed")
