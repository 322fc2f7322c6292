"""A header of ours that Django does not set by itself."""

from __future__ import annotations

from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


@sync_and_async_middleware
def permissions_policy(get_response: Any) -> Any:
    """Scripts may use no sensor, whatever gets into a page."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponse:
            return _with_policy(await get_response(request))

        return answer_async

    def answer(request: HttpRequest) -> HttpResponse:
        return _with_policy(get_response(request))

    return answer


def _with_policy(response: HttpResponse) -> HttpResponse:
    response.headers.setdefault("Permissions-Policy", POLICY)
    return response
