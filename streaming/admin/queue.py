"""The live queue: rendered as it is now, then kept so by the page's script over a socket."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.urls import path as url_path
from django.utils.translation import gettext as _

from streaming.admin import actions, charts
from streaming.waiting_list.base import Snapshot

logger = logging.getLogger(__name__)


def urls(model_admin: Any) -> list[URLPattern]:
    """The addresses of the live queue, below those of the responses' admin."""

    def queue_view(request: HttpRequest) -> HttpResponse:
        return _queue_view(model_admin, request)

    view = model_admin.admin_site.admin_view(queue_view)
    return [
        url_path("queue/", view, name="streaming_response_queue"),
        *actions.urls(model_admin),
    ]


def _queue_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The queue as it is now; the page's script keeps it so."""
    if not request.user.has_perm("streaming.view_queue"):
        raise PermissionDenied
    snapshot = _snapshot()
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Live queue"),
        "opts": model_admin.opts,
        "snapshot": snapshot,
        "counts": _counts(snapshot or Snapshot([], [], [])),
        "can_view_responses": model_admin.has_view_permission(request),
        "charts": charts.read(),
        "response_url": _response_url(model_admin, request),
    }
    return TemplateResponse(request, "admin/streaming/response/queue.html", context)


def _response_url(model_admin: Any, request: HttpRequest) -> str:
    """A response's address with a placeholder for its id; empty for who may not open it."""
    if not model_admin.has_view_permission(request):
        return ""
    return reverse("admin:streaming_response_change", args=["RESPONSE_ID"])


@dataclass(frozen=True, slots=True)
class Counts:
    """The queue in four numbers; `queue.js` counts the same."""

    workers: int
    running: int
    capacity: int
    waiting: int
    held: int


def _counts(snapshot: Snapshot) -> Counts:
    held = sum(row.position is None for row in snapshot.waiting)
    return Counts(
        workers=len(snapshot.workers),
        running=len(snapshot.running),
        capacity=sum(row.capacity for row in snapshot.workers),
        waiting=len(snapshot.waiting) - held,
        held=held,
    )


def _snapshot() -> Snapshot | None:
    """None when the channel layer does not answer: the page says so and tries again."""
    try:
        layer: Any = get_channel_layer()
        snapshot: Snapshot = async_to_sync(layer.waiting_list.snapshot)()
    except Exception:
        logger.exception("The queue could not be read.")
        return None
    return snapshot
