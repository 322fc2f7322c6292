"""What the history shows of a response: the columns of its list, and the fields of its page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy

from streaming.admin import filters, timeline_drawing
from streaming.admin.durations import (
    DURATIONS,
    queue_seconds,
    tokens_per_second,
    total_seconds,
    ttft_seconds,
    words,
)
from streaming.admin.record_pages import (
    clipped,
    link,
    moment,
    short,
    shown,
    status_mark,
)
from streaming.models import Conversation, Response


class ResponseColumns:
    """Columns and fields that are made of a response, for a model admin."""

    instructions_text = shown("instructions", "instructions")
    prompt_text = shown("prompt.content", "prompt")
    thought_text = shown("reasoning", "thought")
    answer_text = shown("text", "answer")

    @admin.display(description=gettext_lazy("response"), ordering="id")
    def short_id(self, obj: Response) -> str:
        """Return the beginning of the id."""
        return short(obj.pk)

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def outcome(self, obj: Any) -> str:
        """Return the status, the error code, and where the search has found the row."""
        code = format_html(' <span class="cs-quiet">{}</span>', obj.error_code)
        found = format_html('<span class="cs-found">{}</span>', obj.found)
        return format_html(
            "{}{}{}",
            status_mark(obj.status),
            code if obj.error_code else "",
            found if obj.found else "",
        )

    @admin.display(description=gettext_lazy("owner"), ordering="owner")
    def short_owner(self, obj: Response) -> str:
        """Return the owner, cut to its column's width."""
        user = obj.conversation.user
        return clipped(obj.owner, user.get_username() if user else None)

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, obj: Response) -> str:
        """Return when it was created."""
        return moment(obj.created_at)

    @admin.display(description=gettext_lazy("prompt"), ordering="prompt_tokens")
    def prompt_size(self, obj: Response) -> int:
        """Return the tokens of the prompt."""
        return obj.prompt_tokens

    @admin.display(description=gettext_lazy("answer"), ordering="completion_tokens")
    def answer_size(self, obj: Response) -> int:
        """Return the tokens of the answer."""
        return obj.completion_tokens

    @admin.display(description=gettext_lazy("worker"), ordering="worker")
    def short_worker(self, obj: Response) -> str:
        """Return the worker, cut to its column's width."""
        return format_html('<span class="cs-clip" title="{0}">{0}</span>', obj.worker or "–")

    @admin.display(description=gettext_lazy("account"))
    def account(self, obj: Response) -> str:
        """Return the name of the account; a dash for visitors."""
        user = obj.conversation.user
        return user.get_username() if user else "–"

    @admin.display(description=gettext_lazy("conversation"), ordering="conversation_id")
    def conversation_link(self, obj: Response) -> str:
        """Return a link to its conversation."""
        return link(Conversation, obj.conversation_id, short(obj.conversation_id))

    @admin.display(description=gettext_lazy("follows"))
    def previous_link(self, obj: Response) -> str:
        """Return a link to the response that it follows; a dash without one."""
        return link(Response, obj.previous_id, short(obj.previous_id)) if obj.previous_id else "–"

    @admin.display(description=gettext_lazy("continues"))
    def continues_link(self, obj: Response) -> str:
        """Return a link to the response that it continues; a dash without one."""
        if not obj.continues_id:
            return "–"
        return link(Response, obj.continues_id, short(obj.continues_id))

    @admin.display(description=gettext_lazy("worker"))
    def worker_link(self, obj: Response) -> str:
        """Return a link to all responses of its worker; a dash without one."""
        if not obj.worker:
            return "–"
        address = reverse("admin:streaming_response_changelist")
        query = urlencode({filters.Worker.parameter_name: obj.worker})
        return format_html('<a href="{}?{}">{}</a>', address, query, obj.worker)

    @admin.display(description=gettext_lazy("timeline"))
    def bar(self, obj: Response) -> str:
        """Return its life as a small bar."""
        return timeline_drawing.small(obj)

    @admin.display(description=gettext_lazy("timeline"))
    def life(self, obj: Response) -> str:
        """Return its life as a drawing with a table."""
        return timeline_drawing.large(obj)

    @admin.display(description=gettext_lazy("queue time"), ordering=DURATIONS["queue"])
    def queue_time(self, obj: Response) -> str:
        """Return how long it waited."""
        return words(queue_seconds(obj))

    @admin.display(description=gettext_lazy("first token"), ordering=DURATIONS["ttft"])
    def ttft(self, obj: Response) -> str:
        """Return how long its first token took, the waiting included."""
        return words(ttft_seconds(obj))

    @admin.display(description=gettext_lazy("total"), ordering=DURATIONS["total"])
    def total(self, obj: Response) -> str:
        """Return how long all of it took."""
        return words(total_seconds(obj))

    @admin.display(description=gettext_lazy("thought for"))
    def thinking(self, obj: Response) -> str:
        """Return how long the model thought."""
        return words(None if obj.reasoning_ms is None else obj.reasoning_ms / 1000)

    @admin.display(description=gettext_lazy("tokens/s"))
    def rate(self, obj: Response) -> str:
        """Return the tokens per second after the first one."""
        rate = tokens_per_second(obj)
        return "–" if rate is None else f"{rate:.1f}"
