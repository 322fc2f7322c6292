"""Conversations and their messages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Left
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy

from streaming.admin import excerpts, filters, lists, search, timeline_drawing, transcript
from streaming.admin.durations import total_seconds, words
from streaming.admin.record_pages import (
    RecordAdmin,
    RecordList,
    clipped,
    link,
    may_view_text,
    moment,
    short,
    shown,
    status_mark,
)
from streaming.models import Conversation, Message, Response
from streaming.record.conversations import newest_first

BEGINNING = 80
"""Characters of a message in the list."""
RESPONSES = 200
"""Responses that a conversation's page lists; the history lists all."""

_UNSHOWN = ("text", "reasoning", "passed", "params", "instructions", "error_message")


@admin.register(Conversation)
class ConversationAdmin(RecordAdmin):
    """Conversations, with the responses of each on its page."""

    text_fields = ("title", "marked_title", "instructions", "own_instructions")
    list_display = (
        "short_id",
        "marked_title",
        "short_owner",
        "source",
        "message_count",
        "created",
        "updated",
    )
    list_filter = ("source", ("updated_at", lists.MomentFilter))
    list_select_related = ("user",)
    search_fields = ("id",)  # for the form; `find` says what is searched
    search_help_text = gettext_lazy(
        "The beginning of an id, an owner or account; words of titles if allowed"
    )
    show_full_result_count = False
    fields = (
        "id",
        "title",
        "owner",
        "user",
        "source",
        "message_count",
        "created_at",
        "updated_at",
        "own_instructions",
        "turns",
    )

    own_instructions = shown("instructions", "instructions")

    class Media:
        css = {"all": ["streaming/queue/admin-history.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the conversations with the number of their messages."""
        # Counted for the rows of the page alone: a join would count all messages to sort them.
        messages = Message.objects.order_by().filter(conversation=OuterRef("pk"))
        counts = messages.values("conversation").annotate(count=Count("pk")).values("count")
        count = Coalesce(Subquery(counts, output_field=IntegerField()), Value(0))
        counted: QuerySet[Any] = super().get_queryset(request).annotate(count=count)
        return counted

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a conversation, with what was said in it to those who may read that."""
        context = {**(extra_context or {})}
        found = self.get_object(request, object_id)
        if found is not None and may_view_text(request) and self.has_view_permission(request):
            given = request.GET.get("part", "")
            number = int(given) if given.isdecimal() and len(given) < 9 else 1
            context["transcript"] = transcript.part(found, number)
            context["subtitle"] = found.title or short(found.pk)
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def find(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> QuerySet[Any]:
        """Return those that a search finds, in titles for those who may read them."""
        texts = ("title",) if may_view_text(request) else ()
        condition = search.condition(search_term, ids=("pk",), owner="owner", texts=texts)
        return queryset.filter(condition)

    @admin.display(description=gettext_lazy("conversation"), ordering="id")
    def short_id(self, obj: Conversation) -> str:
        """Return the beginning of the id."""
        return short(obj.pk)

    @admin.display(description=gettext_lazy("owner"), ordering="owner")
    def short_owner(self, obj: Conversation) -> str:
        """Return the owner, cut to its column's width."""
        return clipped(obj.owner, obj.user.get_username() if obj.user else None)

    @admin.display(description=gettext_lazy("title"), ordering="title")
    def marked_title(self, obj: Any) -> str:
        """Return the title with the words of the search marked."""
        return excerpts.marked(obj.title, obj.searched)

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, obj: Conversation) -> str:
        """Return when it was created."""
        return moment(obj.created_at)

    @admin.display(description=gettext_lazy("updated"), ordering="updated_at")
    def updated(self, obj: Conversation) -> str:
        """Return when its last prompt came."""
        return moment(obj.updated_at)

    @admin.display(description=gettext_lazy("messages"), ordering="count")
    def message_count(self, obj: Any) -> int:
        """Return how many messages it has."""
        return int(obj.count)

    @admin.display(description=gettext_lazy("responses"))
    def turns(self, obj: Conversation) -> str:
        """Its responses in the order of their prompts, without a word of them."""
        found = newest_first(obj).reverse()
        rows = list(found.defer(*_UNSHOWN)[: RESPONSES + 1])
        if not rows:
            return "–"
        body = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>"
            '<td class="cs-number">{}</td></tr>',
            (
                (
                    link(Response, row.pk, short(row.pk)),
                    status_mark(row.status),
                    row.error_code or "–",
                    f"{row.created_at:%Y-%m-%d %H:%M:%S}",
                    timeline_drawing.small(row),
                    words(total_seconds(row)),
                )
                for row in rows[:RESPONSES]
            ),
        )
        return format_html(
            '<div class="cs-scroll" tabindex="0" role="region" aria-label="Responses">'
            '<table class="cs-turns"><thead><tr><th scope="col">response</th>'
            '<th scope="col">status</th><th scope="col">error code</th>'
            '<th scope="col">created (UTC)</th><th scope="col">timeline</th>'
            '<th scope="col">total</th></tr></thead><tbody>{}</tbody></table></div>'
            '<p class="cs-note"><a href="{}">{}</a></p>',
            body,
            _history_of(obj),
            f"The first {RESPONSES}; all of them in the history"
            if len(rows) > RESPONSES
            else "In the history",
        )


