"""What the pages of the record share: they are to look at, and texts need a permission.

The record is written by the service alone. Prompts and answers are people's words, shown only
with the permission `streaming.view_text`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib import admin
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html

from streaming import responses
from streaming.models import OPEN, Response
from streaming.protocol import ProtocolError

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

logger = logging.getLogger(__name__)

HIDDEN = "(hidden)"


def may_view_text(request: HttpRequest) -> bool:
    return request.user.has_perm("streaming.view_text")


class RecordAdmin(ModelAdmin):
    """Read-only. `text_fields` are what somebody wrote; they need `streaming.view_text`."""

    text_fields: Sequence[str] = ()

    class Media:
        css = {"all": ["streaming/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fields = list(super().get_fields(request, obj))
        if may_view_text(request):
            return fields
        return [name for name in fields if name not in self.text_fields]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = list(super().get_list_display(request))
        if may_view_text(request):
            return columns
        return [name for name in columns if name not in self.text_fields]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        fields = list(super().get_search_fields(request))
        if may_view_text(request):
            return fields
        return [name for name in fields if name not in self.text_fields]

    # An object's name may be its text: titles, breadcrumbs, the log of what was deleted.

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        found = super().get_object(request, object_id, from_field)
        if found is not None and not may_view_text(request):
            for field in self.text_fields:
                if hasattr(type(found), field):
                    setattr(found, field, HIDDEN)
        return found

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        shown, counts, missing, protected = super().get_deleted_objects(objs, request)
        if not may_view_text(request):
            shown = [f"{count} {name}" for name, count in counts.items()]
        return shown, counts, missing, protected

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        if not may_view_text(request):
            actions.pop("delete_selected", None)  # it logs every object's name
        return actions

    # Deleting what is open would leave it running: cancel it first, and before the view's
    # transaction, which must not stay open while the waiting list is spoken to.

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        found = self.get_object(request, object_id) if request.method == "POST" else None
        if found is not None and self.has_delete_permission(request, found):
            _cancel(self.open_responses(self.model._default_manager.filter(pk=found.pk)))
        response: HttpResponse = super().delete_view(request, object_id, extra_context)
        return response

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        _cancel(self.open_responses(queryset))
        super().delete_queryset(request, queryset)

    def open_responses(self, queryset: QuerySet[Any]) -> list[str]:
        """The ids of the open responses that go when these rows go."""
        raise NotImplementedError


def _cancel(response_ids: list[str]) -> None:
    for response_id in response_ids:
        try:
            async_to_sync(responses.cancel)(get_channel_layer(), response_id)
        except ProtocolError as error:
            logger.info("%s was not cancelled: %s", response_id, error)


def open_ids(queryset: QuerySet[Response]) -> list[str]:
    still = queryset.filter(status__in=OPEN)
    return [str(pk) for pk in still.values_list("pk", flat=True)]


def short(value: Any) -> str:
    return str(value)[:8]


def link(model: type[models.Model], pk: Any, text: str) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(name, args=[pk]), text)


def shown(name: str, description: str) -> Callable[[RecordAdmin, models.Model], str]:
    """A text field as a paragraph that keeps its lines."""

    @admin.display(description=description)
    def show(self: RecordAdmin, obj: models.Model) -> str:
        value: Any = obj
        for part in name.split("."):
            value = getattr(value, part)
        return format_html('<div class="cs-text">{}</div>', value) if value else "–"

    return show
