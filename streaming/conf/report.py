"""What people are told of the settings: what is wrong with one, and the table of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from annotated_types import Ge, Le
from pydantic import ValidationError

from streaming.conf.schema import PREFIX, SECRETS, ChatStreamSettings


def faults(raw: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the raw values: a sentence each, with the setting, its value, and
    what it is to be."""
    try:
        ChatStreamSettings.model_validate(dict(raw))
    except ValidationError as error:
        return [_sentence(fault) for fault in error.errors()]
    return []


def _sentence(fault: Mapping[str, Any]) -> str:
    name = str(fault["loc"][0])
    variable = PREFIX + name.upper()
    if fault["type"] == "extra_forbidden":
        known = ", ".join(
            sorted(PREFIX + field.upper() for field in ChatStreamSettings.model_fields)
        )
        return f"{variable} is no setting of ChatStream. The settings are {known}."
    description = ChatStreamSettings.model_fields[name].description
    hidden = name in SECRETS or (name == "upstream_url" and "@" in str(fault["input"]))
    value = "(hidden)" if hidden else repr(fault["input"])
    return f"{variable}={value} is not allowed: {fault['msg']}. It is: {description}."


def settings_table() -> str:
    """Return the settings as rows of the README's Markdown table: variable, default, meaning."""
    return "\n".join(
        f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |"
        for name, field in ChatStreamSettings.model_fields.items()
    )


def bounds(name: str) -> tuple[int, int]:
    """Return the least and the greatest value of a setting that is a number with both."""
    metadata = ChatStreamSettings.model_fields[name].metadata
    least = next(each.ge for each in metadata if isinstance(each, Ge))
    most = next(each.le for each in metadata if isinstance(each, Le))
    return cast(int, least), cast(int, most)


def _shown(default: object) -> str:
    if default in ("", (), None):
        return ""
    if isinstance(default, tuple):
        default = ",".join(default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
