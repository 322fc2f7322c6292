"""What every answer below the API's address has: an id of its request, and an error's shape."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.decorators import async_only_middleware

from streaming import conf
from streaming.api.errors import not_allowed, of_status
from streaming.api.openai_errors import is_api
from streaming.identity import owners

_SANE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)

Handler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@async_only_middleware
def api_answers(get_response: Handler) -> Handler:
    """Middleware: `X-Request-Id` on all answers of the API, OpenAI's shape for all of its errors,
    those of other middleware included. It stands before all of those.

    The id is that of the response which the request asks for, unless a trusted proxy gave another
    one: what strangers call their requests is not taken into the logs.
    """

    async def answer(request: HttpRequest) -> HttpResponseBase:
        if not is_api(request.path):
            return await get_response(request)
        request_id = _given_id(request) or str(response_id_of(request))
        request.request_id = request_id  # type: ignore[attr-defined]
        response = await get_response(request)
        if response.status_code >= 400 and isinstance(response, HttpResponse):
            _shape(request, response)
        response["X-Request-Id"] = request_id
        if conf.get().cors_origins:
            patch_vary_headers(response, ("Origin",))
        return response

    return answer


def response_id_of(request: HttpRequest) -> UUID:
    """The id of the response that this request may ask for, the same each time."""
    if not hasattr(request, "response_id"):
        request.response_id = uuid4()  # type: ignore[attr-defined]
    response_id: UUID = request.response_id  # type: ignore[attr-defined]
    return response_id


def _given_id(request: HttpRequest) -> str | None:
    given: str = request.headers.get("X-Request-Id", "")
    by_proxy = owners.is_within(request.META.get("REMOTE_ADDR", ""), conf.get().trusted_proxies)
    return given if by_proxy and _SANE_ID.fullmatch(given) else None


def _shape(request: HttpRequest, response: HttpResponse) -> None:
    """Make an error that is a page, or bare text, one for programs. Its headers stay."""
    if response.get("Content-Type", "").startswith("application/json"):
        return
    if response.status_code == 405:
        error = not_allowed(request, response.get("Allow", ""))
    else:
        error = of_status(request, response.status_code)
    response.content = json.dumps(error.body).encode()
    for name, value in {**error.headers, "Cache-Control": "no-store"}.items():
        response.setdefault(name, value)
    response["Content-Type"] = "application/json"
    response["Content-Length"] = str(len(response.content))