def _history_of(conversation: Conversation) -> str:
    address = reverse("admin:streaming_response_changelist")
    return f"{address}?{urlencode({filters.OfConversation.parameter_name: str(conversation.pk)})}"


class MessageList(RecordList):
    """The list of messages, each with the place where the search has found it."""

    def tell_what_was_found(self, request: HttpRequest) -> None:
        """Give each row an excerpt around the words of the search."""
        super().tell_what_was_found(request)
        texts: dict[Any, str] = {}
        if any(row.searched for row in self.result_list):
            ids = [row.pk for row in self.result_list]
            texts = dict(Message.objects.filter(pk__in=ids).values_list("pk", "content"))
        for row in self.result_list:
            row.found = excerpts.excerpt([texts.get(row.pk, "")], row.searched)


@admin.register(Message)
class MessageAdmin(RecordAdmin):
    """Messages, whose texts need a permission."""

    text_fields = (
        "content",
        "content_text",
        "reasoning",
        "thought_text",
        "fields",
        "beginning",
    )
    list_display = ("short_id", "role", "beginning", "conversation_link", "created_at")
    list_filter = ("role", ("created_at", lists.MomentFilter))
    search_fields = ("id",)  # for the form; `find` says what is searched
    search_help_text = gettext_lazy(
        "The beginning of a message's or conversation's id, an owner or account; words if allowed"
    )
    show_full_result_count = False
    ordering = ("-created_at",)
    fields = (
        "id",
        "role",
        "conversation_link",
        "parent_link",
        "thought_text",
        "content_text",
        "fields",
        "created_at",
    )

    thought_text = shown("reasoning", "thought")
    content_text = shown("content", "text")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the messages with the beginning of their texts alone."""
        # One character more than is shown says that there is more.
        start = Left(F("content"), BEGINNING + 1)
        found: QuerySet[Any] = super().get_queryset(request).annotate(start=start)
        return found.defer("content", "reasoning", "fields")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[lists.OfferedList]:
        """Return the list that shows excerpts."""
        return MessageList

    def find(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> QuerySet[Any]:
        """Return those that a search finds, in texts for those who may read them."""
        condition = search.condition(
            search_term,
            ids=("pk", "conversation_id"),
            owner="conversation__owner",
            texts=("content",) if may_view_text(request) else (),
        )
        return queryset.filter(condition)

    @admin.display(description=gettext_lazy("message"), ordering="id")
    def short_id(self, obj: Message) -> str:
        """Return the beginning of the id."""
        return short(obj.pk)

    @admin.display(description=gettext_lazy("text"))
    def beginning(self, obj: Any) -> str:
        """Return the beginning of the text, or where the search has found it."""
        if obj.found:
            found: str = obj.found
            return found
        start: str = obj.start
        return start if len(start) <= BEGINNING else f"{start[: BEGINNING - 1]}…"

    @admin.display(description=gettext_lazy("conversation"), ordering="conversation_id")
    def conversation_link(self, obj: Message) -> str:
        """Return a link to its conversation."""
        return link(Conversation, obj.conversation_id, short(obj.conversation_id))

    @admin.display(description=gettext_lazy("follows"))
    def parent_link(self, obj: Message) -> str:
        """Return a link to the message that it follows; a dash without one."""
        return link(Message, obj.parent_id, short(obj.parent_id)) if obj.parent_id else "–"
