"""The operators' socket: who may watch, what is told, and what happens without the layer."""

from __future__ import annotations

from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, Permission, User

from streaming.consumers import CLOSE_FORBIDDEN
from streaming.queue_consumer import QueueConsumer

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]

PATIENCE = 20.0


@pytest.fixture(autouse=True)
def quick(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueueConsumer, "interval", 0.01)


@database_sync_to_async
def _viewer(staff: bool = True, permitted: bool = True) -> User:
    user = User.objects.create_user("operator", is_staff=staff)
    if permitted:
        user.user_permissions.add(Permission.objects.get(codename="view_queue"))
    return user


async def _open(user: Any) -> WebsocketCommunicator:
    socket = WebsocketCommunicator(QueueConsumer.as_asgi(), "/ws/queue/")
    socket.scope["user"] = user
    accepted, _ = await socket.connect(timeout=PATIENCE)
    assert accepted
    return socket


async def _refused(socket: WebsocketCommunicator) -> None:
    """Reads on to the refusal and the close behind it."""
    while (event := await socket.receive_json_from(timeout=PATIENCE))["type"] != "error":
        assert event["type"] == "queue.snapshot"
    assert event["code"] == "forbidden"
    close = await socket.receive_output(timeout=PATIENCE)
    assert (close["type"], close["code"]) == ("websocket.close", CLOSE_FORBIDDEN)


async def test_a_stranger_is_refused() -> None:
    await _refused(await _open(AnonymousUser()))


@pytest.mark.parametrize(("staff", "permitted"), [(False, True), (True, False)])
async def test_both_staff_and_the_permission_are_needed(staff: bool, permitted: bool) -> None:
    await _refused(await _open(await _viewer(staff, permitted)))


@pytest.mark.parametrize("right", ["is_staff", "is_active"])
async def test_a_right_taken_away_ends_the_view(right: str) -> None:
    user = await _viewer()
    socket = await _open(user)
    assert (await socket.receive_json_from(timeout=PATIENCE))["type"] == "queue.snapshot"
    await User.objects.filter(pk=user.pk).aupdate(**{right: False})
    await _refused(socket)


async def test_the_permission_taken_away_ends_the_view() -> None:
    user = await _viewer()
    socket = await _open(user)
    assert (await socket.receive_json_from(timeout=PATIENCE))["type"] == "queue.snapshot"
    await user.user_permissions.aclear()
    await _refused(socket)


async def test_a_layer_that_was_away_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting_list: Any = get_channel_layer().waiting_list
    snapshot, failures = waiting_list.snapshot, iter(range(2))

    async def away_at_first() -> Any:
        if next(failures, None) is not None:
            raise ConnectionError("away")
        return await snapshot()

    monkeypatch.setattr(waiting_list, "snapshot", away_at_first)
    socket = await _open(await _viewer())
    event = await socket.receive_json_from(timeout=PATIENCE)
    assert event["type"] == "queue.snapshot"
    assert next(failures, None) is None
    await socket.disconnect(timeout=PATIENCE)
