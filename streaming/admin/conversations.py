"""Conversations and their messages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from streaming.admin.record import RecordAdmin, link, open_ids, short, shown
from streaming.models import Conversation, Message, Response


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
        return short(obj.pk)

    @admin.display(description="messages", ordering="count")
    def message_count(self, obj: Any) -> int:
        return int(obj.count)

    def open_responses(self, queryset: QuerySet[Any]) -> list[str]:
        return open_ids(Response.objects.filter(conversation__in=queryset))


@admin.register(Message)
class MessageAdmin(RecordAdmin):
    text_fields = ("content", "content_text", "beginning")
    list_display = ("short_id", "role", "beginning", "conversation_link", "created_at")
    list_filter = ("role", "created_at")
    search_fields = ("id", "conversation__id", "content")
    fields = ("id", "role", "conversation_link", "parent_link", "content_text", "created_at")

    content_text = shown("content", "text")

    @admin.display(description="message", ordering="id")
    def short_id(self, obj: Message) -> str:
        return short(obj.pk)

    @admin.display(description="text")
    def beginning(self, obj: Message) -> str:
        return obj.content if len(obj.content) <= 80 else f"{obj.content[:79]}…"

    @admin.display(description="conversation", ordering="conversation_id")
    def conversation_link(self, obj: Message) -> str:
        return link(Conversation, obj.conversation_id, short(obj.conversation_id))

    @admin.display(description="follows")
    def parent_link(self, obj: Message) -> str:
        return link(Message, obj.parent_id, short(obj.parent_id)) if obj.parent_id else "–"

    def open_responses(self, queryset: QuerySet[Any]) -> list[str]:
        return open_ids(Response.objects.filter(prompt__in=queryset))
