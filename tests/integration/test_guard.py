"""A socket that only reads is over soon after its session, its account or its key is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from chatsite.asgi import application
from streaming.identity import keys
from streaming.sockets import guard
from streaming.sockets.guard import Credentials, Guard, no_longer_valid
from streaming.sockets.queue_consumer import QueueConsumer
from tests.support.fake_engine import FakeEngine
from tests.support.passing_time import outlast

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 20.0
PASSWORD = "correct horse battery"


class Socket(WebsocketCommunicator):
    """A socket of the whole application, as a browser or a program opens it."""

    def __init__(self, path: str, browser: Client | None = None, key: str = "") -> None:
        headers = [(b"host", b"localhost"), (b"origin", b"http://localhost")]
        if browser:
            pairs = (f"{name}={one.value}" for name, one in browser.cookies.items())
            headers.append((b"cookie", "; ".join(pairs).encode()))
        if key:
            headers.append((b"authorization", f"Bearer {key}".encode()))
        super().__init__(application, path, headers)
        self.scope["client"] = ["127.0.0.1", 50000]

    async def open(self) -> Socket:
        accepted, _ = await self.connect(timeout=PATIENCE)
        assert accepted
        await self.receive_json_from(timeout=PATIENCE)
        return self

    async def ends(self) -> tuple[str, int]:
        """The code of the error and of the close, which are the last of what comes."""
        error = ""
        async with asyncio.timeout(PATIENCE):
            while (output := await self.receive_output(PATIENCE))["type"] == "websocket.send":
                if '"type":"error"' in output["text"]:
                    error = output["text"].partition('"code":"')[2].partition('"')[0]
            assert await self.receive_nothing(0.2)
            return error, output["code"]


@pytest.fixture
async def open_socket(layer: Any) -> AsyncIterator[Callable[..., Any]]:
    opened: list[Socket] = []

    async def open_(*args: Any, **kwargs: Any) -> Socket:
        opened.append(await Socket(*args, **kwargs).open())
        return opened[-1]

    yield open_
    for socket in opened:
        await socket.disconnect(timeout=PATIENCE)


def operator() -> User:
    user = User.objects.create_user("ann", password=PASSWORD, is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_queue"))
    return user


def signed_in(name: str = "ann") -> Client:
    browser = Client()
    answer = browser.post("/accounts/login/", {"username": name, "password": PASSWORD})
    assert answer.status_code == 302
    return browser


def sign_out(browser: Client, user: User) -> None:
    browser.post("/accounts/logout/")


def deactivate(browser: Client, user: User) -> None:
    user.is_active = False
    user.save()


def deactivate_silently(browser: Client, user: User) -> None:
    """As another process does it: nothing is heard of it here."""
    User.objects.filter(pk=user.pk).update(is_active=False)


def change_password(browser: Client, user: User) -> None:
    new = "another horse battery"
    data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert signed_in().post("/accounts/password/", data).status_code == 302


def delete(browser: Client, user: User) -> None:
    user.delete()


WAYS = [sign_out, deactivate, deactivate_silently, change_password, delete]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("/ws/chat/", ("session_changed", 4409)),
        ("/ws/chat/?markup=html&version=2", ("session_changed", 4409)),
        ("/ws/queue/", ("forbidden", 4403)),
    ],
)
async def test_a_socket_that_only_reads_ends(
    way: Any, path: str, end: Any, open_socket: Any
) -> None:
    user = await sync_to_async(operator)()
    browser = await sync_to_async(signed_in)()
    socket = await open_socket(path, browser)
    await sync_to_async(way)(browser, user)
    assert await socket.ends() == end


@pytest.mark.parametrize("way", ["revoke", "revoke silently", "delete", "deactivate"])
async def test_a_socket_of_a_key_ends_with_it(way: str, open_socket: Any) -> None:
    user = await sync_to_async(operator)()
    key, secret = await sync_to_async(keys.create)(user, "mine")
    socket = await open_socket("/ws/chat/", key=secret)
    if way == "revoke":
        await sync_to_async(keys.revoke)(key)
    elif way == "revoke silently":
        await type(key).objects.filter(pk=key.pk).aupdate(revoked_at=key.created_at)
    elif way == "delete":
        await key.adelete()
    else:
        await sync_to_async(deactivate)(None, user)
    assert await socket.ends() == ("login_required", 4401)


@pytest.mark.parametrize("way", [sign_out, deactivate, change_password, delete])
@pytest.mark.parametrize("path", ["/ws/chat/", "/ws/queue/"])
async def test_what_happens_in_this_process_is_heard_at_once(
    way: Any, path: str, open_socket: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Guard, "interval", 3600.0)
    monkeypatch.setattr(QueueConsumer, "recheck_seconds", 3600.0)
    user = await sync_to_async(operator)()
    browser = await sync_to_async(signed_in)()
    socket = await open_socket(path, browser)
    await sync_to_async(way)(browser, user)
    assert (await socket.ends())[1] in (4403, 4409)


async def test_so_is_a_key_that_is_revoked(open_socket: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(Guard, "interval", 3600.0)
    key, secret = await sync_to_async(keys.create)(await sync_to_async(operator)(), "mine")
    socket = await open_socket("/ws/chat/", key=secret)
    await sync_to_async(keys.revoke)(key)
    assert await socket.ends() == ("login_required", 4401)


async def test_a_visitor_who_signs_in_is_told_on_every_page(open_socket: Any) -> None:
    await sync_to_async(operator)()
    browser = Client()
    await sync_to_async(browser.get)("/")
    socket = await open_socket("/ws/chat/", browser)
    await sync_to_async(browser.post)("/accounts/login/", {"username": "ann", "password": PASSWORD})
    assert await socket.ends() == ("session_changed", 4409)
    again = await open_socket("/ws/chat/", browser)  # as the page does
    await again.disconnect()


async def test_an_answer_stops_coming(
    open_socket: Any, start_worker: Any, monkeypatch: Any
) -> None:
    await start_worker(FakeEngine(max_running=1))
    user = await sync_to_async(operator)()
    browser = await sync_to_async(signed_in)()
    socket = await open_socket("/ws/chat/", browser)
    await socket.send_json_to({"type": "response.create", "input": "stop 100000"})
    event: dict[str, Any] = {}
    while event.get("type") != "response.output_text.delta":
        event = await socket.receive_json_from(timeout=PATIENCE)
    await sync_to_async(deactivate_silently)(browser, user)
    assert await socket.ends() == ("session_changed", 4409)


async def test_nobody_else_is_troubled(open_socket: Any) -> None:
    user = await sync_to_async(operator)()
    await sync_to_async(User.objects.create_user)("bob", password=PASSWORD)
    ann, bob = [await sync_to_async(signed_in)(name) for name in ("ann", "bob")]
    visitor = Client()
    await sync_to_async(visitor.get)("/")
    _, secret = await sync_to_async(keys.create)(await User.objects.aget(username="bob"), "his")
    others = [
        await open_socket("/ws/chat/", bob),
        await open_socket("/ws/chat/", visitor),
        await open_socket("/ws/chat/"),
        await open_socket("/ws/chat/", key=secret),
    ]
    gone = await open_socket("/ws/chat/", ann)
    await sync_to_async(deactivate)(ann, user)
    assert await gone.ends() == ("session_changed", 4409)
    for socket in others:
        assert await socket.receive_nothing(0.1)


@pytest.mark.parametrize("count", [1, 40])
async def test_a_look_costs_the_same_for_many(count: int, open_socket: Any) -> None:
    @database_sync_to_async
    def look() -> tuple[int, int]:
        held = []
        for number in range(count):
            user = User.objects.create_user(f"user{number}", password="x")
            browser = Client()
            browser.force_login(user)
            key, _ = keys.create(user, "one")
            session = browser.cookies["sessionid"].value
            held += [
                Credentials(session=session, user=str(user.pk)),
                Credentials(api_key=key.digest, user=str(user.pk)),
                Credentials(visitor=f"visitor{number}"),
                Credentials(session="gone" * 8, user=str(user.pk)),
            ]
        with CaptureQueriesContext(connection) as queries:
            gone = no_longer_valid(held)
        return len(queries), len(gone)

    assert await look() == (4, count)


async def test_programs_that_came_with_nothing_are_not_looked_after(open_socket: Any) -> None:
    await open_socket("/ws/chat/")
    assert len(Guard.here()) == 0


async def test_sockets_that_left_are_forgotten(open_socket: Any) -> None:
    browser = Client()
    await sync_to_async(browser.get)("/")
    sockets = [await open_socket("/ws/chat/", browser) for _ in range(3)]
    assert len(Guard.here()) == 3
    for socket in sockets:
        await socket.disconnect()
    assert len(Guard.here()) == 0


async def test_a_database_that_is_away_ends_nothing(
    open_socket: Any, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setattr(Guard, "interval", 0.01)
    monkeypatch.setattr(QueueConsumer, "recheck_seconds", 3600.0)
    user = await sync_to_async(operator)()
    browser = await sync_to_async(signed_in)()
    socket = await open_socket("/ws/chat/", browser)
    looks = 0

    def away(held: Any) -> Any:
        nonlocal looks
        looks += 1
        raise OperationalError("the database is away")

    with monkeypatch.context() as context:
        context.setattr(guard, "no_longer_valid", away)
        while looks < 5:
            await asyncio.sleep(0.01)
        assert await socket.receive_nothing(0.1)
    told = [line for line in caplog.messages if "Whose the sockets are" in line]
    assert len(told) == 1
    await sync_to_async(deactivate_silently)(browser, user)
    assert await socket.ends() == ("session_changed", 4409)


async def test_who_does_not_take_the_word_holds_up_no_further_look(monkeypatch: Any) -> None:
    """A reader who reads nothing, where the server waits for it."""
    monkeypatch.setattr(Guard, "interval", 0.05)
    monkeypatch.setattr(guard, "_RECHECK_SECONDS", 0.1)
    asked = asyncio.Event()

    class Deaf:
        async def recheck(self) -> None:
            await asyncio.Event().wait()

    class Heard:
        async def recheck(self) -> None:
            asked.set()

    revoked = Credentials(api_key="no key of ours", user="1")
    own, deaf, heard = Guard(), Deaf(), Heard()
    own.enter(deaf, revoked)
    await outlast(0.5, "a look at the deaf one")
    own.enter(heard, revoked)
    try:
        await asyncio.wait_for(asked.wait(), PATIENCE)
    finally:
        own.leave(deaf)
        own.leave(heard)
