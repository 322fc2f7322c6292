"""Errors in OpenAI's shape, for everything below the API's address, whoever makes them."""

from __future__ import annotations

from typing import Any

from django.urls import NoReverseMatch, reverse

_OPENAI_CODES = {
    "input_too_long": "context_length_exceeded",
    "queue_full": "rate_limit_exceeded",
    "user_limit": "rate_limit_exceeded",
    "address_limit": "rate_limit_exceeded",
    "rate_limited": "rate_limit_exceeded",
}
"""The codes that programs know, of those of ours that are something more exact."""


def body_of(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """The JSON of an error: `code` is OpenAI's where it has one, `chatstream.code` is ours."""
    return {
        "error": {
            "message": message,
            "type": _type_of(status),
            "param": param,
            "code": _OPENAI_CODES.get(code, code),
            "chatstream": {"code": code},
        }
    }


def _type_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def is_api(path: str) -> bool:
    """Whether a path, with the script's own prefix, stands below the API's address."""
    try:
        return path.startswith(reverse("api:api-root"))
    except NoReverseMatch:  # a site without it
        return False
