"""The index of messages' texts: which may have some words in them, whatever the script.

It is one of trigrams, so that a search finds any part of a text (Chinese and Japanese have no
spaces, and nobody has typed the whole word yet), and finds the same with and without it: it only
says which texts are worth reading. SQLite has it in FTS5, kept by triggers; `detail=none` and no
copy of the texts make it about as large as these. PostgreSQL has it in `pg_trgm`, where that is
installed.

`ensure` makes it after every migration that finds it missing: a migration that makes a table anew
drops the triggers with the old one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, connections, transaction

from streaming.models import Message
from streaming.record.any_case import cases_of

logger = logging.getLogger(__name__)

MOST_CANDIDATES = 1_000
"""Messages that the index may name: where there are more, an owner's own are read sooner."""

_BATCH = 500
"""Messages that are indexed in one transaction: others write between two."""

_MOST_TRIGRAMS = 8
"""Trigrams of a term that are looked up; the text itself is compared afterwards."""

_MOST_SPELLINGS = 64
"""Spellings of a trigram in other cases; those with more are not looked up."""

# A message's own rowid changes with VACUUM: what is indexed has numbers of its own.
_TABLES = (
    """CREATE TABLE streaming_search_rows (
        id integer PRIMARY KEY, message char(32) NOT NULL UNIQUE
    )""",
    """CREATE VIRTUAL TABLE streaming_search USING fts5 (
        text, content='', tokenize='trigram', detail=none
    )""",
)
_TAKE_OUT = """
    INSERT INTO streaming_search (streaming_search, rowid, text)
    SELECT 'delete', id, old.content FROM streaming_search_rows WHERE message = old.id;
    DELETE FROM streaming_search_rows WHERE message = old.id;"""
_PUT_IN = """
    INSERT INTO streaming_search_rows (message) SELECT new.id WHERE new.searchable;
    INSERT INTO streaming_search (rowid, text)
    SELECT id, new.content FROM streaming_search_rows WHERE message = new.id;"""
# They name no other table of Django's: SQLite lets none be made anew that a trigger names.
_TRIGGERS = {
    "streaming_search_inserted": f"AFTER INSERT ON streaming_message BEGIN {_PUT_IN} END",
    "streaming_search_deleted": f"AFTER DELETE ON streaming_message BEGIN {_TAKE_OUT} END",
    "streaming_search_changed": "AFTER UPDATE OF content, searchable ON streaming_message "
    f"BEGIN {_TAKE_OUT} {_PUT_IN} END",
}
_COMPLETE = "streaming_search_complete"
"""A table that is there when all messages are indexed."""

_INDEX = "streaming_message_search"
"""PostgreSQL's. Its expression is the one that Django's `icontains` compares."""


def ensure(using: str, **signal: Any) -> None:
    """Make the index, or what is missing of it. A receiver of `post_migrate`; what goes wrong is
    logged, and searches do without."""
    database = connections[using]
    try:
        if not _has_column(database):
            return
        if database.vendor == "sqlite":
            _ensure_fts(database)
        elif database.vendor == "postgresql":
            _ensure_trgm(database)
    except DatabaseError as error:
        logger.warning("Searches read all texts of an owner: no index could be made (%s).", error)


def candidates(terms: Iterable[str]) -> list[UUID] | None:
    """Return the ids of the messages that may have all terms in them, whoever wrote them.

    None if they are too many, or if no index says so: no term has three characters, or it is
    the database that uses its index by itself.
    """
    if connection.vendor != "sqlite" or not (query := match_of(terms)):
        return None
    if not _is_whole(connection):
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT message FROM streaming_search_rows JOIN "
            "(SELECT rowid FROM streaming_search WHERE streaming_search MATCH %s LIMIT %s) AS found"
            " ON id = found.rowid",
            [query, MOST_CANDIDATES + 1],
        )
        found = [UUID(message) for (message,) in cursor.fetchall()]
    return found if len(found) <= MOST_CANDIDATES else None


def match_of(terms: Iterable[str]) -> str:
    """Return FTS5's expression for texts that may have all terms in them; "" if it is nothing."""
    asked: dict[str, None] = {}
    for term in terms:
        last = len(term) - 3
        steps = min(last, _MOST_TRIGRAMS - 1)
        starts = {round(number * last / steps) for number in range(steps + 1)} if steps else {0}
        for start in sorted(starts) if last >= 0 else ():
            spellings = _spellings(term[start : start + 3], is_ascii=term.isascii())
            if spellings:
                asked["(" + " OR ".join(map(_quoted, spellings)) + ")"] = None
    return " AND ".join(asked)


