"""The whole chain in one process, but for the model: sockets, memory layer, worker, fake engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from channels.db import database_sync_to_async
from channels.layers import channel_layers, get_channel_layer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User
from django.db import connections
from django.test import Client

from streaming.identity import keys, visitors
from streaming.sockets.chat_consumer import ChatConsumer
from streaming.worker.queue_worker import QueueWorker
from tests.support.endings import ending, is_end
from tests.support.fake_engine import FakeEngine

PATIENCE = 60.0


class ChatClient:
    """A WebSocket client of the consumer, with everything it received."""

    def __init__(
        self,
        user: Any = None,
        session: Any = None,
        headers: Any = None,
        query: str = "",
        cookies: Any = None,
        address: str | None = "127.0.0.1",
    ) -> None:
        self._communicator = WebsocketCommunicator(
            ChatConsumer.as_asgi(), f"/ws/chat/{query}", headers
        )
        self._communicator.scope |= {
            "user": user or AnonymousUser(),
            "session": {} if session is None else session,
            "cookies": cookies or {},
            "client": address and [address, 50000],
        }
        self.received: list[dict[str, Any]] = []

    async def connect(self) -> dict[str, Any]:
        accepted, _ = await self._communicator.connect(timeout=PATIENCE)
        assert accepted
        return await self.next()

    async def send(self, type_: str, **fields: Any) -> None:
        await self._communicator.send_json_to({"type": type_, **fields})

    async def send_text(self, text: str) -> None:
        await self._communicator.send_to(text_data=text)

    async def send_bytes(self, data: bytes) -> None:
        await self._communicator.send_to(bytes_data=data)

    async def next(self) -> dict[str, Any]:
        event = json.loads(await self._communicator.receive_from(timeout=PATIENCE))
        self.received.append(event)
        return event

    async def until(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Read on to the next event of a type with these fields."""
        while True:
            event = await self.next()
            if event["type"] == type_ and fields.items() <= event.items():
                return event

    async def end(self, **fields: Any) -> dict[str, Any]:
        """Read on to the next last event of a response, with these fields; `ending` of it."""
        while True:
            event = await self.next()
            if is_end(event) and fields.items() <= event.items():
                return ending(event)

    def numbered(self) -> list[dict[str, Any]]:
        """The events that were received and have a number: those that are stored."""
        return [event for event in self.received if event.get("sequence_number")]

    async def ask(self, text: str, **fields: Any) -> dict[str, Any]:
        """Send a prompt; the `response.queued` that answers it."""
        await self.send("response.create", input=text, **fields)
        return await self.until("response.queued")

    async def close_code(self) -> int:
        output = await self._communicator.receive_output(timeout=PATIENCE)
        assert output["type"] == "websocket.close", output
        return output["code"]

    async def leave(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await self._communicator.disconnect(timeout=PATIENCE)


@pytest.fixture(scope="session", autouse=True)
def no_connection_left(django_db_setup: None) -> Iterator[None]:
    """Async tests leave a connection in asgiref's thread; PostgreSQL drops no database in use."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture
def chatstream(settings: Any) -> Callable[..., None]:
    """Change CHATSTREAM settings: `chatstream(max_waiting=3)`."""

    def change(**values: Any) -> None:
        settings.CHATSTREAM = {**settings.CHATSTREAM, **values}

    return change


@pytest.fixture
def layer() -> Any:
    channel_layers.backends.clear()
    yield get_channel_layer()
    channel_layers.backends.clear()


@pytest.fixture
async def start_worker(layer: Any) -> AsyncIterator[Callable[..., Awaitable[QueueWorker]]]:
    """Start a worker with an engine; all are stopped at the end."""
    started: list[tuple[QueueWorker, asyncio.Task[None]]] = []

    async def start(engine: FakeEngine) -> QueueWorker:
        worker = QueueWorker(engine, layer, engine.max_running)
        started.append((worker, asyncio.create_task(worker.run())))
        await asyncio.wait_for(worker.ready.wait(), PATIENCE)
        return worker

    yield start
    for worker, task in started:
        await worker.stop()
        with contextlib.suppress(RuntimeError):
            await asyncio.wait_for(task, PATIENCE)


@pytest.fixture
async def client() -> AsyncIterator[Callable[..., Awaitable[ChatClient]]]:
    """Connect clients; all leave at the end."""
    clients: list[ChatClient] = []

    async def connect(**scope: Any) -> ChatClient:
        chat = ChatClient(**scope)
        clients.append(chat)
        await chat.connect()
        return chat

    yield connect
    for chat in clients:
        await chat.leave()


async def eventually(condition: Callable[[], Awaitable[Any]]) -> Any:
    """The condition's first true value; fails after PATIENCE."""
    async with asyncio.timeout(PATIENCE):
        while not (value := await condition()):
            await asyncio.sleep(0.02)
        return value


def owner_of(browser: Client) -> str:
    """The visitor that a browser is by its cookie."""
    visitor = visitors.of_token(browser.cookies[visitors.COOKIE].value)
    assert visitor
    return f"visitor:{visitor}"


@pytest.fixture
def make_key() -> Callable[[str], Awaitable[str]]:
    """The secret of a new API key of an account, which is made if it is not there."""

    @database_sync_to_async
    def make(username: str) -> str:
        user, _ = User.objects.get_or_create(username=username)
        return keys.create(user, "test")[1]

    return make
