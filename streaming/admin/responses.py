"""The history: every response with its timings, found, filtered, sorted and exported."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, gettext_lazy, ngettext
from django.views.decorators.http import require_GET

from streaming import conf
from streaming.admin import actions as queue_orders
from streaming.admin import (
    alerts_page,
    filters,
    limits_page,
    queue,
    retrying,
    search,
    standing,
    usage,
)
from streaming.admin.export import export, of_filter
from streaming.admin.history import HistoryList
from streaming.admin.record_pages import (
    RecordAdmin,
    may_view_text,
)
from streaming.admin.response_columns import ResponseColumns
from streaming.models import Response

SELECTED_SHOWN = 20
"""Ids of selected responses that the log of an export names."""


def _retention(days: int) -> str:
    if not days:
        return gettext("Nothing is deleted by itself.")
    return ngettext(
        "prune deletes what nobody used for %(days)s day.",
        "prune deletes what nobody used for %(days)s days.",
        days,
    ) % {"days": days}


@admin.register(Response)
class ResponseAdmin(ResponseColumns, RecordAdmin):
    """Every response, and the live queue."""

    text_fields = (
        "instructions",
        "instructions_text",
        "prompt_text",
        "thought_text",
        "reasoning",
        "answer_text",
        "text",
        "passed",
        "params",
    )
    list_display = (
        "short_id",
        "outcome",
        "short_owner",
        "created",
        "bar",
        "queue_time",
        "ttft",
        "total",
        "prompt_size",
        "answer_size",
        "rate",
        "short_worker",
        "conversation_link",
    )
    list_filter = (
        "status",
        filters.Created,
        filters.Slow,
        filters.OwnerKind,
        filters.Source,
        filters.ErrorCode,
        filters.Trouble,
        filters.Rating,
        filters.Worker,
        filters.OfConversation,
    )
    search_fields = ("id",)  # for the form; `find` says what is searched
    search_help_text = gettext_lazy(
        "The beginning of an id, an owner or account, an error code, a worker; words of prompts "
        "and answers for those who may read them, in quotes for these alone"
    )
    show_full_result_count = False  # it would count the whole table beside what was found
    show_facets = admin.ShowFacets.NEVER  # each filter would count the table once more
    actions = ("export_selected", "retry_selected")
    fields = (
        "id",
        "status",
        "finish_reason",
        "error_code",
        "error_message",
        "life",
        "queue_time",
        "ttft",
        "total",
        "prompt_tokens",
        "completion_tokens",
        "reasoning_tokens",
        "thinking",
        "rate",
        "trimmed_messages",
        "attempt",
        "restarts",
        "worker_link",
        "created_at",
        "owner",
        "account",
        "address",
        "conversation_link",
        "previous_link",
        "continues_link",
        "rating",
        "instructions_text",
        "prompt_text",
        "thought_text",
        "answer_text",
        "passed",
        "params",
    )

    class Media:
        css = {"all": ["streaming/queue/admin-history.css"]}

    # What the list finds.

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[HistoryList]:
        """Return the list that loads no texts."""
        return HistoryList

    def find(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> QuerySet[Any]:
        """Return those that a search finds, in prompts and answers for those who may read them."""
        condition = search.condition(
            search_term,
            ids=("pk", "conversation_id"),
            owner="owner",
            columns=("error_code", "worker"),
            texts=("prompt__content", "text") if may_view_text(request) else (),
        )
        return queryset.filter(condition)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, and say how long responses are kept."""
        days = conf.get().retention_days
        context = {
            "title": gettext("History"),
            "retention_days": days,
            "retention": _retention(days),
            **(extra_context or {}),
        }
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a response, and where it stands while it is open."""
        context = {**(extra_context or {})}
        found = self.get_object(request, object_id)
        if found is not None:
            context["standing"] = standing.of(found, request)
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    # Failed ones.

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Return whether this operator may have responses tried again."""
        may_look = request.user.has_perm("streaming.view_queue")
        return may_look and request.user.has_perm(queue_orders.CONTROL)

    @admin.action(description=gettext_lazy("Try the selected again"), permissions=["steer"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Response]) -> None:
        """Have failed responses tried again, the oldest first."""
        ids = queryset.order_by("created_at").values_list("pk", flat=True)[: retrying.MOST + 1]
        fields = {"response_id": [str(pk) for pk in ids]}
        for said in queue_orders.carry_out(request, "retry", fields):
            messages.add_message(request, said.level, said.text)

    # Exports.

    @admin.action(description=gettext_lazy("Export the selected as CSV"), permissions=["view"])
    def export_selected(
        self, request: HttpRequest, queryset: QuerySet[Response]
    ) -> HttpResponseBase:
        """Return the selected rows, or all that the list finds, as CSV."""
        if request.POST.get("select_across") == "1":
            return export(request, queryset, of_filter(request.GET.urlencode()))
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        more = ", …" if len(chosen) > SELECTED_SHOWN else ""
        return export(request, queryset, f"selected {', '.join(chosen[:SELECTED_SHOWN])}{more}")

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """All that the list's query string finds."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            address = reverse("admin:streaming_response_changelist")
            return HttpResponseRedirect(f"{address}?{ERROR_FLAG}=1")
        return export(request, found.queryset, of_filter(request.GET.urlencode()))

    def get_urls(self) -> list[URLPattern]:
        """Return the admin's addresses, with those of the live queue and the export."""
        view = self.admin_site.admin_view(require_GET(self.export_view))
        exporting = path("export/", view, name="streaming_response_export")
        own = [
            *queue.urls(self),
            *limits_page.urls(self),
            *usage.urls(self),
            *alerts_page.urls(self),
        ]
        return [*own, exporting, *super().get_urls()]
