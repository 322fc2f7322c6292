"""What the record says of a span of time, in equal bins: how many asked, started and ended, the
tokens that came, and percentiles of queue time and of the time to the first token.

The database counts and ranks; what comes out is a row for each bin, whatever the record holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import (
    Count,
    ExpressionWrapper,
    F,
    FloatField,
    Func,
    IntegerField,
    Q,
    QuerySet,
    Sum,
    Window,
)
from django.db.models.functions import RowNumber
from django.db.models.sql.compiler import SQLCompiler

from streaming.models import Response

LOOKBACK = timedelta(days=1)
"""What was asked longer before the span than this, and is open in it, is not seen."""


@dataclass(slots=True)
class Series:
    """Bins of `width` seconds from `start` (Unix time). By the bin's number: `load` has how many
    ran and waited at its beginning, `tokens` those of the responses that ended in it, and the
    others (p50, p95) in seconds. A bin of which the record knows nothing is not in them."""

    start: float
    width: float
    load: dict[int, tuple[int, int]] = field(default_factory=dict)
    tokens: dict[int, int] = field(default_factory=dict)
    wait: dict[int, tuple[float, float]] = field(default_factory=dict)
    ttft: dict[int, tuple[float, float]] = field(default_factory=dict)


def read(start: float, width: float, count: int, *, loads: bool = True) -> Series:
    """Return the series of `count` bins; without `loads` the percentiles alone."""
    found = Series(start, width)
    begin = datetime.fromtimestamp(start, UTC)
    rows = Response.objects.order_by().filter(created_at__gte=begin - LOOKBACK, imported=False)
    found.wait = _percentiles(rows.filter(started_at__gte=begin), "started_at", found)
    found.ttft = _percentiles(rows.filter(first_token_at__gte=begin), "first_token_at", found)
    if loads:
        ended = _by_bin(
            rows.filter(finished_at__gte=begin), "finished_at", found, Sum("completion_tokens")
        )
        found.tokens = {number: total or 0 for number, total in ended.items()}
        found.load = _load(rows, begin, found, count)
    return found


def _load(
    rows: QuerySet[Response], begin: datetime, found: Series, count: int
) -> dict[int, tuple[int, int]]:
    """How many ran and waited at the beginning of each bin, from the first one in which anything is
    known to the last one."""
    n = Count("pk")
    open_then = Q(finished_at__isnull=True) | Q(finished_at__gte=begin)
    before = rows.filter(open_then, created_at__lt=begin)
    running = before.filter(started_at__lt=begin).count()
    waiting = before.count() - running
    came = _by_bin(rows.filter(created_at__gte=begin), "created_at", found, n)
    began = _by_bin(rows.filter(started_at__gte=begin), "started_at", found, n)
    gone = rows.filter(finished_at__gte=begin)
    ended = _by_bin(gone.filter(started_at__isnull=False), "finished_at", found, n)
    left = _by_bin(gone.filter(started_at__isnull=True), "finished_at", found, n)
    known = [*came, *began, *ended, *left]
    first = 0 if running or waiting else min(known, default=count)
    load = {}
    for number in range(count):
        if number >= first:
            load[number] = running, waiting
        running += began.get(number, 0) - ended.get(number, 0)
        waiting += came.get(number, 0) - began.get(number, 0) - left.get(number, 0)
    return load


def _by_bin(rows: QuerySet[Response], moment: str, found: Series, total: Any) -> dict[int, int]:
    binned = (
        rows.annotate(bin=_Bin(moment, found.start, found.width))
        .values("bin")
        .annotate(total=total)
    )
    return dict(binned.values_list("bin", "total"))


def _percentiles(
    rows: QuerySet[Response], moment: str, found: Series
) -> dict[int, tuple[float, float]]:
    ranked = rows.annotate(
        bin=_Bin(moment, found.start, found.width), seconds=_Elapsed(moment, "created_at")
    ).annotate(
        size=Window(Count("pk"), partition_by=[F("bin")]),
        rank=Window(RowNumber(), partition_by=[F("bin")], order_by=F("seconds").asc()),
    )
    wanted = {
        # The nearest rank: the smallest one that is at least so large a share of all.
        50: ExpressionWrapper((F("size") + 1) / 2, IntegerField()),
        95: ExpressionWrapper((F("size") * 95 + 99) / 100, IntegerField()),
    }
    values: dict[int, dict[int, float]] = {}
    for percent, rank in wanted.items():
        chosen: Iterable[tuple[int, float]] = ranked.filter(rank=rank).values_list("bin", "seconds")
        for number, seconds in chosen:
            values.setdefault(number, {})[percent] = max(0.0, seconds)
    return {number: (both[50], both[95]) for number, both in values.items() if len(both) == 2}


class _Bin(Func):
    """The number of the bin in which a moment is."""

    output_field = IntegerField()

    def __init__(self, moment: str, start: float, width: float, **extra: Any) -> None:
        super().__init__(F(moment), start=repr(start), width=repr(width), **extra)

    template = (
        "CAST(FLOOR((EXTRACT(EPOCH FROM %(expressions)s) - %(start)s) / %(width)s) AS integer)"
    )

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        days = "(julianday(%(expressions)s) - 2440587.5) * 86400.0"
        template = f"CAST(({days} - %(start)s) / %(width)s AS INTEGER)"
        return self.as_sql(compiler, connection, template=template, **context)


class _Elapsed(Func):
    """Seconds from the second moment to the first."""

    output_field = FloatField()
    template = "EXTRACT(EPOCH FROM (%(expressions)s))::double precision"
    arg_joiner = " - "

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        template = "((julianday(%(expressions)s)) * 86400.0)"
        joiner = ") - julianday("
        return self.as_sql(compiler, connection, template=template, arg_joiner=joiner, **context)
