"""The rows of the history's list."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest

from streaming.admin import excerpts
from streaming.admin.record_pages import RecordList
from streaming.models import Conversation, Response


class HistoryList(RecordList):
    """The list without what its columns do not show: texts are long."""

    loaded = (
        "id",
        "status",
        "error_code",
        "owner",
        "conversation_id",
        "created_at",
        "started_at",
        "first_token_at",
        "finished_at",
        "prompt_tokens",
        "completion_tokens",
        "attempt",
        "restarts",
        "worker",
    )

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        """Return the rows with their columns alone, their conversations and accounts fetched beside
        them."""
        found: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        # Not joined: a sort would carry the other tables' columns of every row.
        accounts = User.objects.only("username")
        conversations = Conversation.objects.only("user").prefetch_related(
            Prefetch("user", accounts)
        )
        return found.only(*self.loaded).prefetch_related(Prefetch("conversation", conversations))

    def tell_what_was_found(self, request: HttpRequest) -> None:
        """Give each row an excerpt of the prompt or answer around the words of the search."""
        super().tell_what_was_found(request)
        texts: dict[Any, tuple[str, str]] = {}
        if any(row.searched for row in self.result_list):
            found = Response.objects.filter(pk__in=[row.pk for row in self.result_list])
            values = found.order_by().values_list("pk", "prompt__content", "text")
            texts = {pk: (prompt, text) for pk, prompt, text in values}
        for row in self.result_list:
            row.found = excerpts.excerpt(texts.get(row.pk, ()), row.searched)
