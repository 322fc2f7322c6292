"""The addresses below `/v1/`, all of which answer in OpenAI's shape."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from streaming.api.errors import not_allowed, unknown_url
from streaming.api.views import api

View = Callable[..., Any]


@csrf_exempt
async def nothing_here(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """Answer with the error for an address where nothing is."""
    return unknown_url(request).response()


def explained(view: View) -> View:
    """The view, but for HEAD, which the framework does not know, and for a wrong method, which it
    answers with bare text."""

    @csrf_exempt
    @functools.wraps(view)
    async def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        is_head = request.method == "HEAD"
        if is_head:
            request.method = "GET"
        response = await _answer(view, request, *args, **kwargs)
        if is_head:
            request.method = "HEAD"
        if response.status_code == 405:
            allowed = response["Allow"].replace("GET", "GET, HEAD")
            response = not_allowed(request, allowed).response()
        if is_head and isinstance(response, HttpResponse):
            response["Content-Length"] = str(len(response.content))
            response.content = b""
        return response

    return answer


async def _answer(
    view: Callable[..., Any], request: HttpRequest, *args: Any, **kwargs: Any
) -> HttpResponseBase:
    """What a view answers that may be made for threads."""
    if not iscoroutinefunction(view):
        view = sync_to_async(view)
    response: HttpResponseBase = await view(request, *args, **kwargs)
    return response


def _patterns() -> list[URLPattern]:
    found, *_ = api.urls
    ours: list[URLPattern] = []
    for pattern in found:
        assert isinstance(pattern, URLPattern)
        if pattern.name == "api-root":  # the framework's own 404; the document needs its name
            pattern.callback = nothing_here
        elif pattern.name == "openapi-json":
            pattern.callback = explained(require_safe(pattern.callback))
        else:
            pattern.callback = explained(pattern.callback)
        ours.append(pattern)
    return [*ours, re_path("", nothing_here)]


app_name = "api"  # as the framework's own look-ups expect
urlpatterns = _patterns()
