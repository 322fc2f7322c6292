"""What the pages of the record share: they are to look at, and texts need a permission.

The record is written by the service alone. Prompts and answers are people's words, shown only
with the permission `streaming.view_text`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from streaming.admin import search
from streaming.admin.lists import OfferedAdmin, OfferedList
from streaming.lifecycle import forgetting
from streaming.models import Status

HIDDEN = "(hidden)"


def may_view_text(request: HttpRequest) -> bool:
    """Return whether the operator may read what people wrote."""
    return request.user.has_perm("streaming.view_text")


class RecordList(OfferedList):
    """A list whose rows know the words of the search that may be in their texts: `searched`."""

    def tell_what_was_found(self, request: HttpRequest) -> None:
        """Give the rows the words of the search, where the operator may read texts."""
        words = search.words(self.query) if may_view_text(request) else []
        for row in self.result_list:
            row.searched = words


class RecordAdmin(OfferedAdmin):
    """Read-only. `text_fields` are what somebody wrote; they need `streaming.view_text`."""

    text_fields: Sequence[str] = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[OfferedList]:
        """Return the list whose rows know the words of the search."""
        return RecordList

    class Media:
        css = {"all": ["streaming/queue/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: the service alone writes the record."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: the service alone writes the record."""
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the fields, without texts for those who may not read them."""
        fields = list(super().get_fields(request, obj))
        if may_view_text(request):
            return fields
        return [name for name in fields if name not in self.text_fields]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Return the columns, without texts for those who may not read them."""
        columns = list(super().get_list_display(request))
        if may_view_text(request):
            return columns
        return [name for name in columns if name not in self.text_fields]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Return the searched columns, without texts for those who may not read them."""
        fields = list(super().get_search_fields(request))
        if may_view_text(request):
            return fields
        return [name for name in fields if name not in self.text_fields]

    # An object's name may be its text: titles, breadcrumbs, the log of what was deleted.

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Return a row, its texts replaced for those who may not read them."""
        found = super().get_object(request, object_id, from_field)
        if found is not None and not may_view_text(request):
            for field in self.text_fields:
                if hasattr(type(found), field):
                    setattr(found, field, HIDDEN)
        return found

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return what a deletion takes along, as counts alone for those who may not read texts."""
        shown, counts, missing, protected = super().get_deleted_objects(objs, request)
        if not may_view_text(request):
            shown = [f"{count} {name}" for name, count in counts.items()]
        return shown, counts, missing, protected

    def get_actions(self, request: HttpRequest) -> Any:
        """Return the actions; deleting several needs the right to read: the log names each."""
        actions = super().get_actions(request)
        if not may_view_text(request):
            actions.pop("delete_selected", None)  # it logs every object's name
        return actions

    # Deleting what is open would leave it running: cancel it first, and before the view's
    # transaction, which must not stay open while the waiting list is spoken to.

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show or carry out the deletion of a row; what is open of it is cancelled first."""
        found = self.get_object(request, object_id) if request.method == "POST" else None
        if found is not None and self.has_delete_permission(request, found):
            forgetting.cancel_open(self._alone(found))
        response: HttpResponse = super().delete_view(request, object_id, extra_context)
        return response

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete a row, and take what was still open of it out of the waiting list."""
        forgetting.forget_in_transaction(self._alone(obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Delete several rows; what is open of them is cancelled first."""
        forgetting.forget(queryset)

    def _alone(self, obj: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._default_manager.filter(pk=obj.pk)
        return rows


def short(value: Any) -> str:
    """Return the beginning of an id, by which operators know it."""
    return str(value)[:8]


def link(model: type[models.Model], pk: Any, text: str) -> str:
    """Return a link to a row's page in the admin."""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(name, args=[pk]), text)


def clipped(owner: str, username: str | None) -> str:
    """Whose a row is: as much of the name as its column has room for, all of it for the pointer."""
    if username is None:
        return format_html('<span class="cs-clip" title="{}">{}</span>', owner, owner)
    title = f"{username} ({owner})"
    return format_html('<span class="cs-clip" title="{}">{}</span>', title, username)


def status_mark(status: str) -> str:
    """A response's status, as a word on its colour."""
    return format_html(
        '<span class="cs-status" data-status="{}">{}</span>', status, Status(status).label
    )


def moment(value: datetime) -> str:
    """A day and a minute of the reader's time zone, short enough for a list of many columns."""
    return f"{timezone.localtime(value):%Y-%m-%d %H:%M}"


def shown(name: str, description: str) -> Callable[[RecordAdmin, models.Model], str]:
    """A text field as a paragraph that keeps its lines."""

    @admin.display(description=description)
    def show(self: RecordAdmin, obj: models.Model) -> str:
        value: Any = obj
        for part in name.split("."):
            value = getattr(value, part)
        return format_html('<div class="cs-text">{}</div>', value) if value else "–"

    return show
