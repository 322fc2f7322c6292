"""How much each owner has used in a window of time: one statement, in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection

from streaming.models import Response

_WAITED = {
    "sqlite": "max(0, (julianday(coalesce(started_at, finished_at)) - julianday(created_at)) "
    "* 86400.0)",
    "postgresql": "greatest(0, extract(epoch from coalesce(started_at, finished_at) - created_at)"
    "::double precision)",
}
"""Seconds from the prompt to the start, or to the end of what never ran; null while it waits."""

_RAN = {
    "sqlite": "max(0, (julianday(finished_at) - julianday(started_at)) * 86400.0)",
    "postgresql": "greatest(0, extract(epoch from finished_at - started_at)::double precision)",
}

ORDERS = {
    "responses": "responses",
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "seconds": "seconds",
    "wait_p50": "wait_p50",
    "wait_p95": "wait_p95",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""What owners can be sorted by, the greatest first."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one owner has used: tokens, `seconds` of generating, percentiles of waits in seconds.
    `username` is empty for visitors and accounts that are gone."""

    owner: str
    responses: int
    prompt_tokens: int
    completion_tokens: int
    failed: int
    cancelled: int
    seconds: float
    wait_p50: float | None
    wait_p95: float | None
    username: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """The same of all owners together, and how many they are."""

    owners: int
    responses: int
    prompt_tokens: int
    completion_tokens: int
    failed: int
    cancelled: int
    seconds: float


def of_owners(
    since: datetime, until: datetime, *, order: str = "completion_tokens", most: int | None = 100
) -> tuple[list[Usage], Totals]:
    """Return what owners have used for prompts asked from `since` until before `until`, those with
    most first, at most `most` of them (None: all); and the totals of all.

    Raises KeyError for an `order` that is none of ORDERS.
    """
    limit = "" if most is None else f"LIMIT {int(most)}"
    statement = f"""
        WITH asked AS (
            SELECT owner, status, prompt_tokens, completion_tokens,
                {_WAITED[connection.vendor]} AS waited, {_RAN[connection.vendor]} AS ran
            FROM {connection.ops.quote_name(Response._meta.db_table)}
            WHERE created_at >= %s AND created_at < %s AND NOT imported
        ), ranked AS (
            SELECT asked.*,
                row_number() OVER (
                    PARTITION BY owner ORDER BY CASE WHEN waited IS NULL THEN 1 ELSE 0 END, waited
                ) AS place,
                count(waited) OVER (PARTITION BY owner) AS known
            FROM asked
        ), used AS (
            SELECT owner, count(*) AS responses, sum(prompt_tokens) AS prompt_tokens,
                sum(completion_tokens) AS completion_tokens,
                sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS failed,
                sum(CASE WHEN status = 'cancelled' THEN 1 ELSE 0 END) AS cancelled,
                coalesce(sum(ran), 0) AS seconds,
                max(CASE WHEN place = (known * 50 + 99) / 100 THEN waited END) AS wait_p50,
                max(CASE WHEN place = (known * 95 + 99) / 100 THEN waited END) AS wait_p95
            FROM ranked GROUP BY owner
        )
        SELECT used.*, count(*) OVER (), sum(responses) OVER (), sum(prompt_tokens) OVER (),
            sum(completion_tokens) OVER (), sum(failed) OVER (), sum(cancelled) OVER (),
            sum(seconds) OVER ()
        FROM used ORDER BY coalesce({ORDERS[order]}, 0) DESC, owner {limit}
    """
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        cursor.execute(statement, [adapt(since), adapt(until)])
        rows = cursor.fetchall()
    names = _usernames([row[0] for row in rows])
    used = [_usage(row, names.get(row[0], "")) for row in rows]
    if not rows:
        return [], Totals(0, 0, 0, 0, 0, 0, 0.0)
    counts = rows[0][9:]
    return used, Totals(
        owners=int(counts[0]),
        responses=int(counts[1]),
        prompt_tokens=int(counts[2]),
        completion_tokens=int(counts[3]),
        failed=int(counts[4]),
        cancelled=int(counts[5]),
        seconds=float(counts[6]),
    )


def _usage(row: tuple[Any, ...], username: str) -> Usage:
    return Usage(
        owner=row[0],
        responses=int(row[1]),
        prompt_tokens=int(row[2]),
        completion_tokens=int(row[3]),
        failed=int(row[4]),
        cancelled=int(row[5]),
        seconds=float(row[6]),
        wait_p50=row[7],
        wait_p95=row[8],
        username=username,
    )


def _usernames(owners: list[str]) -> dict[str, str]:
    """The names of accounts, by owner."""
    keys = {owner.removeprefix("user:"): owner for owner in owners if owner.startswith("user:")}
    found = get_user_model()._default_manager.in_bulk([key for key in keys if key.isdecimal()])
    return {keys[str(pk)]: user.get_username() for pk, user in found.items()}
