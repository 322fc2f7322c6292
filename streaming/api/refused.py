"""What the server says before any application sees a request: below the API's address as the API
would say it, elsewhere as text."""

from __future__ import annotations

import json
from urllib.parse import urlsplit
from uuid import uuid4

from django.conf import settings

from streaming.api import cors
from streaming.api.openai_errors import body_of, is_api

_CODES = {
    400: "invalid_request",
    408: "request_timeout",
    429: "address_limit",
    500: "internal_error",
    503: "unavailable",
}


def answer_of(uri: bytes, origin: bytes, status: int, text: str) -> tuple[dict[str, str], bytes]:
    """Headers and body for a request's target (path, or whole URL) and `Origin`; empty where they
    are not known."""
    if not _is_of_api(uri):
        return {"Content-Type": "text/plain; charset=utf-8"}, f"{text}\n".encode()
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "X-Request-Id": str(uuid4()),
    }
    site = origin.decode("latin-1")
    if cors.is_allowed(site):
        exposed = ", ".join(getattr(settings, "CORS_EXPOSE_HEADERS", ()))
        headers |= {"Access-Control-Allow-Origin": site, "Vary": "Origin"}
        headers["Access-Control-Expose-Headers"] = exposed
    return headers, json.dumps(
        body_of(status, _CODES.get(status, "invalid_request"), text)
    ).encode()


def _is_of_api(uri: bytes) -> bool:
    try:
        return is_api(urlsplit(uri.decode("latin-1")).path)
    except ValueError:
        return False
