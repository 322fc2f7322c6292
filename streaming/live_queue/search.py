"""The search of the live queue: the rows that have each of its words.

The browser searches so by itself while somebody types (`static/streaming/queue/queue_filter.js`).
"""

from __future__ import annotations

from dataclasses import dataclass

from streaming.live_queue.board import Board, Rows

MOST_SEARCHED = 200
"""Characters of a search that count."""

MOST_SHOWN = 500
"""Waiting rows on the page; the search looks through all."""

MOST_OWNERS = 10
"""Owners on the page, those who have most open."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the page's tables show: `count` of `total` workers and responses match, and `more` of
    those that wait, and `more_owners`, are not shown."""

    workers: Rows
    running: Rows
    waiting: Rows
    owners: Rows
    count: int
    total: int
    more: int
    more_owners: int


def find(board: Board, query: str) -> Found:
    """Return what of a board has each word of the query."""
    terms = terms_of(query)
    found = {name: matching(rows, terms) for name, rows in board.tables.items()}
    responses = ("workers", "running", "waiting")
    return Found(
        workers=found["workers"],
        running=found["running"],
        waiting=dict(list(found["waiting"].items())[:MOST_SHOWN]),
        owners=dict(list(board.tables["owners"].items())[:MOST_OWNERS]),
        count=sum(len(found[name]) for name in responses),
        total=sum(len(board.tables[name]) for name in responses),
        more=len(found["waiting"]) - MOST_SHOWN,
        more_owners=max(0, len(board.tables["owners"]) - MOST_OWNERS),
    )


def terms_of(query: str) -> list[str]:
    """Return the words of a query, as they are compared."""
    return query[:MOST_SEARCHED].casefold().split()


def matching(rows: Rows, terms: list[str]) -> Rows:
    """Return the rows that have all of the terms."""
    if not terms:
        return rows
    return {key: row for key, row in rows.items() if all(term in row.searched for term in terms)}
