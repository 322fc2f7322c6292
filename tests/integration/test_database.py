"""What a response costs in the database: statements, and connections."""

from __future__ import annotations

import asyncio
import importlib
import io
import threading
import time
from typing import Any
from uuid import uuid4

import channels.db
import pytest
from asgiref.sync import ThreadSensitiveContext
from channels.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.core.signals import request_finished
from django.db import OperationalError, close_old_connections, connection
from django.db.backends.signals import connection_created
from django.db.migrations import RunPython
from django.db.migrations.loader import MigrationLoader
from django.test.utils import CaptureQueriesContext

from streaming.engine.base import Finished, FinishReason
from streaming.lifecycle.ending import WAITING
from streaming.lifecycle.params import resolve_sampling
from streaming.models import Message, Response, Status
from streaming.protocol.sampling_params import Params
from streaming.record import (
    creation,
    database,
    database_check,
    endings,
    lookups,
    sqlite_file,
    standing,
    starts,
)
from streaming.record.database import disconnecting, in_database
from streaming.record.endings import Ending
from streaming.record.output import Output
from streaming.record.tasks import Prompt, Requester

pytestmark = pytest.mark.django_db(transaction=True)


def life(**fields: Any) -> Response:
    """A response from its prompt to its end, in this thread."""
    params = resolve_sampling(Params(), 10)
    response, _ = creation.create.func(
        Prompt("hello", **fields), params=params, requester=Requester("visitor:a", None, "")
    )
    response_id = str(response.pk)
    standing.mark_queued.func([response.pk])
    [work] = starts.start_all.func("worker", [(response_id, 1)])
    finished = Finished(response_id, FinishReason.STOP, prompt_tokens=2, completion_tokens=1)
    how, attempt = Ending.generated(finished, Output("hi")), endings.Attempt.of(work.row)
    of = (Status.IN_PROGRESS,)
    assert endings.end.func([response_id], how, of=of, attempt=attempt, row=work.row)
    return Response.objects.get(pk=response_id)


def statements(**fields: Any) -> list[str]:
    """Those of a response's life, without what begins and ends a transaction."""
    with CaptureQueriesContext(connection) as captured:
        life(**fields)
    words = [query["sql"].split()[0] for query in captured]
    return [word for word in words if word in ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")][:-1]


def test_a_first_prompt_takes_eight_statements() -> None:
    assert statements() == [
        *("INSERT", "INSERT", "INSERT"),  # conversation, prompt, response
        "UPDATE",  # queued
        *("UPDATE", "SELECT"),  # in progress, the prompt
        *("UPDATE", "INSERT"),  # ended, the answer
    ]


def test_the_turns_of_a_long_conversation_take_no_more_statements() -> None:
    response = life()
    second = len(statements(previous_id=response.pk))
    for _ in range(3):
        response = life(previous_id=response.pk)
    assert len(statements(previous_id=response.pk)) == second == 10


def test_an_answer_becomes_a_turn_and_an_empty_one_none() -> None:
    response = life()
    assert response.message == Message.objects.get(role=Message.Role.ASSISTANT)
    assert response.message.parent == response.prompt
    queued = Response.objects.create(
        conversation=response.conversation, prompt=response.prompt, owner="visitor:a"
    )
    assert endings.end.func([queued.pk], Ending.cancelled(), of=WAITING)
    queued.refresh_from_db()
    assert queued.message is None
    assert Message.objects.count() == 2


@in_database
def kept() -> Any:
    """The connection of the sockets' thread, used."""
    assert not Response.objects.filter(pk=uuid4()).exists()
    return connection.connection


@in_database
def grow_old() -> None:
    connection.close_at = time.monotonic() - 1


@in_database
def leave() -> None:
    connection.close()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere a pool keeps them")
async def test_the_sockets_thread_keeps_its_connection_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Channels' communicators patch this while they work, and two that overlap leave it patched.
    monkeypatch.setattr(channels.db, "close_old_connections", close_old_connections)
    # A thread of its own: what an earlier test has left to the common one may close connections.
    async with ThreadSensitiveContext():
        first = await kept()
        assert await kept() is first
        await grow_old()
        assert await kept() is not first
        await leave()


async def test_the_connection_of_a_request_ends_with_it() -> None:
    opened: list[int] = []
    left: list[tuple[int, Any]] = []

    def note(**kwargs: Any) -> None:
        opened.append(threading.get_ident())

    def look(**kwargs: Any) -> None:
        left.append((threading.get_ident(), connection.connection))

    connection_created.connect(note)
    request_finished.connect(look)
    try:
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b""}
        scope |= {"headers": [(b"host", b"localhost")]}
        request = ApplicationCommunicator(get_asgi_application(), scope)
        await request.send_input({"type": "http.request"})
        await request.receive_output(10)
        await request.wait(10)
    finally:
        connection_created.disconnect(note)
        request_finished.disconnect(look)
    assert opened
    assert left == [(thread, None) for thread in opened]


