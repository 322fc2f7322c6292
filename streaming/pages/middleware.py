"""What of ours goes into the header of a response: a policy, and the cookie of a visitor."""

from __future__ import annotations

from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from streaming.identity import visitors

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


@sync_and_async_middleware
def visitor_cookie(get_response: Any) -> Any:
    """Give a browser the cookie by which it is the same visitor again."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponse:
            response: HttpResponse = await get_response(request)
            visitors.write_cookie(request, response)
            return response

        return answer_async

    def answer(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        visitors.write_cookie(request, response)
        return response

    return answer
