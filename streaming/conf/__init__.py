"""The CHATSTREAM settings, checked and typed. Knows nothing of what they are for.

The environment is read once, by `chatsite.settings`, into the dict `CHATSTREAM` of raw values;
`get` checks it. What is wrong is reported by Django's system checks, each fault in a sentence that
names the setting, the value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.signals import setting_changed

from streaming.conf.report import bounds, faults, settings_table
from streaming.conf.schema import DEFAULT_REDIS_PREFIX, PREFIX, ChatStreamSettings

__all__ = [
    "DEFAULT_REDIS_PREFIX",
    "PREFIX",
    "ChatStreamSettings",
    "bounds",
    "check_settings",
    "faults",
    "from_environ",
    "get",
    "settings_table",
]

_NOT_OURS = {"REQUIRE_ALL", "API_KEY", "DATA_DIR"}
"""The test suite's own switch, `manage.py chat`'s key, and the site's folder."""


def from_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the raw values of all `CHATSTREAM_*` variables, by lower-case name. An empty one is
    left out, as if it were not set."""
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and value.strip() and name.removeprefix(PREFIX) not in _NOT_OURS
    }


def get() -> ChatStreamSettings:
    """Return the checked settings. Raises pydantic.ValidationError if the system checks were
    skipped."""
    return _parse(tuple(sorted(settings.CHATSTREAM.items())))


@lru_cache(maxsize=8)
def _parse(items: tuple[tuple[str, Any], ...]) -> ChatStreamSettings:
    return ChatStreamSettings.model_validate(dict(items))


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """System check `streaming.E001`: a wrong value."""
    errors: list[CheckMessage] = [
        Error(text, id="streaming.E001") for text in faults(settings.CHATSTREAM)
    ]
    return errors


def _forget(**kwargs: Any) -> None:
    _parse.cache_clear()


setting_changed.connect(_forget)