# --- what keeps it from taking a prompt ---


async def fault_with(*statements: str) -> str:
    """What is found wrong on a connection that was prepared by statements."""

    def prepare(connection: Any, **kwargs: Any) -> None:
        for statement in statements:
            connection.cursor().execute(statement)

    connection_created.connect(prepare)
    try:
        return await asyncio.to_thread(disconnecting(database_check.fault))
    finally:
        connection_created.disconnect(prepare)


async def test_a_database_that_can_be_written() -> None:
    assert await fault_with() == ""


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has a test of its own")
async def test_a_file_that_may_not_be_written() -> None:
    assert await fault_with("PRAGMA query_only = ON") == "is read-only"


async def test_a_database_without_our_tables() -> None:
    """As when an empty file was made in the place of the one that is gone."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(Response._meta, "db_table", "streaming_of_another")
        assert await fault_with() == "is not migrated"


@pytest.mark.skipif(connection.vendor != "sqlite", reason="there is no file")
async def test_what_leads_to_another_file_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    first = await kept()
    assert await kept() is first
    there = database.file_id()
    assert there
    moved = there._replace(inode=there.inode + 1)
    monkeypatch.setattr(sqlite_file, "file_id", lambda path: moved)
    second = await kept()
    assert second is not first
    assert await kept() is second


@pytest.mark.skipif(connection.vendor != "sqlite", reason="there is no file")
async def test_nothing_is_asked_of_a_file_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = await kept()
    with monkeypatch.context() as changed:
        changed.setattr(sqlite_file, "file_id", lambda path: None)
        with pytest.raises(OperationalError, match="is gone"):
            await kept()
        with pytest.raises(OperationalError, match="is gone"):
            await lookups.get(uuid4())
        assert await asyncio.to_thread(disconnecting(database_check.fault)) == "its file is gone"
    assert await kept() is first


def test_a_migration_of_large_tables_copies_none() -> None:
    """Nor does SQLite, where Django would: a million messages took a minute, and as much disk."""
    said = io.StringIO()
    call_command("sqlmigrate", "streaming", "0010", stdout=said)
    statements = [line for line in said.getvalue().splitlines() if not line.startswith("--")]
    tables = [line.split()[2].strip('"') for line in statements if line.startswith("ALTER TABLE")]
    assert tables == ["streaming_message", *["streaming_response"] * 3]
    assert not any(word in said.getvalue() for word in ("CREATE TABLE", "INSERT", "UPDATE"))


def test_no_migration_rewrites_rows_of_a_table_that_it_holds() -> None:
    """PostgreSQL lets nobody read a table that has got a column until the migration is over."""
    found = MigrationLoader(None).disk_migrations.items()
    for (app, name), migration in found:
        if app == "streaming" and name > "0011":
            runs = [each for each in migration.operations if isinstance(each, RunPython)]
            rewrites = any(each.code is not RunPython.noop for each in runs)
            assert not rewrites or len(migration.operations) == len(runs), name


def test_a_migration_numbers_the_responses_that_are_there() -> None:
    """Those of each conversation, by the clock: nothing else was known of them."""
    first, other = life(), life()
    later = [life(previous_id=first.pk) for _ in range(3)]
    expected = {first.pk: 1, other.pk: 1, **{row.pk: at for at, row in enumerate(later, 2)}}
    assert {row.pk: row.ordinal for row in Response.objects.all()} == expected
    Response.objects.update(ordinal=1)
    migration = importlib.import_module("streaming.migrations.0008_response_order")
    with CaptureQueriesContext(connection) as asked, connection.cursor() as cursor:
        cursor.execute(migration.NUMBER)
    assert len(asked) == 1  # however many rows there are: meanwhile nobody can write
    assert {row.pk: row.ordinal for row in Response.objects.all()} == expected
