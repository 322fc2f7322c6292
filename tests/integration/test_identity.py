"""Whose socket it is: the session's, the key's, and no longer when these have changed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.http import HttpRequest

from streaming.identity import keys
from streaming.identity.visitors import SESSION_KEY
from streaming.models import Response
from tests.integration.conftest import ChatClient
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)


def new_session(**values: Any) -> Any:
    store = import_module(django_settings.SESSION_ENGINE).SessionStore()
    store.update(values)
    store.save()
    return store


def request_of(session: Any) -> HttpRequest:
    request = HttpRequest()
    request.session = session
    return request


def sign_in(session: Any, user: User) -> None:
    request = request_of(session)
    login(request, user, backend=django_settings.AUTHENTICATION_BACKENDS[0])
    request.session.save()


@sync_to_async
def reopened(session: Any) -> Any:
    """The session as another process has it, read by then as Channels' middleware does."""
    again = session.__class__(session.session_key)
    again.get(SESSION_KEY)
    return again


async def refused(chat: ChatClient, code: str, close_code: int) -> None:
    await chat.send("response.create", input="stop 1", event_id="mine")
    error = await chat.until("error")
    assert (error["code"], error["event_id"]) == (code, "mine")
    assert await chat.close_code() == close_code
    assert not await Response.objects.filter(prompt__content="stop 1").aexists()


@pytest.fixture
async def user() -> User:
    return await User.objects.acreate_user("ada", password="analytical")


async def test_a_visitor_who_signs_in_elsewhere_connects_again(
    start_worker: Any, client: Any, user: User
) -> None:
    await start_worker(FakeEngine())
    session = await sync_to_async(new_session)(**{SESSION_KEY: "v1"})
    chat = await client(session=await reopened(session))
    await chat.ask("stop 2")
    await sync_to_async(sign_in)(session, user)
    await chat.end()
    await refused(chat, "session_changed", 4409)


@pytest.mark.parametrize("how", ["sign out", "new password", "deactivated"])
async def test_an_account_that_signs_out_is_out_on_every_socket(
    how: str, start_worker: Any, client: Any, user: User
) -> None:
    await start_worker(FakeEngine())
    session = await sync_to_async(new_session)()
    await sync_to_async(sign_in)(session, user)
    chat = await client(session=await reopened(session), user=user)
    queued = await chat.ask("stop 2")
    row = await Response.objects.aget(pk=queued["response_id"])
    assert row.owner == f"user:{user.pk}"
    await chat.end()
    if how == "sign out":
        request = request_of(session)
        request.user = user
        await sync_to_async(logout)(request)
    elif how == "new password":
        user.set_password("difference engine")
        await user.asave()
    else:
        await User.objects.filter(pk=user.pk).aupdate(is_active=False)
    await refused(chat, "session_changed", 4409)


async def test_a_key_opens_the_socket_of_its_account_until_it_is_revoked(
    start_worker: Any, client: Any, user: User
) -> None:
    await start_worker(FakeEngine())
    key, secret = await sync_to_async(keys.create)(user, "mine")
    chat = await client(headers=[(b"authorization", f"Bearer {secret}".encode())])
    queued = await chat.ask("stop 2")
    row = await Response.objects.aget(pk=queued["response_id"])
    assert row.owner == f"user:{user.pk}"
    assert chat.received[0]["session_token"] is None
    await chat.end()
    await sync_to_async(keys.revoke)(key)
    await refused(chat, "login_required", 4401)


@pytest.mark.parametrize("value", ["Bearer cs-", "Bearer cs-wrong", "bearer cs-" + "x" * 43])
async def test_a_wrong_key_is_refused_and_never_a_visitor(value: str, layer: Any) -> None:
    chat = ChatClient(headers=[(b"authorization", value.encode())])
    error = await chat.connect()
    assert error["code"] == "login_required"
    assert await chat.close_code() == 4401
    await chat.leave()


async def test_a_socket_without_a_session_has_none_that_could_change(
    start_worker: Any, client: Any
) -> None:
    await start_worker(FakeEngine())
    chat = await client()
    await chat.ask("stop 1")
    await chat.end()
    await chat.ask("stop 2")


async def test_sockets_without_an_address_are_bounded_by_their_owners_alone(
    start_worker: Any, client: Any, chatstream: Any
) -> None:
    """A server on a Unix socket: otherwise all people would be one client."""
    chatstream(max_sockets=2)
    await start_worker(FakeEngine())
    chats = [await client(address=None) for _ in range(3)]
    assert [chat.received[-1]["type"] for chat in chats] == ["chatstream:session"] * 3
    token = chats[0].received[-1]["session_token"]
    for chat, told in ((chats[1], "chatstream:session"), (chats[2], "error")):
        await chat.send("chatstream:session", session_token=token)
        assert (await chat.next())["type"] == told
    chats = [await client() for _ in range(3)]
    assert [chat.received[-1]["type"] for chat in chats] == ["chatstream:session"] * 2 + ["error"]
