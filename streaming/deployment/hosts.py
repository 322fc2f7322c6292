"""Requests for a host name that is not the site's are refused with the remedy."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.decorators import async_only_middleware

from streaming.api.errors import ApiError
from streaming.api.openai_errors import is_api
from streaming.system.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

_HOST_CHARS = 100

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""Content security policy of a page that fetches nothing: from this host it would get nothing."""

_lines = TokenBucket(1 / 60, burst=5)
"""Bounds the lines in the log: scanners try a thousand names."""

Handler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@async_only_middleware
def known_host(get_response: Handler) -> Handler:
    """Middleware: answer 400 for a host that is none of `ALLOWED_HOSTS`, as Django does, but in
    words that name the setting: JSON below the API's address, a page elsewhere."""

    async def answer(request: HttpRequest) -> HttpResponseBase:
        try:
            request.get_host()
        except DisallowedHost:
            host: str = request.META.get("HTTP_HOST", "")[:_HOST_CHARS]
            if _lines.take():
                logger.warning(
                    "A request for the host %r was refused: ALLOWED_HOSTS is %s. If that is this "
                    "site's name, add it there.",
                    host,
                    ",".join(settings.ALLOWED_HOSTS) or "empty",
                )
            return _refusal(request, host)
        return await get_response(request)

    return answer


def _refusal(request: HttpRequest, host: str) -> HttpResponse:
    if is_api(request.path):
        message = (
            f"This server does not answer to the host name {host!r}. Its operator can add the name "
            "to ALLOWED_HOSTS."
        )
        return ApiError(400, "host_not_allowed", message).response()
    with translation.override(translation.get_language_from_request(request)):
        page = render_to_string("streaming/unknown_host.html", {"host": host})
        language = translation.get_language() or settings.LANGUAGE_CODE
    headers = {
        "Cache-Control": "no-store",
        "Content-Language": language,
        "Content-Security-Policy": _POLICY,
    }
    return HttpResponse(page, status=400, headers=headers)
