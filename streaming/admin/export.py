"""The history as CSV: streamed, some hundred rows at a time, and noted in the admin's log."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.handlers.asgi import ASGIRequest
from django.db.models import Q, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone

from streaming.admin.durations import (
    queue_seconds,
    tokens_per_second,
    total_seconds,
    ttft_seconds,
)
from streaming.admin.record_pages import may_view_text
from streaming.models import Response
from streaming.record.database import pieces_in_database

CHUNK = 500
"""Rows in memory at a time, with their texts."""
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""What makes a spreadsheet take a text for a formula when it stands first. Other forms of the
signs, such as small ones, are found by what Unicode says they stand for."""
_SIGNS = frozenset("=+-@−")
_BREAKS = frozenset("\t\r\n")
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols, by their category, that show nothing."""
LONGEST_QUERY = 1000

Column = Callable[[Response], Any]

COLUMNS: dict[str, Column] = {
    "id": lambda r: r.pk,
    "conversation": lambda r: r.conversation_id,
    "previous": lambda r: r.previous_id,
    "continues": lambda r: r.continues_id,
    "source": lambda r: r.conversation.source,
    "owner": lambda r: r.owner,
    "username": lambda r: r.conversation.user and r.conversation.user.get_username(),
    "address": lambda r: r.address,
    "status": lambda r: r.status,
    "finish_reason": lambda r: r.finish_reason,
    "error_code": lambda r: r.error_code,
    "error_message": lambda r: r.error_message,
    "worker": lambda r: r.worker,
    "attempt": lambda r: r.attempt,
    "restarts": lambda r: r.restarts,
    "rating": lambda r: r.rating,
    "prompt_tokens": lambda r: r.prompt_tokens,
    "completion_tokens": lambda r: r.completion_tokens,
    "reasoning_tokens": lambda r: r.reasoning_tokens,
    "trimmed_messages": lambda r: r.trimmed_messages,
    "tokens_per_second": lambda r: _rounded(tokens_per_second(r)),
    "created_at": lambda r: r.created_at,
    "started_at": lambda r: r.started_at,
    "first_token_at": lambda r: r.first_token_at,
    "finished_at": lambda r: r.finished_at,
    "queue_ms": lambda r: _ms(queue_seconds(r)),
    "ttft_ms": lambda r: _ms(ttft_seconds(r)),
    "reasoning_ms": lambda r: r.reasoning_ms,
    "total_ms": lambda r: _ms(total_seconds(r)),
}
TEXTS: dict[str, Column] = {
    "instructions": lambda r: r.instructions,
    "prompt": lambda r: r.prompt.content,
    "reasoning": lambda r: r.reasoning,
    "answer": lambda r: r.text,
    "passed": lambda r: json.dumps(r.passed, ensure_ascii=False) if r.passed else "",
    "params": lambda r: json.dumps(r.params, ensure_ascii=False),  # has stop strings in it
}


def export(request: HttpRequest, queryset: QuerySet[Response], what: str) -> StreamingHttpResponse:
    """A download of these responses, newest first; `what` says in the log which they were."""
    with_texts = may_view_text(request)
    columns = COLUMNS | (TEXTS if with_texts else {})
    _log(request, queryset.order_by().count(), what, with_texts)
    lines = csv_lines(_with_what_is_needed(queryset, with_texts), columns)
    name = f"responses-{timezone.now():%Y%m%d-%H%M%S}.csv"
    # Each server takes the iterator of its kind alone without collecting it first.
    content = pieces_in_database(lines) if isinstance(request, ASGIRequest) else lines
    return StreamingHttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def csv_lines(queryset: QuerySet[Response], columns: dict[str, Column]) -> Iterator[str]:
    """The header, then the rows of a chunk at a time."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for rows in chunks(queryset):
        writer.writerows([cell(value(row)) for value in columns.values()] for row in rows)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def chunks(queryset: QuerySet[Response], size: int = CHUNK) -> Iterator[list[Response]]:
    """The rows, newest first, by short queries that each begin where the last one ended.

    Nothing is held between two: whoever reads slowly holds no cursor and no transaction.
    """
    queryset = queryset.order_by("-created_at", "-pk")
    rows = list(queryset[:size])
    while rows:
        yield rows
        if len(rows) < size:
            return
        at, pk = rows[-1].created_at, rows[-1].pk
        before = Q(created_at__lte=at) & (Q(created_at__lt=at) | Q(pk__lt=pk))
        rows = list(queryset.filter(before)[:size])


def cell(value: Any) -> Any:
    """A value as it stands in the file: moments in ISO 8601 (UTC), no text that is a formula."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    if isinstance(value, str) and _is_formula(value):
        return f"'{value}"
    return value


def _is_formula(text: str) -> bool:
    """Whether a sign stands first, or behind nothing but what is not seen and may be dropped when
    the file is read: blanks, controls, marks, what has no width."""
    for character in text:
        if character in _BREAKS:
            return True
        if unicodedata.category(character)[0] not in "CZM" and character not in _BLANK_LETTERS:
            return unicodedata.normalize("NFKC", character)[0] in _SIGNS
    return False


def _with_what_is_needed(queryset: QuerySet[Response], with_texts: bool) -> QuerySet[Response]:
    fields = [field.name for field in Response._meta.concrete_fields]
    texts = ("text", "reasoning", "passed", "params", "instructions", "prompt")
    unused = {"message", *(() if with_texts else texts)}
    related = ["conversation__user", *(["prompt"] if with_texts else [])]
    loaded = [name for name in fields if name not in unused]
    loaded += ["conversation__source", "conversation__user", "conversation__user__username"]
    if with_texts:
        loaded.append("prompt__content")
    # What the list fetches for its own rows is forgotten.
    return queryset.prefetch_related(None).select_related(*related).only(*loaded)


def _log(request: HttpRequest, count: int, what: str, with_texts: bool) -> None:
    """Before the first row leaves: whoever stops a download has what came so far."""
    texts = "with prompts and answers" if with_texts else "without prompts and answers"
    LogEntry.objects.create(
        user_id=request.user.pk,  # type: ignore[misc]  # who may export is signed in
        content_type=ContentType.objects.get_for_model(Response),
        object_repr="Export of responses",
        action_flag=CHANGE,
        change_message=f"Exported {count} responses as CSV, {texts}: {what}",
    )


def of_filter(query: str) -> str:
    """How the log says which rows a filter chose."""
    if not query:
        return "all."
    shown = query if len(query) <= LONGEST_QUERY else f"{query[: LONGEST_QUERY - 1]}…"
    return f"filter ?{shown}"


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
