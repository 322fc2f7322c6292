"""The history and the live queue in the Django admin.

Everything is to look at: the record is written by the service alone. Prompts and answers are
people's words, shown only with the permission `streaming.view_text`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.urls import path as url_path
from django.utils.html import format_html
from django.utils.translation import gettext as _

from streaming import (
    admin_keys,  # noqa: F401  # registers itself
    responses,
)
from streaming.models import OPEN, Conversation, Message, Response
from streaming.protocol import ProtocolError
from streaming.waiting_list.base import Snapshot

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


def _ids(queryset: QuerySet[Response]) -> list[str]:
    still = queryset.filter(status__in=OPEN)
    return [str(pk) for pk in still.values_list("pk", flat=True)]


def _short(value: Any) -> str:
    return str(value)[:8]


def _link(model: type[models.Model], pk: Any, text: str) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(name, args=[pk]), text)


def _seconds(since: datetime, until: datetime | None) -> str:
    return "–" if until is None else f"{(until - since).total_seconds():.2f} s"


def _shown(name: str, description: str) -> Callable[[RecordAdmin, models.Model], str]:
    """A text field as a paragraph that keeps its lines."""

    @admin.display(description=description)
    def show(self: RecordAdmin, obj: models.Model) -> str:
        value: Any = obj
        for part in name.split("."):
            value = getattr(value, part)
        return format_html('<div class="cs-text">{}</div>', value) if value else "–"

    return show


@admin.register(Response)
class ResponseAdmin(RecordAdmin):
    """Every response, and the live queue."""

    text_fields = ("prompt_text", "answer_text", "text", "params")
    list_display = (
        "short_id",
        "status",
        "short_owner",
        "conversation_link",
        "created_at",
        "queue_time",
        "ttft",
        "total",
        "prompt_tokens",
        "completion_tokens",
        "worker",
    )
    list_filter = ("status", "created_at", "worker")
    search_fields = ("id", "owner")
    date_hierarchy = "created_at"
    show_full_result_count = False
    fields = (
        "id",
        "status",
        "finish_reason",
        "error_code",
        "error_message",
        "owner",
        "address",
        "conversation_link",
        "prompt_text",
        "answer_text",
        "params",
        "prompt_tokens",
        "completion_tokens",
        "trimmed_messages",
        "worker",
        "attempt",
        "created_at",
        "queue_time",
        "ttft",
        "total",
    )

    prompt_text = _shown("prompt.content", "prompt")
    answer_text = _shown("text", "answer")

    @admin.display(description="response", ordering="id")
    def short_id(self, obj: Response) -> str:
        return _short(obj.pk)

    @admin.display(description="owner", ordering="owner")
    def short_owner(self, obj: Response) -> str:
        if len(obj.owner) <= 16:
            return obj.owner
        return format_html('<span title="{}">{}…</span>', obj.owner, obj.owner[:15])

    @admin.display(description="conversation", ordering="conversation_id")
    def conversation_link(self, obj: Response) -> str:
        return _link(Conversation, obj.conversation_id, _short(obj.conversation_id))

    @admin.display(description="queue time")
    def queue_time(self, obj: Response) -> str:
        return _seconds(obj.created_at, obj.started_at)

    @admin.display(description="first token")
    def ttft(self, obj: Response) -> str:
        return _seconds(obj.created_at, obj.first_token_at)

    @admin.display(description="total")
    def total(self, obj: Response) -> str:
        return _seconds(obj.created_at, obj.finished_at)

    def open_responses(self, queryset: QuerySet[Any]) -> list[str]:
        return _ids(queryset)

    # --- the live queue ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.queue_view)
        ours = [url_path("queue/", view, name="streaming_response_queue")]
        return ours + super().get_urls()

    def queue_view(self, request: HttpRequest) -> HttpResponse:
        """The queue as it is now; the page's script keeps it so."""
        if not request.user.has_perm("streaming.view_queue"):
            raise PermissionDenied
        snapshot = _snapshot()
        context = {
            **self.admin_site.each_context(request),
            "title": _("Live queue"),
            "opts": self.opts,
            "snapshot": snapshot,
            "counts": _counts(snapshot or Snapshot([], [], [])),
            "can_view_responses": self.has_view_permission(request),
            "response_url": self._response_url(request),
        }
        return TemplateResponse(request, "admin/streaming/response/queue.html", context)

    def _response_url(self, request: HttpRequest) -> str:
        """A response's address with a placeholder for its id; empty for who may not open it."""
        if not self.has_view_permission(request):
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


@admin.register(Conversation)
class ConversationAdmin(RecordAdmin):
    text_fields = ("title",)
    list_display = ("short_id", "title", "owner", "message_count", "created_at", "updated_at")
    list_filter = ("updated_at",)
    search_fields = ("id", "owner", "title")
    fields = ("id", "title", "owner", "user", "message_count", "created_at", "updated_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        counted: QuerySet[Any] = super().get_queryset(request).annotate(count=Count("messages"))
        return counted

    @admin.display(description="conversation", ordering="id")
    def short_id(self, obj: Conversation) -> str:
        return _short(obj.pk)

    @admin.display(description="messages", ordering="count")
    def message_count(self, obj: Any) -> int:
        return int(obj.count)

    def open_responses(self, queryset: QuerySet[Any]) -> list[str]:
        return _ids(Response.objects.filter(conversation__in=queryset))


@admin.register(Message)
class MessageAdmin(RecordAdmin):
    text_fields = ("content", "content_text", "beginning")
    list_display = ("short_id", "role", "beginning", "conversation_link", "created_at")
    list_filter = ("role", "created_at")
    search_fields = ("id", "conversation__id", "content")
    fields = ("id", "role", "conversation_link", "parent_link", "content_text", "created_at")

    content_text = _shown("content", "text")

    @admin.display(description="message", ordering="id")
    def short_id(self, obj: Message) -> str:
        return _short(obj.pk)

    @admin.display(description="text")
    def beginning(self, obj: Message) -> str:
        return obj.content if len(obj.content) <= 80 else f"{obj.content[:79]}…"

    @admin.display(description="conversation", ordering="conversation_id")
    def conversation_link(self, obj: Message) -> str:
        return _link(Conversation, obj.conversation_id, _short(obj.conversation_id))

    @admin.display(description="follows")
    def parent_link(self, obj: Message) -> str:
        return _link(Message, obj.parent_id, _short(obj.parent_id)) if obj.parent_id else "–"

    def open_responses(self, queryset: QuerySet[Any]) -> list[str]:
        return _ids(Response.objects.filter(prompt__in=queryset))
