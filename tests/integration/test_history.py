"""The history in the admin: what it finds, in which order, what it exports, and to whom."""

from __future__ import annotations

import csv
import io
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from streaming.admin import export
from streaming.models import Conversation, Message, Response, Status

pytestmark = pytest.mark.django_db

LIST = "/admin/streaming/response/"
EXPORT = f"{LIST}export/"
QUERIES = 12
"""At most, for any page of the admin here: session, account, permissions, the page's own."""


def respond(
    text: str = "an answer",
    *,
    prompt: str = "a prompt",
    user: User | None = None,
    source: str = "chat",
    conversation: Conversation | None = None,
    age: timedelta = timedelta(0),
    moments: tuple[float | None, float | None, float | None] = (1, 2, 6),
    **fields: Any,
) -> Response:
    """An ended response; `moments`: seconds to its start, its first token, its end."""
    owner = f"user:{user.pk}" if user else fields.pop("owner", f"visitor:{uuid.uuid4().hex}")
    conversation = conversation or Conversation.objects.create(
        owner=owner, user=user, title=f"title of {prompt}", source=source
    )
    message = Message.objects.create(conversation=conversation, role="user", content=prompt)
    made = Response.objects.create(
        **{"status": Status.COMPLETED, "attempt": 1, "completion_tokens": 9, **fields},
        conversation=conversation,
        prompt=message,
        owner=owner,
        text=text,
    )
    at = timezone.now() - age
    started, first, finished = (
        None if seconds is None else at + timedelta(seconds=seconds) for seconds in moments
    )
    Response.objects.filter(pk=made.pk).update(
        created_at=at, started_at=started, first_token_at=first, finished_at=finished
    )
    made.refresh_from_db()
    return made


