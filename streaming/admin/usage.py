"""Usage per owner: responses, tokens, time, waits and failures over a window, and as CSV."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.urls import path as url_path
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.formats import number_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe

from streaming.admin.durations import words
from streaming.admin.export import cell
from streaming.models import Response
from streaming.record import usage

SHOWN = 100
"""Owners that the page shows; the export has all."""

WINDOWS = {
    "24h": (gettext_lazy("24 hours"), timedelta(hours=24)),
    "7d": (gettext_lazy("7 days"), timedelta(days=7)),
    "30d": (gettext_lazy("30 days"), timedelta(days=30)),
}

COLUMNS = {
    "responses": gettext_lazy("Responses"),
    "prompt_tokens": gettext_lazy("Tokens in"),
    "completion_tokens": gettext_lazy("Tokens out"),
    "seconds": gettext_lazy("Time"),
    "wait_p50": gettext_lazy("Wait p50"),
    "wait_p95": gettext_lazy("Wait p95"),
    "failed": gettext_lazy("Failed"),
    "cancelled": gettext_lazy("Cancelled"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the query string asks for. `window` is empty for days that were chosen; `wrong` says
    what was not understood, and the last 24 hours are shown instead."""

    since: datetime
    until: datetime
    order: str
    window: str = ""
    first: str = ""
    last: str = ""
    wrong: str = ""

    def link(self, **changes: str) -> str:
        """Return the query string with changes."""
        kept = {"window": self.window, "from": self.first, "to": self.last, "o": self.order}
        return "?" + urlencode({name: text for name, text in (kept | changes).items() if text})


def urls(model_admin: Any) -> list[URLPattern]:
    """The page's address and the export's, below those of the responses' admin."""

    def guarded(view: Any) -> Any:
        def look(request: HttpRequest) -> HttpResponse:
            if not model_admin.has_view_permission(request):
                raise PermissionDenied
            response: HttpResponse = view(model_admin, request)
            return response

        return model_admin.admin_site.admin_view(require_safe(look))

    return [
        url_path("usage/", guarded(_page), name="streaming_usage"),
        url_path("usage/export/", guarded(_export), name="streaming_usage_export"),
    ]


def asked_of(request: HttpRequest) -> Asked:
    """Return what a query string asks for."""
    now = timezone.now()
    order = request.GET.get("o", "")
    order = order if order in COLUMNS else "completion_tokens"
    first, last = request.GET.get("from", ""), request.GET.get("to", "")
    if first or last:
        since, until = _day(first), _day(last)
        if (since or not first) and (until or not last) and (since or now) < (until or now):
            start = since or now - timedelta(days=36_500)
            end = until + timedelta(days=1) if until else now
            return Asked(start, end, order, first=first, last=last)
        if since and until and since == until:
            return Asked(since, until + timedelta(days=1), order, first=first, last=last)
        wrong = _("These are no days, or end before they begin: the last 24 hours are shown.")
        return Asked(now - timedelta(hours=24), now, order, window="24h", wrong=wrong)
    window = request.GET.get("window", "")
    window = window if window in WINDOWS else "24h"
    return Asked(now - WINDOWS[window][1], now, order, window=window)


def _day(text: str) -> datetime | None:
    try:
        day = parse_date(text)
    except ValueError:
        return None
    if day is None or not 1970 <= day.year <= 9000:
        return None
    return timezone.make_aware(datetime(day.year, day.month, day.day))


def _page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    asked = asked_of(request)
    owners, totals = usage.of_owners(asked.since, asked.until, order=asked.order, most=SHOWN)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Usage per owner"),
        "opts": model_admin.opts,
        "asked": asked,
        "windows": [
            (name, asked.link(window=name, **{"from": "", "to": ""}), name == asked.window, text)
            for name, (text, _span) in WINDOWS.items()
        ],
        "columns": [
            (text, asked.link(o=name), name == asked.order) for name, text in COLUMNS.items()
        ],
        "rows": [_row(each, totals) for each in owners],
        "counts": _counts(totals),
        "total_time": words(totals.seconds),
        "heading": _heading(totals.owners),
        "more": _more(totals.owners - len(owners)),
        "export": reverse("admin:streaming_usage_export") + asked.link(),
        "history": reverse("admin:streaming_response_changelist"),
    }
    return TemplateResponse(request, "admin/streaming/usage.html", context)


def _heading(count: int) -> str:
    return ngettext("%(count)d owner", "%(count)d owners", count) % {"count": count}


def _more(count: int) -> str:
    """What is said of owners that the page does not show; empty if it shows all."""
    if not count:
        return ""
    text = ngettext("%(count)d more is in the export.", "%(count)d more are in the export.", count)
    return text % {"count": count}


def _row(each: usage.Usage, totals: usage.Totals) -> dict[str, Any]:
    share = each.completion_tokens / totals.completion_tokens if totals.completion_tokens else 0
    return {
        "owner": each.owner,
        "name": each.username or each.owner,
        "counts": _counts(each),
        "share": round(100 * share, 1),
        "time": words(each.seconds),
        "wait_p50": words(each.wait_p50),
        "wait_p95": words(each.wait_p95),
    }


def _counts(used: usage.Usage | usage.Totals) -> dict[str, str]:
    """Return the numbers as they are read: 174,087."""
    names = ("responses", "prompt_tokens", "completion_tokens", "failed", "cancelled")
    return {name: number_format(getattr(used, name), force_grouping=True) for name in names}


def _export(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """All owners of the window as CSV; the admin's log says who took it."""
    asked = asked_of(request)
    owners, totals = usage.of_owners(asked.since, asked.until, order=asked.order, most=None)
    span = f"{asked.since:%Y-%m-%d %H:%M} to {asked.until:%Y-%m-%d %H:%M} UTC"
    LogEntry.objects.create(
        user_id=cast(int, request.user.pk),  # of staff, who are signed in
        content_type=ContentType.objects.get_for_model(Response),
        object_repr="Usage per owner",
        action_flag=CHANGE,
        change_message=f"Exported the usage of {totals.owners} owners, {span}.",
    )
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="usage.csv"'
    writer = csv.writer(response)
    writer.writerow(
        ["owner", "account", "responses", "prompt_tokens", "completion_tokens", "share_percent",
         "seconds", "wait_p50_seconds", "wait_p95_seconds", "failed", "cancelled"]
    )  # fmt: skip
    for each in owners:
        row = _row(each, totals)
        writer.writerow(
            [cell(each.owner), cell(each.username), each.responses, each.prompt_tokens,
             each.completion_tokens, row["share"], round(each.seconds, 3), _exact(each.wait_p50),
             _exact(each.wait_p95), each.failed, each.cancelled]
        )  # fmt: skip
    return response


def _exact(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3f}"
