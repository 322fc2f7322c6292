"""The history: every response with its timings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.urls import URLPattern
from django.utils.html import format_html

from streaming.admin import queue
from streaming.admin.record import RecordAdmin, link, open_ids, short, shown
from streaming.models import Conversation, Response


def _seconds(since: datetime, until: datetime | None) -> str:
    return "–" if until is None else f"{(until - since).total_seconds():.2f} s"


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

    prompt_text = shown("prompt.content", "prompt")
    answer_text = shown("text", "answer")

    @admin.display(description="response", ordering="id")
    def short_id(self, obj: Response) -> str:
        return short(obj.pk)

    @admin.display(description="owner", ordering="owner")
    def short_owner(self, obj: Response) -> str:
        if len(obj.owner) <= 16:
            return obj.owner
        return format_html('<span title="{}">{}…</span>', obj.owner, obj.owner[:15])

    @admin.display(description="conversation", ordering="conversation_id")
    def conversation_link(self, obj: Response) -> str:
        return link(Conversation, obj.conversation_id, short(obj.conversation_id))

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
        return open_ids(queryset)

    def get_urls(self) -> list[URLPattern]:
        return queue.urls(self) + super().get_urls()
