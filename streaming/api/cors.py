"""Which pages of other sites may ask the API: those of `CHATSTREAM_CORS_ORIGINS`, without cookies.

`corsheaders.middleware.CorsMiddleware` does it; who is let in is decided here alone. Its own
settings of origins and paths stay empty, so that nothing but the API is ever opened.
"""

from __future__ import annotations

from typing import Any

from corsheaders.signals import check_request_enabled
from django.http import HttpRequest

from streaming import conf
from streaming.api.openai_errors import is_api

ANY = "*"


def is_allowed(origin: str) -> bool:
    """Whether pages of this origin may ask; one is compared as browsers write it."""
    origins = conf.get().cors_origins
    return bool(origin) and (ANY in origins or origin.lower() in origins)


def _decide(sender: Any, request: HttpRequest, **kwargs: Any) -> bool:
    return is_api(request.path) and is_allowed(request.headers.get("Origin", ""))


check_request_enabled.connect(_decide, dispatch_uid="streaming.cors")