def _spellings(trigram: str, *, is_ascii: bool) -> list[str]:
    """Return a trigram in all cases that the tokenizer may not know to be one."""
    cases = [character if is_ascii else cases_of(character) for character in trigram]
    count = len(cases[0]) * len(cases[1]) * len(cases[2])
    return ["".join(each) for each in product(*cases)] if count <= _MOST_SPELLINGS else []


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


# --- SQLite ---


def has_fts(database: Any) -> bool:
    """Return whether this SQLite has FTS5 with trigrams."""
    with database.cursor() as cursor:
        cursor.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')")
        return bool(cursor.fetchone()[0]) and database.Database.sqlite_version_info >= (3, 34)


def _ensure_fts(database: Any) -> None:
    if not has_fts(database):
        logger.info("Searches read all texts of an owner: this SQLite has no FTS5 with trigrams.")
        _execute(database, [f"DROP TRIGGER IF EXISTS {name}" for name in _TRIGGERS])
        return
    if _is_whole(database):
        return
    if not _are_there(database, _TRIGGERS):
        # What has been written without them is not known: begin anew.
        _execute(database, [*_drops(), *_TABLES, *_trigger_statements()])
    for rows in _not_indexed(database):
        _index(database, rows)
    _execute(database, [f"CREATE TABLE IF NOT EXISTS {_COMPLETE} (id integer)"])


def _is_whole(database: Any) -> bool:
    return _are_there(database, (*_TRIGGERS, _COMPLETE))


def _are_there(database: Any, names: Iterable[str]) -> bool:
    wanted = list(names)
    places = ", ".join(["%s"] * len(wanted))
    with database.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM sqlite_master WHERE name IN ({places})", wanted)
        return bool(cursor.fetchone()[0] == len(wanted))


def _drops() -> Iterator[str]:
    yield from (f"DROP TRIGGER IF EXISTS {name}" for name in _TRIGGERS)
    for table in (_COMPLETE, "streaming_search", "streaming_search_rows"):
        yield f"DROP TABLE IF EXISTS {table}"


def _trigger_statements() -> Iterator[str]:
    return (f"CREATE TRIGGER {name} {does}" for name, does in _TRIGGERS.items())


def _not_indexed(database: Any) -> Iterator[list[str]]:
    """Yield the ids of messages, as they are stored, in batches."""
    last = ""
    while True:
        with database.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM streaming_message AS m WHERE id > %s AND searchable AND NOT EXISTS "
                "(SELECT 1 FROM streaming_search_rows WHERE message = m.id) ORDER BY id LIMIT %s",
                [last, _BATCH],
            )
            ids = [pk for (pk,) in cursor.fetchall()]
        if not ids:
            return
        yield ids
        last = ids[-1]


def _index(database: Any, ids: list[str]) -> None:
    """Index messages, unless they were deleted meanwhile."""
    places = ", ".join(["%s"] * len(ids))
    with transaction.atomic(database.alias), database.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM streaming_search_rows")
        (before,) = cursor.fetchone()
        cursor.execute(
            "INSERT OR IGNORE INTO streaming_search_rows (message) "
            f"SELECT id FROM streaming_message WHERE id IN ({places})",
            ids,
        )
        cursor.execute(
            "INSERT INTO streaming_search (rowid, text) SELECT r.id, m.content "
            "FROM streaming_search_rows r JOIN streaming_message m ON m.id = r.message "
            "WHERE r.id > %s",
            [before],
        )


# --- PostgreSQL ---


def _ensure_trgm(database: Any) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [_INDEX])
        if cursor.fetchone()[0]:
            return
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")
        if cursor.fetchone() is None:
            logger.info("Searches read all texts of an owner: PostgreSQL has no pg_trgm here.")
            return
    _execute(
        database,
        [
            "CREATE EXTENSION IF NOT EXISTS pg_trgm",
            f"CREATE INDEX IF NOT EXISTS {_INDEX} ON streaming_message "
            "USING gin (upper(content) gin_trgm_ops) WHERE searchable",
        ],
    )


def _has_column(database: Any) -> bool:
    """Return whether the database is migrated as far as the index needs."""
    table = Message._meta.db_table
    with database.cursor() as cursor:
        if table not in database.introspection.table_names(cursor):
            return False
        columns = database.introspection.get_table_description(cursor, table)
    return any(column.name == "searchable" for column in columns)


def _execute(database: Any, statements: Iterable[str]) -> None:
    with transaction.atomic(database.alias), database.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
