"""API keys in the Django admin: made here, their secret shown once; revoked here.

A key acts as its account, so that only superusers make one for somebody else: everybody else with
the permission to add keys makes their own.
"""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from streaming.admin.lists import MomentFilter, OfferedAdmin
from streaming.identity import keys
from streaming.models import ApiKey


@admin.register(ApiKey)
class ApiKeyAdmin(OfferedAdmin):
    """API keys; a new one shows its secret once."""

    list_display = ("name", "user", "start", "created_at", "last_used_at", "revoked_at")
    list_filter = (
        ("revoked_at", admin.EmptyFieldListFilter),
        ("last_used_at", MomentFilter),
    )
    list_select_related = ("user",)
    search_fields = ("name", "user__username", "start")
    autocomplete_fields = ("user",)
    actions = ("revoke",)

    class Media:
        css = {"all": ["streaming/queue/admin.css"]}
        js = ["streaming/queue/admin-labels.js"]

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        """Return the form's fields, with the account for those who may make anybody's key."""
        if obj is None:
            return ["user", "name"] if _for_anybody(request) else ["name"]
        return ["name", *self.get_readonly_fields(request, obj)]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        """Return what cannot be changed: everything of an existing key but its name."""
        if obj is None:
            return []
        return ["user", "start", "created_at", "last_used_at", "revoked_at"]

    def get_form(
        self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form, which says for whom the key will be."""
        if obj is None and not _for_anybody(request):
            text = f"The key is for yourself, {request.user.get_username()}."
            kwargs["help_texts"] = {"name": text}
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Save a new name; or make a key, and show its secret this once."""
        if change:
            obj.save(update_fields=["name"])
            return
        user = obj.user if _for_anybody(request) else cast(User, request.user)
        key, secret = keys.create(user, obj.name)
        obj.pk = key.pk
        obj.refresh_from_db()
        text = f"The key's secret, shown this once: {secret}"
        self.message_user(request, text, messages.WARNING)

    @admin.action(description=gettext_lazy("Revoke the selected keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Revoke the selected keys that are not revoked yet, and log each."""
        count = 0
        for key in queryset.filter(revoked_at=None):
            keys.revoke(key)
            self.log_change(request, key, "Revoked.")
            count += 1
        self.message_user(request, f"{count} revoked.", messages.SUCCESS)


def _for_anybody(request: HttpRequest) -> bool:
    return cast(User, request.user).is_superuser
