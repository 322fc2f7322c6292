"""How long a response waited and ran: in the database, for order and filters, and as words."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import FloatField, Func
from django.db.models.expressions import OrderBy
from django.db.models.functions import Coalesce
from django.db.models.sql.compiler import SQLCompiler

from streaming.models import OPEN, Response


class Seconds(Func):
    """Seconds from the second moment to the first; null if one of them is.

    On SQLite Django subtracts moments in Python, row by row. SQLite's own `julianday` sorts a
    hundred thousand rows in a fifth of that time; it is exact to a millisecond.
    """

    arity = 2
    arg_joiner = " - "
    template = "EXTRACT(EPOCH FROM (%(expressions)s))::double precision"
    output_field = FloatField()

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        """Return the SQL for SQLite, by its own `julianday`."""
        return self.as_sql(
            compiler,
            connection,
            template="((julianday(%(expressions)s)) * 86400.0)",
            arg_joiner=") - julianday(",
            **context,
        )

    def asc(self, **kwargs: Any) -> OrderBy:
        """Return the ascending order, what has no duration last."""
        return super().asc(nulls_last=True)

    def desc(self, **kwargs: Any) -> OrderBy:
        """Return the descending order, what has no duration last."""
        return super().desc(nulls_last=True)


DURATIONS: dict[str, Seconds] = {
    # Whoever never ran has waited until the end.
    "queue": Seconds(Coalesce("started_at", "finished_at"), "created_at"),
    "ttft": Seconds("first_token_at", "created_at"),
    "total": Seconds("finished_at", "created_at"),
}
"""What responses can be sorted and filtered by."""


def queue_seconds(response: Response) -> float | None:
    """From the prompt to the start, or to the end of what never ran; None while it waits."""
    return _since(response, response.started_at or response.finished_at)


def ttft_seconds(response: Response) -> float | None:
    """From the prompt to the first token, of the last attempt if there were several."""
    return _since(response, response.first_token_at)


def total_seconds(response: Response) -> float | None:
    """From the prompt to the end; None while it is open."""
    return _since(response, response.finished_at)


def tokens_per_second(response: Response) -> float | None:
    """Tokens after the first one, by the seconds from it to the end.

    None while it is open, for fewer than two tokens, and for several attempts: the record does
    not say how many tokens came from the last one.
    """
    if response.status in OPEN or response.attempt > 1 or response.completion_tokens < 2:
        return None
    if response.first_token_at is None or response.finished_at is None:
        return None
    seconds = (response.finished_at - response.first_token_at).total_seconds()
    return (response.completion_tokens - 1) / seconds if seconds > 0 else None


def _since(response: Response, moment: Any) -> float | None:
    """Never negative: the moments are of several machines' clocks."""
    return None if moment is None else max(0.0, (moment - response.created_at).total_seconds())


def words(seconds: float | None) -> str:
    """`340 ms`, `12.3 s`, `4 min 5 s`, `3 h 12 min` or `12 d 3 h`; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller_size, smaller in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller_size} {smaller}"
    raise AssertionError("a minute or more has a unit")
