"""Links to copies of conversations in the Django admin: seen, and withdrawn.

A link opens what its conversation says. So the link itself is shown to those alone who may read
prompts and answers.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from streaming.admin.lists import MomentFilter, OfferedAdmin
from streaming.admin.record_pages import may_view_text
from streaming.models import Share
from streaming.record import shares


@admin.register(Share)
class ShareAdmin(OfferedAdmin):
    """Links, the newest first. They are made by the owners of conversations alone."""

    list_display = ("id", "owner", "created_at", "updated_at")
    list_filter = (("created_at", MomentFilter),)
    search_fields = ("conversation__owner", "conversation__user__username")
    actions = ("withdraw",)
    fields = ("conversation_id", "owner", "author", "link", "created_at", "updated_at")
    readonly_fields = fields

    class Media:
        css = {"all": ["streaming/queue/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Share]:
        """Return the links without what they show."""
        found: QuerySet[Share] = super().get_queryset(request)
        return found.select_related("conversation").defer("turns")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: an owner alone makes a link."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Share | None = None) -> bool:
        """Return False: nothing of a link can be changed."""
        return False

    def get_actions(self, request: HttpRequest) -> Any:
        """Return the actions; to withdraw a link is to delete it."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.display(description=gettext_lazy("owner"), ordering="conversation__owner")
    def owner(self, obj: Share) -> str:
        """Return whose conversation it is."""
        return obj.conversation.owner

    def get_fields(self, request: HttpRequest, obj: Share | None = None) -> Any:
        """Return what is shown: the link to those alone who may read texts."""
        return [name for name in self.fields if name != "link" or may_view_text(request)]

    @admin.display(description=gettext_lazy("link"))
    def link(self, obj: Share) -> str:
        """Return a link to what it opens."""
        address = reverse("shared", args=[obj.token])
        return format_html('<a href="{}">{}</a>', address, address)

    @admin.action(description=gettext_lazy("Withdraw the selected links"), permissions=["delete"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Share]) -> None:
        """Withdraw the selected links, and log each."""
        for share in queryset:
            self.log_deletions(request, Share.objects.filter(pk=share.pk))
        count = shares.withdraw(Share.objects.filter(pk__in=queryset.values("pk")))
        self.message_user(request, f"{count} withdrawn.", messages.SUCCESS)
