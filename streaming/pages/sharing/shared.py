"""The page behind a link: a copy of a conversation, for whoever has the link, signed in or not.

Its one script follows footnotes. It sets no cookie, and is kept by no cache: a link that is
withdrawn is gone.
"""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from streaming import conf
from streaming.pages.preferences import zone_of
from streaming.pages.sharing import document
from streaming.record import shares

TURNS_PER_PAGE = 50


@never_cache
@require_safe
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """Show what a link opens; `page` counts from 1. 404 for one that opens nothing (any more)."""
    found = shares.find(token) if conf.get().sharing else None
    if found is None:
        return _private(render(request, "streaming/sharing/gone.html", status=404))
    page = Paginator(found.turns, TURNS_PER_PAGE).get_page(request.GET.get("page"))
    turns = [
        document.DrawnTurn(turn["prompt"], turn["answer"], model=turn.get("model", ""))
        for turn in page.object_list
    ]
    context = {
        "title": found.title,
        "author": found.author,
        "asker": found.author or _("Prompt"),
        "shared_at": found.updated_at,
        "turns": document.rendered(turns),
        "page": page,
        "zone": zone_of(request),
    }
    return _private(render(request, "streaming/sharing/shared.html", context))


def _private(response: HttpResponse) -> HttpResponse:
    """Have search engines leave the page alone, and other sites not learn its address."""
    response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
