"""What an account asked for in its session keeps its place while it is signed in somewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from channels.layers import channel_layers, get_channel_layer
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client

from streaming import conf
from streaming.identity import sessions
from streaming.lifecycle import kept_places
from streaming.models import OPEN, Conversation, Message, Response, Status
from streaming.record import retries
from streaming.record.retries import Retry
from tests.integration.conftest import eventually, owner_of
from tests.integration.test_guard import PASSWORD, deactivate_silently, sign_out, signed_in
from tests.support.fake_engine import FakeEngine
from tests.support.valkey import Valkey, start_or_skip

pytestmark = pytest.mark.django_db(transaction=True)

LONG = {"max_tokens": 1000}


@pytest.fixture(scope="module")
def valkey() -> Any:
    server = start_or_skip()
    yield server
    server.stop()


@pytest.fixture(params=["memory", "redis"])
async def layer(request: pytest.FixtureRequest, settings: Any) -> AsyncIterator[Any]:
    if request.param == "redis":
        server: Valkey = request.getfixturevalue("valkey")
        backend = "streaming.waiting_list.channel_layers.RedisChannelLayer"
        config = {"hosts": [server.url], "prefix": "kept"}
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": config}}
    channel_layers.backends.clear()
    yield get_channel_layer()
    if request.param == "redis":
        await get_channel_layer().flush()
    channel_layers.backends.clear()


only_in_memory = pytest.mark.parametrize("layer", ["memory"], indirect=True)


@pytest.fixture(autouse=True)
def soon(chatstream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chatstream(disconnect_grace=0.5)
    monkeypatch.setattr(kept_places, "LOOK_SECONDS", 0.7)


@pytest.fixture
async def browser() -> Client:
    await sync_to_async(User.objects.create_user)("ann", password=PASSWORD)
    return await sync_to_async(signed_in)()


async def asks(client: Any, browser: Client, count: int) -> list[str]:
    """The account asks on a page that is closed then: the first answer runs."""
    chat = await client(user=await User.objects.aget(), session=browser.session)
    queued = [await chat.ask("go", params=LONG) for _ in range(count)]
    assert {event["kept_seconds"] for event in queued} == {None}
    await chat.until("response.output_text.delta")
    await chat.leave()
    return [event["response_id"] for event in queued]


async def comes_and_goes(client: Any, **scope: Any) -> None:
    """Somebody without a session asks, leaves, and is cancelled: who left before has been unwatched
    for longer then."""
    chat = await client(**scope)
    queued = await chat.ask("go", params=LONG)
    assert queued["kept_seconds"] == conf.get().disconnect_grace
    await chat.leave()
    await eventually(lambda: are([queued["response_id"]], Status.CANCELLED))


async def are(response_ids: list[str], *statuses: Status) -> bool:
    found = Response.objects.filter(pk__in=response_ids, status__in=statuses)
    return await found.acount() == len(response_ids)


@pytest.mark.parametrize("way", [sign_out, deactivate_silently])
async def test_kept_while_the_account_is_signed_in(
    way: Callable[[Client, User], None],
    start_worker: Any,
    client: Any,
    make_key: Any,
    browser: Client,
) -> None:
    await start_worker(FakeEngine(max_running=1, step_seconds=0.05))
    phone = await sync_to_async(signed_in)()
    asked = await asks(client, browser, 2)
    bearer = f"Bearer {await make_key('ann')}".encode()
    await comes_and_goes(client)
    await comes_and_goes(client, headers=[(b"authorization", bearer)])
    await sync_to_async(sign_out)(browser, await User.objects.aget())  # one of two
    await comes_and_goes(client)
    assert await are(asked[:1], Status.IN_PROGRESS)
    assert await are(asked[1:], Status.QUEUED)
    await sync_to_async(way)(phone, await User.objects.aget())
    await eventually(lambda: are(asked, Status.CANCELLED))


@only_in_memory
async def test_the_owner_finds_it_again(start_worker: Any, client: Any, browser: Client) -> None:
    await start_worker(FakeEngine(max_running=1, step_seconds=0.02))
    first, waits = await asks(client, browser, 2)
    await comes_and_goes(client)
    back = await client(user=await User.objects.aget(), session=browser.session)
    await back.send("chatstream:resume", response_id=waits)
    queued = await back.until("response.queued", response_id=waits)
    assert (queued["position"], queued["kept_seconds"]) == (1, None)
    await back.send("response.cancel", response_id=first)
    await back.send("response.cancel", response_id=waits)
    assert (await back.end(response_id=waits))["status"] == "cancelled"
    await eventually(lambda: are([first], Status.CANCELLED))


@only_in_memory
async def test_it_waits_no_longer_than_others(
    start_worker: Any, client: Any, browser: Client, chatstream: Any
) -> None:
    chatstream(queue_timeout=1)
    await start_worker(FakeEngine(max_running=1, step_seconds=0.05))
    running, waits = await asks(client, browser, 2)
    await eventually(lambda: are([waits], Status.FAILED))
    assert (await Response.objects.aget(pk=waits)).error_code == "queue_timeout"
    assert await are([running], Status.IN_PROGRESS)


@only_in_memory
async def test_while_sessions_cannot_be_read_only_visitors_go(
    start_worker: Any,
    client: Any,
    browser: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def away(users: Any) -> Any:
        raise OperationalError("the table of sessions is locked")

    await start_worker(FakeEngine(max_running=1, step_seconds=0.05))
    with monkeypatch.context() as broken:
        broken.setattr(sessions, "signed_in", away)
        asked = await asks(client, browser, 2)
        await comes_and_goes(client)
        assert await are(asked, *OPEN)
    assert "Who is signed in cannot be read" in caplog.text
    await sync_to_async(sign_out)(browser, await User.objects.aget())
    await eventually(lambda: are(asked, Status.CANCELLED))


def answer(owner: str, user: User | None = None, **fields: Any) -> Response:
    conversation = Conversation.objects.create(owner=owner, user=user)
    prompt = Message.objects.create(conversation=conversation, role="user", content="hello")
    return Response.objects.create(
        conversation=conversation, prompt=prompt, owner=owner, params={}, **fields
    )


def test_what_a_visitor_asked_for_is_the_accounts_from_its_login_on() -> None:
    User.objects.create_user("ann", password=PASSWORD)
    browser = Client()
    browser.get("/")
    row = answer(owner_of(browser))
    browser.post("/accounts/login/", {"username": "ann", "password": PASSWORD})
    row.refresh_from_db()
    assert row.in_session


@pytest.mark.parametrize("in_session", [True, False])
async def test_another_try_is_kept_as_the_failed_one_was(in_session: bool) -> None:
    user = await sync_to_async(User.objects.create_user)("ann", password=PASSWORD)
    fields = {"status": Status.FAILED, "error_code": "engine_error", "in_session": in_session}
    row = await sync_to_async(answer)(f"user:{user.pk}", user, **fields)
    found = await retries.find(UUID(str(row.pk)))
    assert isinstance(found, Retry)
    assert found.requester.in_session is in_session


@pytest.mark.parametrize("count", [1, 8])
def test_a_look_costs_the_same_for_many(count: int, django_assert_num_queries: Any) -> None:
    users = [User.objects.create_user(f"ann{n}", password=PASSWORD) for n in range(count)]
    for user in users:
        signed_in(user.username)
    gone = User.objects.create_user("bob", password=PASSWORD)
    with django_assert_num_queries(3):
        present = sessions.signed_in({user.pk for user in (*users, gone)})
    assert present == {user.pk for user in users}
