"""ChatStream's console: an admin site with a name and a navigation of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy


@dataclass(frozen=True, slots=True)
class Entry:
    """One page of the navigation: the name of its address, for those who have a permission.

    `below`: the beginnings of other names of addresses that belong to it.
    """

    url_name: str
    text: Promise
    permission: str
    below: tuple[str, ...] = ()


NAVIGATION = (
    Entry(
        "streaming_response_queue",
        gettext_lazy("Live queue"),
        "streaming.view_queue",
        ("streaming_response_queue",),
    ),
    Entry(
        "streaming_conversation_changelist",
        gettext_lazy("Conversations"),
        "streaming.view_conversation",
        ("streaming_conversation_", "streaming_message_"),
    ),
    Entry(
        "streaming_response_changelist",
        gettext_lazy("History"),
        "streaming.view_response",
        ("streaming_response_",),
    ),
    Entry(
        "streaming_usage", gettext_lazy("Usage"), "streaming.view_response", ("streaming_usage",)
    ),
    Entry(
        "streaming_apikey_changelist",
        gettext_lazy("Keys"),
        "streaming.view_apikey",
        ("streaming_apikey_",),
    ),
    Entry(
        "auth_user_changelist",
        gettext_lazy("Users"),
        "auth.view_user",
        ("auth_user_", "auth_group_"),
    ),
    Entry("streaming_alerts", gettext_lazy("Alerts"), "streaming.view_queue", ("streaming_alert",)),
    Entry(
        "streaming_limits",
        gettext_lazy("Limits"),
        "streaming.view_queue",
        ("streaming_limits", "streaming_banner"),
    ),
)


class ConsoleSite(AdminSite):
    """The admin as ChatStream's console."""

    site_header = gettext_lazy("ChatStream console")
    site_title = gettext_lazy("ChatStream console")
    enable_nav_sidebar = False

    @property
    def index_title(self) -> str:  # type: ignore[override]
        """Return the title of the page that has everything."""
        return gettext("All pages")

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what every page is rendered with, the navigation among it."""
        return {**super().each_context(request), "console_navigation": self._navigation(request)}

    def _navigation(self, request: HttpRequest) -> list[dict[str, Any]]:
        """Return the pages that this operator may open, the present one marked."""
        here = request.resolver_match.url_name or "" if request.resolver_match else ""
        shown = []
        taken = False
        for entry in NAVIGATION:
            if not (request.user.is_staff and request.user.has_perm(entry.permission)):
                continue
            try:
                address = reverse(f"admin:{entry.url_name}", current_app=self.name)
            except NoReverseMatch:
                continue
            is_here = not taken and here.startswith(entry.below)
            taken = taken or is_here
            shown.append({"text": entry.text, "address": address, "is_here": is_here})
        return shown


class ConsoleConfig(AdminConfig):
    """Django's admin, whose site is the console. Stands in INSTALLED_APPS in place of it."""

    default_site = "streaming.console.site.ConsoleSite"
