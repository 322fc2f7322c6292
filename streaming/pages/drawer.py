"""The drawer of the chat page, with instructions and sampling: fetched when it is first opened."""

from __future__ import annotations

from dataclasses import fields

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from streaming import conf
from streaming.engine.base import SamplingParams
from streaming.pages.conversations.views import for_owners


@require_safe
@for_owners
def drawer(request: HttpRequest) -> HttpResponse:
    """The drawer as a piece of HTML, with what the server takes for fields that are empty."""
    settings = conf.get()
    # What nobody asks for is another server's to choose.
    elsewhere = bool(settings.upstream_url)
    defaults = {field.name: "" if elsewhere else field.default for field in fields(SamplingParams)}
    context = {"defaults": defaults, "max_tokens": settings.max_tokens}
    return render(request, "streaming/settings.html", context)
