"""The page where operators set limits, and write what all users are told."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.urls import path as url_path
from django.utils import timezone
from django.utils.translation import gettext as _

from streaming.admin import actions, limits
from streaming.models import Announcement
from streaming.record import announcements


def urls(model_admin: Any) -> list[URLPattern]:
    """The page's address, below those of the responses' admin."""

    def view(request: HttpRequest) -> HttpResponse:
        return _page(model_admin, request)

    guarded = model_admin.admin_site.admin_view(view)
    return [url_path("limits/", guarded, name="streaming_limits")]


def _page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm("streaming.view_queue"):
        raise PermissionDenied
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Limits and banner"),
        "opts": model_admin.opts,
        "limits": async_to_sync(limits.rows)(),
        "announcements": async_to_sync(announcements.upcoming)(),
        "levels": Announcement.Level.choices,
        "most_chars": announcements.MOST_CHARS,
        "now": timezone.now(),
        "zone": timezone.get_current_timezone_name(),
        "can_control": request.user.has_perm(actions.CONTROL),
    }
    return TemplateResponse(request, "admin/streaming/limits.html", context)
