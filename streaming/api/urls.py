"""The addresses below `/v1/`, all of which answer in OpenAI's shape."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, re_path
from django.views.decorators.csrf import csrf_exempt

from streaming.api.errors import not_allowed, unknown_url
from streaming.api.views import api

View = Callable[..., Awaitable[HttpResponseBase]]


@csrf_exempt
async def nothing_here(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return unknown_url(request).response()


def explained(view: View) -> View:
    """The view, but for a wrong method, which the framework answers with bare text."""

    @csrf_exempt
    @functools.wraps(view)
    async def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = await view(request, *args, **kwargs)
        if response.status_code == 405:
            return not_allowed(request, response["Allow"]).response()
        return response

    return answer


def _patterns() -> list[URLPattern]:
    found, *_ = api.urls
    ours: list[URLPattern] = []
    for pattern in found:
        assert isinstance(pattern, URLPattern)
        if pattern.name == "api-root":  # the framework's own 404; the document needs its name
            pattern.callback = nothing_here
        elif pattern.name != "openapi-json":
            pattern.callback = explained(pattern.callback)
        ours.append(pattern)
    return [*ours, re_path("", nothing_here)]


app_name = "api"  # as the framework's own look-ups expect
urlpatterns = _patterns()
