"""The live queue: rendered as it is now, then kept so by the page's script over a socket."""

from __future__ import annotations

import logging
import time
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.urls import path as url_path
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from streaming.admin import actions, charts, moving
from streaming.live_queue import search, words
from streaming.live_queue.cells import MARKS
from streaming.live_queue.overview import LiveQueue
from streaming.live_queue.pages import MOST_ORIGINS, first_board
from streaming.record import origins
from streaming.record.origins import Origin
from streaming.system.outages import log_fault
from streaming.waiting_list.interface import CLOSED_MESSAGE_CHARS

logger = logging.getLogger(__name__)

NOTHING: dict[str, Any] = {
    "workers": [],
    "running": [],
    "waiting": [],
    "paused": False,
    "closed": None,
}


def urls(model_admin: Any) -> list[URLPattern]:
    """The addresses of the live queue, below those of the responses' admin."""

    def queue_view(request: HttpRequest) -> HttpResponse:
        return _queue_view(model_admin, request)

    view = model_admin.admin_site.admin_view(queue_view)
    charts_view = model_admin.admin_site.admin_view(charts.view)
    return [
        url_path("queue/", view, name="streaming_response_queue"),
        url_path("queue/charts/", charts_view, name="streaming_response_queue_charts"),
        *actions.urls(model_admin),
    ]


def _queue_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The queue as it is now; the page's script keeps it so."""
    if not request.user.has_perm("streaming.view_queue"):
        raise PermissionDenied
    look, known = _look()
    board = first_board(look or NOTHING, known, get_language() or "", time.time())
    query, earlier = request.GET.get("q", "").strip(), actions.earlier(request)
    found = search.find(board, query)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Live queue"),
        "opts": model_admin.opts,
        "is_read": look is not None,
        "look": look or NOTHING,
        "board": board,
        "page": board.page,
        "found": found,
        "more": words.more_waiting(found.more),
        "charts": charts.remembered(request),
        "query": query,
        "marks": {"names": MARKS},
        "undo": moving.moved_words(len(earlier.moved)) if earlier else "",
        "closed_chars": CLOSED_MESSAGE_CHARS,
        "can_view_responses": model_admin.has_view_permission(request),
        "can_view_conversations": request.user.has_perm("streaming.view_conversation"),
        "can_cancel": request.user.has_perm(actions.CANCEL),
        "can_control": request.user.has_perm(actions.CONTROL),
    }
    return TemplateResponse(request, "admin/streaming/response/queue.html", context)


def _look() -> tuple[dict[str, Any] | None, dict[str, Origin]]:
    """None when the channel layer does not answer: the page says so and tries again."""
    try:
        layer: Any = get_channel_layer()
        look: dict[str, Any] = async_to_sync(LiveQueue(layer.waiting_list).look)()
    except Exception as error:
        log_fault(logger, error, "The queue could not be read.")
        return None, {}
    return look, origins.read(row["response_id"] for row in look["waiting"][:MOST_ORIGINS])
