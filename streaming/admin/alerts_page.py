"""The page where operators set who is told, and of what; and see what was sent."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.urls import path as url_path
from django.utils.translation import gettext as _

from streaming.admin import actions, alerting
from streaming.models import AlertReceiver, AlertRule
from streaming.record import alerts
from streaming.system import mail

SHOWN = 50
"""Messages of the history that the page shows."""


def urls(model_admin: Any) -> list[URLPattern]:
    """The page's address, below those of the responses' admin."""

    def view(request: HttpRequest) -> HttpResponse:
        return _page(model_admin, request)

    guarded = model_admin.admin_site.admin_view(view)
    return [url_path("alerts/", guarded, name="streaming_alerts")]


def _page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm("streaming.view_queue"):
        raise PermissionDenied
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Alerts"),
        "opts": model_admin.opts,
        "rules": [_rule(rule) for rule in alerts.all_rules()],
        "minutes": alerting.MINUTES,
        "receivers": alerts.receivers(),
        "kinds": AlertReceiver.Kind.choices,
        "history": alerts.history(SHOWN),
        "mail_works": mail.can_be_sent(),
        "can_control": request.user.has_perm(actions.CONTROL),
    }
    return TemplateResponse(request, "admin/streaming/alerts.html", context)


def _rule(rule: AlertRule) -> dict[str, Any]:
    kind = AlertRule.Kind(rule.kind)
    least, most = alerting.BOUNDS[kind]
    is_share = kind is AlertRule.Kind.FAILURES
    return {
        "rule": rule,
        "title": alerting.TITLES[kind],
        "unit": "%" if is_share else _("s"),
        "is_share": is_share,
        "least": least,
        "most": most,
    }
