"""What operators do in the live queue: on both waiting lists, through the admin's forms."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import channel_layers, get_channel_layer
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from redis import Redis

from streaming.lifecycle import recovery
from streaming.models import Conversation, Message, Response, Status
from streaming.waiting_list.interface import (
    AdmissionLimits,
    Orders,
    Snapshot,
    WorkerBeat,
    WorkerState,
)
from tests.support.valkey import Valkey, start_or_skip

SECRET = "words that only their owner wrote"
QUEUE = "/admin/streaming/response/queue/"
NAMES = (
    "cancel", "move", "unmove", "pause", "resume", "drain", "undrain", "capacity", "close",
    "reopen", "limit", "announce", "take-down",
)  # fmt: skip
IN_THE_DATABASE = ("limit", "announce", "take-down")
"""What is done without the waiting list."""
VIEWER = ("view_queue", "view_response")
OPERATOR = (*VIEWER, "cancel_response", "control_queue")


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    server = start_or_skip()
    yield server
    server.stop()


class Queue:
    """The waiting list under test, from outside of any event loop."""

    @property
    def layer(self) -> Any:
        return get_channel_layer()

    def call(self, operation: str, *args: Any, **options: Any) -> Any:
        return async_to_sync(getattr(self.layer.waiting_list, operation))(*args, **options)

    def look(self) -> Snapshot:
        snapshot: Snapshot = self.call("snapshot")
        return snapshot

    def order(self) -> list[str]:
        return [row.response_id for row in self.look().waiting if row.position]

    def beat(self, worker_id: str = "host:1", capacity: int = 1, **details: Any) -> Orders:
        beat = WorkerBeat(worker_id, capacity, WorkerState.READY, 600, details)
        orders: Orders = self.call("heartbeat", beat)
        return orders

    def ask(self, owner: str = "user:1", conversation: Conversation | None = None) -> str:
        """A prompt with a place in the list and a row in the record."""
        conversation = conversation or Conversation.objects.create(owner=owner, title=SECRET)
        prompt = Message.objects.create(conversation=conversation, role="user", content=SECRET)
        response = Response.objects.create(
            conversation=conversation,
            prompt=prompt,
            owner=owner,
            status=Status.QUEUED,
            params={"max_tokens": 10},
        )
        self.call("enqueue", recovery.entry_of(response), AdmissionLimits(10_000))
        return str(response.pk)

    def run(self, worker_id: str = "host:1") -> str:
        """The next one is taken up; its id."""
        lease = self.call("claim", worker_id, 600).lease
        Response.objects.filter(pk=lease.response_id).update(
            status=Status.IN_PROGRESS, worker=worker_id, attempt=1
        )
        self.call("append", lease, '{"type":"delta","delta":"' + SECRET + '"}', [1])
        response_id: str = lease.response_id
        return response_id

    def status(self, response_id: str) -> str:
        return Response.objects.get(pk=response_id).status


@pytest.fixture(params=["memory", "redis"])
def queue(request: pytest.FixtureRequest, settings: Any) -> Iterator[Queue]:
    channel_layers.backends.clear()
    if request.param == "redis":
        url = request.getfixturevalue("valkey").url
        with Redis.from_url(url) as client:
            client.flushall()
        config = {"hosts": [url], "prefix": "actions"}
        backend = {
            "BACKEND": "streaming.waiting_list.channel_layers.RedisChannelLayer",
            "CONFIG": config,
        }
        settings.CHANNEL_LAYERS = {"default": backend}
    yield Queue()
    channel_layers.backends.clear()


@pytest.fixture
def memory_queue(layer: Any) -> Queue:
    """Where the list makes no difference."""
    return Queue()


class Operator(Client):
    """Somebody of the staff with these permissions, who posts forms and reads what is said."""

    def __init__(self, *permissions: str, **options: Any) -> None:
        super().__init__(**options)
        self.user = User.objects.create_user(f"staff-{uuid.uuid4().hex[:6]}", is_staff=True)
        self.user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        self.force_login(self.user)
        self.said: list[str] = []

    def act(self, name: str, **fields: Any) -> Any:
        """Post to an action. `said` is then what the next page would show; a confirmation's
        page is answered with 200, everything else with a redirect."""
        fields = {key.replace("__", ":"): value for key, value in fields.items()}
        answer = self.post(f"{QUEUE}{name}/", fields)
        self.said = [str(message) for message in get_messages(answer.wsgi_request)]
        # As the next page does: what was shown is gone.
        self.cookies.pop("messages", None)
        return answer

    def confirm(self, page: Any) -> Any:
        """Press the confirmation's "Yes"."""
        assert page.status_code == 200
        text = page.content.decode()
        action = re.search(r'<form id="queue-confirm" method="post" action="([^"]+)"', text)
        assert action
        fields: dict[str, list[str]] = {}
        form = text[action.start() :]
        for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form):
            fields.setdefault(name, []).append(html.unescape(value))
        assert fields["confirmed"] == ["1"]
        return self.act(action[1].removeprefix(QUEUE).strip("/"), **fields)

    def log(self) -> list[tuple[str, str, str]]:
        """What the admin log has of this operator, the oldest first: id, name, message."""
        entries = LogEntry.objects.filter(user=self.user).order_by("pk")
        return [(e.object_id or "", e.object_repr, e.change_message) for e in entries]


@pytest.fixture
def operator() -> Operator:
    return Operator(*OPERATOR)


def asked(page: Any) -> str:
    """The text of a confirmation."""
    assert page.status_code == 200, page.status_code
    text = page.content.decode()
    start = text.index('<div id="content"')
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text[start:])).split())


def everything(response_id: str) -> dict[str, dict[str, str]]:
    """For each action a form that would do something, confirmed."""
    worker = {"worker_id": "host:1"}
    return {
        "cancel": {"response_id": response_id},
        "move": {"front": response_id},
        "unmove": {"unmove": "1"},
        "pause": {"all": "1"},
        "resume": {"all": "1"},
        "drain": worker,
        "undrain": worker,
        "capacity": {**worker, "capacity__host:1": "1"},
        "close": {"close": "1", "closed_message": "No."},
        "reopen": {"reopen": "1"},
        "limit": {"limit": "max_waiting", "value": "5"},
        "announce": {"text": "We move house at noon."},
        "take-down": {"announcement": "1"},
    }


@pytest.fixture
def away(valkey: Valkey, settings: Any) -> Iterator[Queue]:
    """A Redis to which nobody connects."""
    channel_layers.backends.clear()
    config = {"hosts": [{"address": "redis://127.0.0.1:1", "retry": None}]}
    backend = {
        "BACKEND": "streaming.waiting_list.channel_layers.RedisChannelLayer",
        "CONFIG": config,
    }
    settings.CHANNEL_LAYERS = {"default": backend}
    yield Queue()
    channel_layers.backends.clear()
