"""Variables that a stranger gives to a chat template: data, few and small."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

from streaming.engine.base import EngineError

_MOST, _MOST_CHARS, _DEEPEST = 32, 8192, 6
_NAME_CHARS = 64

_RESERVED = frozenset(
    {"messages", "tools", "documents", "conversations", "conversation", "chat_template",
     "add_generation_prompt", "continue_final_message", "return_assistant_tokens_mask",
     "tokenize", "raise_exception", "strftime_now", "namespace", "dict"}
)  # fmt: skip
"""What the conversation is, and what rendering takes for itself."""


def checked(variables: Mapping[str, Any], reserved: Collection[str] = ()) -> dict[str, Any]:
    """Copies of the variables, JSON values all.

    Raises EngineError (`invalid_params`) if there are too many, if one is too large or too deep or
    no JSON value, or has a name that is `reserved` or rendering's own.
    """
    if len(variables) > _MOST:
        raise _fault(f"has {len(variables)} variables; {_MOST} are the most")
    for name in variables:
        if not isinstance(name, str) or not name or len(name) > _NAME_CHARS:
            raise _fault(f"has a name that is not 1 to {_NAME_CHARS} characters")
        if name in _RESERVED or name in reserved or name.endswith("_token") or name[0] == "_":
            raise _fault(f"must not set {name}")
    value: dict[str, Any] = _copy(dict(variables), _DEEPEST)
    if len(json.dumps(value, ensure_ascii=False)) > _MOST_CHARS:
        raise _fault(f"takes more than {_MOST_CHARS} characters")
    return value


def _copy(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping | list | tuple):
        if depth == 0:
            raise _fault(f"is nested more than {_DEEPEST} deep")
        if len(value) > _MOST_CHARS:
            raise _fault(f"takes more than {_MOST_CHARS} characters")
        if isinstance(value, Mapping):
            return {_key(key): _copy(each, depth - 1) for key, each in value.items()}
        return [_copy(each, depth - 1) for each in value]
    if isinstance(value, str):
        if len(value) > _MOST_CHARS:
            raise _fault(f"takes more than {_MOST_CHARS} characters")
        return value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**64:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise _fault("has a value that is no JSON, or a number beyond 64 bits")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise _fault("has a key that is no text")
    return key


def _fault(what: str) -> EngineError:
    return EngineError(f"chat_template_kwargs {what}.", "invalid_params")