@pytest.fixture
def operator() -> Callable[..., Client]:
    """A client of a member of the staff with these permissions."""

    def sign_in(*permissions: str) -> Client:
        user = User.objects.create_user(f"staff-{uuid.uuid4().hex[:6]}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def viewer(operator: Callable[..., Client]) -> Client:
    """Sees the history, but no texts."""
    return operator("view_response", "view_conversation", "view_message")


@pytest.fixture
def reader(operator: Callable[..., Client]) -> Client:
    return operator("view_response", "view_conversation", "view_message", "view_text")


def found(client: Client, model: str = "response", **query: Any) -> list[Any]:
    """The ids that the list shows, in its order."""
    answer = client.get(f"/admin/streaming/{model}/", query)
    assert answer.status_code == 200, answer.headers
    return [row.pk for row in answer.context["cl"].result_list]


def rows_of(answer: Any) -> list[dict[str, str]]:
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


# Search.


def test_ids_are_found_by_their_beginning(viewer: Client) -> None:
    one, two = respond(), respond()
    assert found(viewer, q=str(one.pk)) == [one.pk]
    assert found(viewer, q=str(one.pk)[:8]) == [one.pk]
    assert found(viewer, q=str(one.pk).upper().replace("-", "")) == [one.pk]
    assert found(viewer, q=str(two.conversation_id)[:13]) == [two.pk]
    assert found(viewer, q=str(two.pk)[4:]) == []
    assert found(viewer, q=f"{one.pk}0") == []


def test_owners_accounts_errors_and_workers_are_found(viewer: Client) -> None:
    ada = User.objects.create_user("ada.lovelace")
    by_account = respond(user=ada)
    by_visitor = respond(owner="visitor:Zq-_9")
    failed = respond(status=Status.FAILED, error_code="engine_error", owner="visitor:1")
    worked = respond(worker="gpu-7:12:ab", owner="visitor:2")
    assert found(viewer, q="lovelace") == [by_account.pk]
    assert found(viewer, q=f"user:{ada.pk}") == [by_account.pk]
    assert found(viewer, q="visitor:Zq") == [by_visitor.pk]
    assert found(viewer, q="Zq-_9") == [by_visitor.pk]
    assert found(viewer, q="engine_err") == [failed.pk]
    assert found(viewer, q="gpu-7") == [worked.pk]
    assert found(viewer, q="gpu-7 engine_error") == []


def test_texts_are_searched_for_those_who_may_read_them(viewer: Client, reader: Client) -> None:
    one = respond("the answer has zebras", prompt="tell me of quaggas")
    respond("of other things", prompt="tell me of horses")
    for query in ("zebras", "quaggas", '"answer has"', "zebras tell"):
        assert found(reader, q=query) == [one.pk], query
        assert found(viewer, q=query) == [], query
    assert found(reader, q='"has answer"') == []
    assert found(reader, "conversation", q="quaggas") == [one.conversation_id]
    assert found(viewer, "conversation", q="quaggas") == []
    assert found(reader, "message", q="quaggas") == [one.prompt_id]
    assert found(viewer, "message", q="quaggas") == []
    assert found(viewer, "message", q=str(one.conversation_id)) == [one.prompt_id]


def test_what_is_an_id_is_not_searched_in_texts_unless_quoted(reader: Client) -> None:
    one = respond("it says deadbeef")
    assert found(reader, q="deadbeef") == []
    assert found(reader, q='"deadbeef"') == [one.pk]


@pytest.mark.parametrize("query", ["%", "_", "'", '"', "\\", "\x00", "é" * 2000, "- -", "user:"])
def test_odd_queries_find_nothing_and_break_nothing(reader: Client, query: str) -> None:
    one = respond()
    # A field that is no text at all is not searched for, which shows everything.
    assert found(reader, q=query) == ([one.pk] if query == "\x00" else [])


# Filters.


def test_filters(viewer: Client) -> None:
    ada = User.objects.create_user("ada")
    old = timedelta(days=40)
    plain = respond(age=old)
    api = respond(user=ada, source="api", age=old)
    liked = respond(rating=1, age=old)
    disliked = respond(rating=-1, age=old)
    failed = respond(status=Status.FAILED, error_code="engine_error", age=old)
    again = respond(attempt=2, worker="w:1:1", age=old)
    forgotten = respond(restarts=1, age=old)
    everything = {plain.pk, api.pk, liked.pk, disliked.pk, failed.pk, again.pk, forgotten.pk}
    assert set(found(viewer)) == everything
    assert found(viewer, status__exact="failed") == [failed.pk]
    assert found(viewer, owner_kind="user") == [api.pk]
    assert set(found(viewer, owner_kind="visitor")) == everything - {api.pk}
    assert found(viewer, source="api") == [api.pk]
    assert found(viewer, rating="like") == [liked.pk]
    assert found(viewer, rating="dislike") == [disliked.pk]
    assert set(found(viewer, rating="none")) == everything - {liked.pk, disliked.pk}
    assert found(viewer, error="engine_error") == [failed.pk]
    assert found(viewer, error="no_such_error") == []
    assert found(viewer, interrupted="attempts") == [again.pk]
    assert found(viewer, interrupted="restarts") == [forgotten.pk]
    assert found(viewer, worker="w:1:1") == [again.pk]
    assert found(viewer, worker="gone") == []
    assert found(viewer, source="api", owner_kind="visitor") == []
    assert found(viewer, conversation__id__exact=str(plain.conversation_id)) == [plain.pk]
    for nonsense in ("slow", "rating", "owner_kind", "interrupted", "created_from"):
        assert set(found(viewer, **{nonsense: "nonsense"})) == everything


@pytest.mark.parametrize(
    ("slow", "expected"),
    [
        ("queue-10", {"waited", "given up"}),
        ("queue-60", {"given up"}),
        ("queue-600", set()),
        ("ttft-5", {"waited", "read"}),
        ("ttft-30", {"read"}),
        ("total-60", {"read", "long", "given up"}),
        ("total-300", {"long"}),
    ],
)
def test_slow_ones(viewer: Client, slow: str, expected: set[str]) -> None:
    moments = {
        "quick": (0.1, 0.2, 0.3),
        "just below": (9.9, None, 59.9),
        "waited": (10.01, 10.5, 20),
        "read": (1, 59, 61),
        "long": (1, 2, 301),
        "given up": (None, None, 90),
        "open": (None, None, None),
    }
    names = {respond(moments=of).pk: name for name, of in moments.items()}  # type: ignore[arg-type]
    assert {names[pk] for pk in found(viewer, slow=slow)} == expected


def test_bounds_of_slow_ones_are_said_as_they_are(viewer: Client) -> None:
    html = viewer.get(LIST).content.decode()
    said = re.findall(r"slow=(\w+-\d+)[^>]*>(.*?)</a>", html)
    assert ("ttft-5", "First token over 5 s") in said
    assert ("queue-10", "Queue time over 10 s") in said
    assert ("queue-600", "Queue time over 10 min") in said
    assert len(said) == 8


def test_days_are_inclusive_and_malformed_ones_are_forgotten(viewer: Client) -> None:
    today, week, month = (respond(age=timedelta(days=days)) for days in (0, 6, 35))
    day = timezone.localdate()

    def on(**bounds: int) -> list[Any]:
        days = {
            f"created_{name}": (day - timedelta(days=ago)).isoformat()
            for name, ago in bounds.items()
        }
        return found(viewer, **days)

    assert on(to=0) == [today.pk, week.pk, month.pk]
    assert on(**{"from": 0}) == [today.pk]
    assert on(**{"from": 6}) == [today.pk, week.pk]
    assert on(**{"from": 6, "to": 6}) == [week.pk]
    assert on(to=7) == [month.pk]
    assert on(**{"from": 5, "to": 6}) == []
    for nonsense in ("", "yesterday", "2026-02-30", "0001-01-01", "9999-12-31"):
        assert len(found(viewer, created_from=nonsense)) == 3
        assert len(found(viewer, created_to=nonsense)) == 3


def test_the_form_of_the_days_keeps_the_other_filters(viewer: Client) -> None:
    html = viewer.get(LIST, {"source": "api", "q": '"><b>', "o": "1"}).content.decode()
    assert '<input type="hidden" name="source" value="api">' in html
    assert '<input type="hidden" name="o" value="1">' in html
    assert '"><b>' not in html


# Order.


def test_durations_sort_with_the_missing_at_the_end(viewer: Client) -> None:
    quick = respond(moments=(0.05, 0.06, 7))
    slow = respond(moments=(100.25, 101, 103))
    slower = respond(moments=(100.75, 102, 104))
    never = respond(moments=(None, None, None), status=Status.QUEUED)
    columns = viewer.get(LIST).context["cl"].list_display
    expected = {
        "queue_time": [quick, slow, slower],
        "ttft": [quick, slow, slower],
        "total": [quick, slow, slower],
    }
    for column, order in expected.items():
        number = columns.index(column)
        upward = [row.pk for row in order]
        assert found(viewer, o=str(number)) == [*upward, never.pk], column
        assert found(viewer, o=f"-{number}") == [*reversed(upward), never.pk], column


# Exports.


def test_an_export_has_every_column(reader: Client) -> None:
    ada = User.objects.create_user("ada")
    made = respond("the answer, “quoted”\nin two lines 日本語", prompt="prompt", user=ada, rating=1)
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    Response.objects.filter(pk=made.pk).update(
        created_at=at,
        started_at=at + timedelta(milliseconds=250),
        first_token_at=at + timedelta(seconds=1),
        finished_at=at + timedelta(seconds=5),
        params={"stop": ["停"]},
    )
    answer = reader.get(EXPORT)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "no-store" in answer["Cache-Control"]
    assert answer["Content-Disposition"].startswith('attachment; filename="responses-')
    [row] = rows_of(answer)
    assert list(row) == [*export.COLUMNS, *export.TEXTS]
    expected = {
        "id": str(made.pk),
        "conversation": str(made.conversation_id),
        "previous": "",
        "source": "chat",
        "owner": f"user:{ada.pk}",
        "username": "ada",
        "status": "completed",
        "rating": "1",
        "completion_tokens": "9",
        "tokens_per_second": "2.0",
        "created_at": "2026-01-02T03:04:05.678+00:00",
        "queue_ms": "250",
        "ttft_ms": "1000",
        "total_ms": "5000",
        "prompt": "prompt",
        "answer": "the answer, “quoted”\nin two lines 日本語",
        "params": '{"stop": ["停"]}',
    }
    assert {name: row[name] for name in expected} == expected


def test_an_open_response_is_exported_with_empty_moments(viewer: Client) -> None:
    respond(moments=(None, None, None), status=Status.QUEUED)
    [row] = rows_of(viewer.get(EXPORT))
    assert {row[name] for name in ("started_at", "queue_ms", "ttft_ms", "total_ms")} == {""}


def test_texts_are_exported_for_those_who_may_read_them(viewer: Client) -> None:
    respond(
        "secret answer", prompt="secret prompt", params={"stop": ["secret"]}, reasoning="secret"
    )
    content = b"".join(viewer.get(EXPORT).streaming_content).decode()
    assert "secret" not in content
    [row] = csv.DictReader(io.StringIO(content))
    assert list(row) == list(export.COLUMNS)


def test_thoughts_are_for_those_who_may_read_texts(viewer: Client, reader: Client) -> None:
    made = respond("four", reasoning="two and two", reasoning_tokens=3, reasoning_ms=1500)
    Message.objects.filter(pk=made.prompt_id).update(reasoning="two and two")
    [row] = rows_of(reader.get(EXPORT))
    assert (row["reasoning"], row["reasoning_tokens"], row["reasoning_ms"]) == (
        "two and two",
        "3",
        "1500",
    )
    for address in (
        f"/admin/streaming/response/{made.pk}/change/",
        f"/admin/streaming/message/{made.prompt_id}/change/",
    ):
        assert "two and two" in reader.get(address).content.decode()
        assert "two and two" not in viewer.get(address).content.decode()
    assert "1.50 s" in viewer.get(f"/admin/streaming/response/{made.pk}/change/").content.decode()


@pytest.mark.parametrize("begin", [*export.FORMULA, "=HYPERLINK("])
def test_no_cell_of_text_is_a_formula(reader: Client, begin: str) -> None:
    respond(f"{begin}1+1", prompt=f"{begin}cmd", error_message=f"{begin}x", worker="-w")
    [row] = rows_of(reader.get(EXPORT))
    assert row["answer"] == f"'{begin}1+1"
    assert row["prompt"] == f"'{begin}cmd"
    assert row["error_message"] == f"'{begin}x"
    assert row["worker"] == "'-w"
    respond("1 = 1", rating=-1)
    [row, _] = rows_of(reader.get(EXPORT))
    assert (row["answer"], row["rating"]) == ("1 = 1", "-1")


def test_an_export_follows_the_filter_and_is_logged(viewer: Client) -> None:
    failed = respond(status=Status.FAILED, error_code="engine_error")
    respond()
    rows = rows_of(viewer.get(EXPORT, {"status__exact": "failed", "o": "-5"}))
    assert [row["id"] for row in rows] == [str(failed.pk)]
    entry = LogEntry.objects.get()
    assert entry.user_id == int(viewer.session["_auth_user_id"])
    assert entry.content_type is not None
    assert entry.content_type.model == "response"
    assert entry.change_message == (
        "Exported 1 responses as CSV, without prompts and answers: filter "
        "?status__exact=failed&o=-5"
    )
    rows_of(viewer.get(EXPORT))
    assert LogEntry.objects.latest("pk").change_message.endswith(
        "Exported 2 responses as CSV, without prompts and answers: all."
    )


def test_the_link_on_the_list_exports_what_the_list_shows(viewer: Client) -> None:
    api = respond(source="api")
    respond()
    html = viewer.get(LIST, {"source": "api", "p": "1"}).content.decode()
    assert f'href="{EXPORT}?source=api"' in html
    assert [row["id"] for row in rows_of(viewer.get(f"{EXPORT}?source=api"))] == [str(api.pk)]


def test_the_selected_are_exported(viewer: Client) -> None:
    chosen, _ = respond(), respond()
    data = {"action": "export_selected", "_selected_action": [str(chosen.pk)]}
    assert [row["id"] for row in rows_of(viewer.post(LIST, data))] == [str(chosen.pk)]
    assert f"selected {chosen.pk}" in LogEntry.objects.get().change_message
    data = {**data, "select_across": "1"}
    assert len(rows_of(viewer.post(f"{LIST}?rating=none", data))) == 2
    assert "filter ?rating=none" in LogEntry.objects.latest("pk").change_message


def test_an_export_needs_the_permission(operator: Callable[..., Client]) -> None:
    stranger = operator("view_queue", "view_text")
    assert stranger.get(EXPORT).status_code == 403
    data = {"action": "export_selected", "_selected_action": [str(respond().pk)]}
    assert stranger.post(LIST, data).status_code == 403
    assert Client().get(EXPORT).status_code == 302
    assert not LogEntry.objects.exists()


def test_an_export_is_asked_for_by_get_alone(viewer: Client) -> None:
    assert viewer.post(EXPORT).status_code == 405


@pytest.mark.parametrize(
    ("query", "status"), [("id__exact=nonsense", 302), ("prompt__content=x", 400), ("x=y", 302)]
)
def test_a_malformed_filter_exports_nothing(viewer: Client, query: str, status: int) -> None:
    respond()
    assert viewer.get(f"{EXPORT}?{query}").status_code == status
    assert not LogEntry.objects.exists()


def many(count: int) -> list[Response]:
    """Responses of one conversation, many of them of the same moment; the newest first."""
    conversation = Conversation.objects.create(owner="visitor:x")
    prompt = Message.objects.create(conversation=conversation, role="user", content="?")
    Response.objects.bulk_create(
        Response(conversation=conversation, prompt=prompt, owner="visitor:x", text=str(number))
        for number in range(count)
    )
    at = timezone.now()
    rows = list(Response.objects.all())
    for number, row in enumerate(rows):
        row.created_at = at - timedelta(seconds=number // 7)
    Response.objects.bulk_update(rows, ["created_at"])
    return sorted(rows, key=lambda row: (row.created_at, row.pk), reverse=True)


def test_an_export_reads_in_chunks_and_no_row_twice() -> None:
    rows = many(50)
    with CaptureQueriesContext(connection) as queries:
        sizes, ids = [], []
        for chunk in export.chunks(Response.objects.all(), 10):
            sizes.append(len(chunk))
            ids += [row.pk for row in chunk]
    assert sizes == [10] * 5
    assert ids == [row.pk for row in rows]
    assert len(queries) == 6  # the last one finds none
    assert [len(chunk) for chunk in export.chunks(Response.objects.all(), 30)] == [30, 20]
    assert list(export.chunks(Response.objects.none(), 10)) == []


def test_a_hundred_thousand_rows_are_a_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a chunk outlives it: neither its rows nor its lines."""
    alive = read = most = 0

    class Row:
        def __init__(self) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def fake(_: Any) -> Any:
        for _ in range(100_000 // export.CHUNK):
            yield [Row() for _ in range(export.CHUNK)]

    monkeypatch.setattr(export, "chunks", fake)
    columns: dict[str, Any] = {"text": lambda row: "x" * 100}
    longest = 0
    for part in export.csv_lines(Response.objects.none(), columns):
        longest = max(longest, len(part))
        read += part.count("\n")
    assert read == 100_001
    assert most <= 2 * export.CHUNK
    assert longest <= 110 * export.CHUNK


def test_an_export_makes_a_query_a_chunk(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    many(1100)
    answer = viewer.get(EXPORT)
    with CaptureQueriesContext(connection) as queries:
        assert len(rows_of(answer)) == 1100
    assert len(queries) == 3
    assert not any('"text"' in query["sql"] for query in queries)


@pytest.mark.django_db(transaction=True)
async def test_an_export_is_streamed_by_an_asynchronous_server() -> None:
    """Warnings are errors: neither server's way is taken for the other's."""
    user = await User.objects.acreate_superuser("boss")
    conversation = await Conversation.objects.acreate(owner="visitor:x")
    prompt = await Message.objects.acreate(conversation=conversation, role="user", content="?")
    await Response.objects.abulk_create(
        Response(conversation=conversation, prompt=prompt, owner="visitor:x") for _ in range(1100)
    )
    client = AsyncClient()
    await client.aforce_login(user)
    answer: Any = await client.get(EXPORT)
    assert answer.is_async
    parts = [part async for part in answer.streaming_content]
    assert len(parts) == 4  # three chunks, and what is after them
    assert len(list(csv.reader(io.StringIO(b"".join(parts).decode())))) == 1101


# Pages.


def test_no_page_asks_more_for_more_rows(
    reader: Client, django_assert_max_num_queries: Any
) -> None:
    users = [User.objects.create_user(f"user{number}") for number in range(5)]
    rows = [respond(user=user, age=timedelta(hours=n)) for n in range(4) for user in users]
    conversation = rows[0].conversation
    for _ in range(20):
        respond(conversation=conversation, owner=conversation.owner)
    reader.get(LIST)  # once a minute, a session's use is noted
    for address in (
        LIST,
        f"{LIST}?o=-7&slow=total-60",
        f"{LIST}?_facets=True",
        "/admin/streaming/conversation/",
        "/admin/streaming/message/",
        f"/admin/streaming/conversation/{conversation.pk}/change/",
        f"{LIST}{rows[0].pk}/change/",
    ):
        with django_assert_max_num_queries(QUERIES) as queries:
            assert reader.get(address).status_code == 200
        counts = [q for q in queries.captured_queries if q["sql"].startswith("SELECT COUNT(*)")]
        assert len(counts) <= 1, address


def test_the_list_leaves_the_texts_in_the_database(reader: Client) -> None:
    respond()
    with CaptureQueriesContext(connection) as queries:
        reader.get(LIST)
    assert not any('"streaming_response"."text"' in query["sql"] for query in queries)
    assert not any('"content"' in query["sql"] for query in queries)


def test_the_list_says_what_is_deleted(viewer: Client, settings: Any) -> None:
    html = viewer.get(LIST).content.decode()
    assert "Nothing is deleted by itself." in html
    settings.CHATSTREAM = {**settings.CHATSTREAM, "retention_days": 90}
    html = viewer.get(LIST).content.decode()
    assert "prune deletes what nobody used for 90 days." in html
    assert "Nothing is deleted by itself." not in html


def test_a_conversation_lists_its_responses_in_order(viewer: Client) -> None:
    first = respond("secret", prompt="secret", age=timedelta(minutes=2))
    conversation = first.conversation
    second = respond("secret", conversation=conversation, status=Status.FAILED)
    address = reverse("admin:streaming_conversation_change", args=[conversation.pk])
    html = viewer.get(address).content.decode()
    links = [html.index(f"{LIST}{row.pk}/change/") for row in (first, second)]
    assert links == sorted(links)
    assert "Failed" in html
    assert "secret" not in html
    assert f"{LIST}?conversation__id__exact={conversation.pk}" in html


def test_no_clock_says_in_which_order(viewer: Client) -> None:
    first = respond(age=timedelta(hours=1))
    second = respond(conversation=first.conversation, age=timedelta(hours=2), ordinal=2)
    page = viewer.get(f"/admin/streaming/conversation/{first.conversation_id}/change/")
    text = page.content.decode()
    assert text.index(f"/response/{first.pk}/") < text.index(f"/response/{second.pk}/")


def test_a_long_conversation_lists_the_first_ones(viewer: Client) -> None:
    rows = many(205)
    address = reverse("admin:streaming_conversation_change", args=[rows[0].conversation_id])
    html = viewer.get(address).content.decode()
    assert html.count('class="cs-bar"') == 200
    assert "The first 200; all of them in the history" in html


def test_a_response_shows_its_timeline_and_where_it_belongs(viewer: Client) -> None:
    first = respond("secret", prompt="secret")
    worker = "gpu:1:ab & co"
    second = respond(
        "secret", conversation=first.conversation, previous=first, attempt=2, worker=worker
    )
    html = viewer.get(f"{LIST}{second.pk}/change/").content.decode()
    assert 'class="cs-life"' in html
    assert "Attempt 2: a worker died" in html
    assert f"{LIST}{first.pk}/change/" in html
    assert f"{LIST}?worker=gpu%3A1%3Aab+%26+co" in html
    assert "secret" not in html
