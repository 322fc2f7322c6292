"""Two who want the same row at the same moment, in transactions of their own.

Threads, since a database's locks are between connections. On SQLite the second waits at its
BEGIN; on PostgreSQL at the row. Either way there is one order, and both know which.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from django.db import connection
from django.db.models.deletion import Collector
from django.utils import timezone

from streaming.engine.base import Finished, FinishReason
from streaming.lifecycle.ending import WAITING
from streaming.models import Conversation, Message, Response, Status
from streaming.record import creation, deletion, edits, endings, retention, starts
from streaming.record.endings import Ending
from streaming.record.errors import AlreadyStarted, NotFound, NotOwner, RecordError
from streaming.record.output import Output
from streaming.record.tasks import Prompt, Requester
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 15


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """What each returned or raised, all begun at the same moment, each on a connection."""
    barrier = threading.Barrier(len(tasks))
    results: list[Any] = [None] * len(tasks)

    def run(number: int, task: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            results[number] = task()
        except Exception as error:
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=found) for found in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def in_thread(function: Any) -> Callable[..., Any]:
    """The function behind `database_sync_to_async`, to be run in this thread."""
    inner: Callable[..., Any] = function.func
    return inner


def queued(prompt: str = "old") -> Response:
    conversation = Conversation.objects.create(owner="visitor:a")
    message = Message.objects.create(conversation=conversation, role="user", content=prompt)
    return Response.objects.create(
        conversation=conversation,
        prompt=message,
        owner="visitor:a",
        status=Status.QUEUED,
        params={"max_tokens": 5, "stop": [], "seed": 1},
    )


def create(task: Prompt, owner: str = "visitor:a", response_id: UUID | None = None) -> Any:
    requester = Requester(owner, None, "")
    return in_thread(creation.create)(task, params={}, requester=requester, response_id=response_id)


def start(response: Response) -> starts.Work | Exception | None:
    begun: list[starts.Work | Exception | None] = in_thread(starts.start_all)(
        "worker", [(str(response.pk), 1)]
    )
    return begun[0]


def finish(row: Response, how: Ending) -> list[Response]:
    attempt, of = endings.Attempt.of(row), (Status.IN_PROGRESS,)
    ended: list[Response] = in_thread(endings.end)([row.pk], how, of=of, attempt=attempt, row=row)
    return ended


def test_an_edit_and_a_start_agree_on_the_prompt() -> None:
    for _ in range(ROUNDS):
        response = queued()
        edited, work = at_once(
            lambda r=response: in_thread(edits.edit_prompt)(r.pk, "visitor:a", "new"),
            lambda r=response: start(r),
        )
        read = work.messages[-1].content
        stored = Message.objects.get(pk=response.prompt_id).content
        assert read == stored
        if edited is None:
            assert read == "new"
        else:
            assert isinstance(edited, AlreadyStarted)
            assert read == "old"


def test_the_same_id_twice_is_one_response() -> None:
    for _ in range(ROUNDS):
        response_id = uuid4()

        def create_it(response_id: UUID = response_id) -> Any:
            return create(Prompt("hello"), response_id=response_id)

        results = at_once(create_it, create_it, create_it)
        assert {row.pk for row, _ in results} == {response_id}
        assert sorted(created for _, created in results) == [False, False, True]
        assert Response.objects.filter(pk=response_id).count() == 1
    assert Conversation.objects.count() == Message.objects.count() == ROUNDS


def test_the_same_id_of_two_owners_is_forbidden_to_the_second() -> None:
    response_id = uuid4()
    results = at_once(
        *[
            lambda owner=owner: create(Prompt("hello"), owner=owner, response_id=response_id)
            for owner in ("visitor:a", "visitor:b")
        ]
    )
    refused = [result for result in results if isinstance(result, RecordError)]
    assert [type(error) for error in refused] == [NotOwner]


def test_two_ends_of_one_response_are_one() -> None:
    for _ in range(ROUNDS):
        response = queued()
        results = at_once(
            lambda r=response: in_thread(endings.end)([r.pk], Ending.cancelled(), of=WAITING),
            lambda r=response: in_thread(endings.end)([r.pk], Ending.failed("", ""), of=WAITING),
            lambda r=response: start(r),
        )
        assert sum(bool(result) for result in results) == 1, results


def test_what_is_pruned_and_used_at_once_is_one_of_the_two() -> None:
    for _ in range(ROUNDS):
        response = queued()
        Response.objects.filter(pk=response.pk).update(status=Status.COMPLETED)
        old = timezone.now() - timedelta(days=100)
        Conversation.objects.filter(pk=response.conversation_id).update(updated_at=old)
        task = Prompt("again", response.conversation_id)
        created, batches = at_once(
            lambda task=task: create(task),
            lambda: list(retention.prune(timezone.now() - timedelta(days=90))),
        )
        assert not isinstance(batches, Exception), batches
        is_left = Conversation.objects.filter(pk=response.conversation_id).exists()
        if isinstance(created, RecordError):
            assert isinstance(created, NotFound)
            assert not is_left
        else:
            assert is_left
            assert Response.objects.filter(pk=created[0].pk).exists()
            Conversation.objects.all().delete()


def test_a_conversation_pruned_under_a_prompt_is_not_found(monkeypatch: Any) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite lets nobody write between a transaction's first read and its writes")
    response = queued()
    Response.objects.filter(pk=response.pk).update(status=Status.COMPLETED)
    looked, pruned = threading.Event(), threading.Event()
    place = creation._place

    def place_and_wait(*args: Any) -> Any:
        found = place(*args)
        looked.set()
        assert pruned.wait(20)
        return found

    def prune() -> None:
        assert looked.wait(20)
        try:
            list(retention.prune(timezone.now() + timedelta(days=1)))
        finally:
            pruned.set()

    monkeypatch.setattr(creation, "_place", place_and_wait)
    task = Prompt("again", response.conversation_id)
    created, _ = at_once(lambda: create(task), prune)
    assert isinstance(created, NotFound), created
    assert Message.objects.count() == 0


@pytest.mark.parametrize("model", [Conversation, Message])
def test_an_answer_that_ends_while_it_is_deleted_goes_with_the_rest(
    model: type[Conversation | Message], monkeypatch: Any
) -> None:
    """Its turn is written when what is to be deleted has been collected, or waits for it."""
    response = queued()
    work = start(response)
    assert isinstance(work, starts.Work)
    finished = Finished(str(response.pk), FinishReason.STOP)
    how = Ending.generated(finished, Output("text"))
    ends: list[Any] = []
    ending = threading.Thread(target=lambda: ends.extend(at_once(lambda: finish(work.row, how))))
    collect = Collector.collect

    def collect_and_wait(*args: Any, **kwargs: Any) -> None:
        collect(*args, **kwargs)
        if not ending.ident:
            ending.start()
            ending.join(0.5)

    monkeypatch.setattr(Collector, "collect", collect_and_wait)
    count, late = deletion.delete(model.objects.all())
    ending.join()
    assert (count, late) == (1, [str(response.pk)])
    assert ends == [[]]  # nothing was left to end
    assert not Response.objects.exists()
    assert not Message.objects.exists()


@pytest.fixture
def idle_connection() -> None:
    """This thread's goes back to the pool, so that it is not cut in use; and the pool is emptied
    of what earlier tests left idle: it waits longer for each dead one that it meets."""
    connection.close()
    if connection.vendor == "postgresql":
        connection.close_pool()  # type: ignore[attr-defined]


async def test_connections_that_the_server_has_cut_are_replaced(
    idle_connection: None, start_worker: Any, client: Any
) -> None:
    """As when PostgreSQL was restarted."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no connections to cut")
    await start_worker(FakeEngine())
    chat = await client()
    for _ in range(2):
        await chat.ask("stop 2")
        assert (await chat.end())["status"] == "completed"
        await cut_all_connections()


@database_sync_to_async
def cut_all_connections() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
