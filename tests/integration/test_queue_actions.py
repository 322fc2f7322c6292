"""What operators do in the live queue: on both waiting lists, and only who may."""

from __future__ import annotations

import html
import itertools
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.layers import channel_layers, get_channel_layer
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import AsyncClient, Client
from django.urls import reverse
from redis import Redis

from streaming.admin import orders
from streaming.lifecycle import recovery
from streaming.models import Conversation, Message, Response, Status
from streaming.record import endings
from streaming.waiting_list.interface import (
    CLOSED_MESSAGE_CHARS,
    AdmissionLimits,
    Orders,
    QueueClosed,
    Snapshot,
    State,
    WorkerBeat,
    WorkerState,
)
from tests.integration.conftest import eventually
from tests.support.fake_engine import FakeEngine
from tests.support.valkey import Valkey, start_or_skip

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "words that only their owner wrote"
QUEUE = "/admin/streaming/response/queue/"
NAMES = ("cancel", "move", "pause", "resume", "drain", "undrain", "capacity", "close", "reopen")
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


# --- who may ---


def everything(response_id: str) -> dict[str, dict[str, str]]:
    """For each action a form that would do something, confirmed."""
    worker = {"worker_id": "host:1"}
    return {
        "cancel": {"response_id": response_id},
        "move": {"front": response_id},
        "pause": {"all": "1"},
        "resume": {"all": "1"},
        "drain": worker,
        "undrain": worker,
        "capacity": {**worker, "capacity__host:1": "1"},
        "close": {"close": "1", "closed_message": "No."},
        "reopen": {"reopen": "1"},
    }


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        ((), set()),
        (("view_queue", "view_response", "view_text"), set()),
        (("cancel_response", "control_queue"), set()),  # not without `view_queue`
        (("view_queue", "cancel_response"), {"cancel"}),
        (("view_queue", "control_queue"), set(NAMES) - {"cancel"}),
        (OPERATOR, set(NAMES)),
    ],
)
def test_each_action_needs_its_permission(
    memory_queue: Queue, permissions: tuple[str, ...], allowed: set[str]
) -> None:
    memory_queue.beat(rows=2)
    response_id = memory_queue.ask()
    staff = Operator(*permissions)
    before = memory_queue.look()
    for name, fields in everything(response_id).items():
        for method in ("post", "get"):
            answer = getattr(staff, method)(f"{QUEUE}{name}/", {**fields, "confirmed": "1"})
            assert answer.status_code == (302 if name in allowed else 403), (name, method)
    if not allowed:
        assert memory_queue.look().waiting[0].response_id == before.waiting[0].response_id
        assert memory_queue.look().workers[0].orders == Orders()
        assert staff.log() == []


def test_strangers_and_those_who_are_no_staff_are_sent_to_the_login(memory_queue: Queue) -> None:
    user = User.objects.create_user("member")
    user.user_permissions.set(Permission.objects.filter(codename__in=OPERATOR))
    member = Client()
    member.force_login(user)
    for client, name in itertools.product((Client(), member), NAMES):
        answer = client.post(f"{QUEUE}{name}/", {"all": "1", "confirmed": "1"})
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/?next=")
    assert not memory_queue.look().paused


def test_a_form_of_another_site_is_refused(memory_queue: Queue) -> None:
    operator = Operator(*OPERATOR, enforce_csrf_checks=True)
    for name in NAMES:
        assert operator.post(f"{QUEUE}{name}/", {"all": "1", "confirmed": "1"}).status_code == 403
    assert not memory_queue.look().paused
    page = operator.get(QUEUE)
    token = page.context["csrf_token"]
    fields = {"all": "1", "confirmed": "1", "csrfmiddlewaretoken": str(token)}
    assert operator.post(f"{QUEUE}pause/", fields).status_code == 302
    assert memory_queue.look().paused


def test_nothing_is_done_by_a_look(memory_queue: Queue, operator: Operator) -> None:
    memory_queue.beat()
    for name, fields in everything(memory_queue.ask()).items():
        answer = operator.get(f"{QUEUE}{name}/", {**fields, "confirmed": "1"}, follow=True)
        assert answer.redirect_chain == [(QUEUE, 302)]
        assert "Nothing was done. Choose the action again." in answer.content.decode()
        assert operator.put(f"{QUEUE}{name}/").status_code == 405
        assert reverse(f"admin:streaming_response_queue_{name}") == f"{QUEUE}{name}/"
    assert operator.log() == []


@pytest.mark.parametrize(
    ("given", "target"),
    [
        (f"{QUEUE}?q=user:1&state=held", f"{QUEUE}?q=user:1&state=held"),
        ("", QUEUE),
        ("https://elsewhere.example/", QUEUE),
        ("//elsewhere.example/", QUEUE),
        ("///elsewhere.example/", QUEUE),
        ("/\\elsewhere.example/", QUEUE),
        ("javascript:alert(1)", QUEUE),
        ("http:\\\\elsewhere.example", QUEUE),
        ("\x01/admin/", QUEUE),
    ],
)
def test_the_way_back_stays_on_this_site(
    memory_queue: Queue, operator: Operator, given: str, target: str
) -> None:
    assert operator.act("resume", all="1", next=given)["Location"] == target
    page = operator.act("pause", all="1", next=given)
    back = f'<a href="{html.escape(target)}" class="button cancel-link">'
    assert back in page.content.decode()
    assert operator.confirm(page)["Location"] == target


# --- cancelling ---


def test_a_waiting_response_is_asked_about_first(queue: Queue, operator: Operator) -> None:
    queue.beat()
    first, second = queue.ask(), queue.ask()
    page = operator.act("cancel", response_id=first)
    text = asked(page)
    assert "Cancel 1 response?" in text
    assert f"{first[:8]} · waiting · user:1" in text
    assert "it loses its place" in text
    assert (queue.order(), operator.log()) == ([first, second], [])
    operator.confirm(page)
    assert operator.said == [f"Response {first[:8]} is cancelled."]
    assert (queue.status(first), queue.status(second)) == (Status.CANCELLED, Status.QUEUED)
    assert queue.order() == [second]
    (event,) = queue.call("read", first)
    assert '"status":"cancelled"' in event
    assert operator.log() == [(first, first, "Cancelled in the live queue.")]


def test_a_running_response_is_asked_about_first(queue: Queue, operator: Operator) -> None:
    queue.beat()
    response_id = queue.ask("visitor:abc")
    queue.run()
    page = operator.act("cancel", response_id=response_id)
    text = asked(page)
    assert "Cancel 1 response?" in text
    assert f"{response_id[:8]} · running · visitor:abc" in text
    assert "its reader keeps what was written so far" in text
    assert operator.log() == []
    assert queue.call("renew", "host:1", [], 60).cancelled == frozenset()
    operator.confirm(page)
    assert operator.said == [f"Response {response_id[:8]} is cancelled."]
    # Its worker is asked to end it; a list says so at the next renewal.
    assert queue.call("place", response_id).state is State.RUNNING
    assert operator.log() == [(response_id, response_id, "Cancelled in the live queue.")]


def test_several_are_asked_about_and_their_ids_are_frozen(queue: Queue, operator: Operator) -> None:
    queue.beat()
    ids = [queue.ask(f"user:{n}") for n in range(4)]
    over = queue.ask("user:9")
    operator.act("cancel", response_id=over, confirmed="1")
    page = operator.act("cancel", selection="selected", selected=[*ids[:3], over, ids[0]])
    text = asked(page)
    assert "Cancel 3 responses?" in text
    assert "3 wait: they lose their places" in text
    assert "1 response had ended already." in text
    assert queue.order() == ids
    operator.act("cancel", response_id=ids[1], confirmed="1")  # meanwhile
    operator.confirm(page)
    assert operator.said == ["2 responses are cancelled.", "1 response had ended already."]
    assert queue.order() == ids[3:]
    assert sorted(entry[0] for entry in operator.log()) == sorted([over, *ids[:3]])


def test_all_of_an_owner_are_those_open_at_the_confirmation(
    queue: Queue, operator: Operator
) -> None:
    queue.beat()
    conversation = Conversation.objects.create(owner="user:7", title=SECRET)
    ids = [queue.ask("user:7", conversation) for _ in range(3)]
    other = queue.ask("user:8")
    assert queue.run() == ids[0]
    page = operator.act("cancel", owner="user:7")
    text = asked(page)
    assert "Cancel all 3 open responses of user:7?" in text
    assert "1 is being answered" in text
    assert "2 wait" in text
    late = queue.ask("user:7")
    operator.confirm(page)
    assert operator.said == ["4 responses are cancelled."]
    assert queue.status(late) == Status.CANCELLED
    # The held ones went before the running one: none has taken its place.
    assert {queue.status(held) for held in ids[1:]} == {Status.CANCELLED}
    assert queue.order() == [other]
    assert {entry[0] for entry in operator.log()} == {late, *ids}
    (single,) = [queue.ask("user:5")]
    assert "Cancel 1 open response of user:5?" in asked(operator.act("cancel", owner="user:5"))
    assert queue.status(single) == Status.QUEUED


def test_an_owner_with_nothing_open(memory_queue: Queue, operator: Operator) -> None:
    for owner in ("user:404", "x" * 5000, "a\x00b", "%_", "'; --"):
        operator.act("cancel", owner=owner)
        (said,) = operator.said
        assert said.endswith("has nothing open.")
        assert len(said) < 120


def test_what_had_ended_or_never_was_is_named(memory_queue: Queue, operator: Operator) -> None:
    memory_queue.beat()
    ended = memory_queue.ask()
    operator.act("cancel", response_id=ended, confirmed="1")
    operator.act("cancel", response_id=ended)
    assert operator.said == ["This response had ended already."]
    nothing = "There is no such response, or it was deleted."
    for unknown in (str(uuid.uuid4()), "nonsense", "\x00", "x" * 10_000, "<b>", f"{ended}0"):
        operator.act("cancel", response_id=unknown)
        assert operator.said == [nothing]
    operator.act("cancel", selection="selected", selected=["nonsense", str(uuid.uuid4()), ended])
    assert operator.said == [
        "1 response had ended already.",
        "2 of these responses do not exist, or were deleted.",
    ]
    assert len(operator.log()) == 1


def test_an_id_has_one_spelling(memory_queue: Queue, operator: Operator) -> None:
    memory_queue.beat()
    first = memory_queue.ask()
    page = operator.act(
        "cancel", selection="selected", selected=[first.upper(), first, f" {first} "]
    )
    operator.confirm(page)
    assert operator.said == [f"Response {first[:8]} is cancelled."]
    assert [entry[0] for entry in operator.log()] == [first]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Nothing was done: the form does not say what to cancel."),
        ({"selection": "selected"}, "No response is selected."),
        (
            {"owner": "user:1", "response_id": str(uuid.uuid4())},
            "Nothing was done: the form names one thing and another at once.",
        ),
        (
            {"selection": "selected", "selected": [str(uuid.uuid4()) for _ in range(5001)]},
            "5001 responses are selected; at most 5000 can be cancelled at once.",
        ),
    ],
)
def test_a_cancel_that_says_nothing_clear(
    memory_queue: Queue, operator: Operator, fields: dict[str, Any], said: str
) -> None:
    memory_queue.beat()
    memory_queue.ask()
    operator.act("cancel", **fields)
    assert operator.said == [said]
    assert len(memory_queue.order()) == 1


def test_very_many_at_once(queue: Queue, operator: Operator) -> None:
    """Named up to a number, counted beyond; all of them end, and are written down."""
    queue.beat()
    ids = [queue.ask(f"user:{n % 7}") for n in range(120)]
    strangers = [str(uuid.uuid4()) for _ in range(2000)]
    page = operator.act("cancel", selection="selected", selected=ids + strangers)
    text = asked(page)
    assert "Cancel 120 responses?" in text
    assert "and 70 more" in text
    assert text.count(" · waiting · ") == orders.MOST_LISTED
    assert "2000 of these responses do not exist" in text
    operator.confirm(page)
    assert operator.said == ["120 responses are cancelled."]
    assert queue.order() == []
    assert Response.objects.filter(status=Status.CANCELLED).count() == 120
    assert sorted(entry[0] for entry in operator.log()) == sorted(ids)


def test_more_of_an_owner_than_one_action_ends(
    memory_queue: Queue, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.admin.selection.MOST_AFFECTED", 2)
    memory_queue.beat()
    for _ in range(3):
        memory_queue.ask("user:3")
    page = operator.act("cancel", owner="user:3")
    assert "1 more is open: do this again for it." in asked(page)
    operator.confirm(page)
    assert operator.said == ["2 responses are cancelled.", "1 more is open: do this again for it."]
    assert len(memory_queue.order()) == 1


# --- the order ---


def test_a_waiting_response_is_moved(queue: Queue, operator: Operator) -> None:
    queue.beat()
    ids = [queue.ask(f"user:{n}") for n in range(3)]
    operator.act("move", front=ids[2])
    assert operator.said == [f"Response {ids[2][:8]} is at the front of the waiting list."]
    assert queue.order() == [ids[2], ids[0], ids[1]]
    operator.act("move", back=ids[0])
    assert operator.said == [f"Response {ids[0][:8]} is at the back of the waiting list."]
    assert queue.order() == [ids[2], ids[1], ids[0]]
    assert operator.log() == [
        (ids[2], ids[2], "Moved to the front of the waiting list."),
        (ids[0], ids[0], "Moved to the back of the waiting list."),
    ]


def test_what_does_not_wait_is_not_moved(queue: Queue, operator: Operator) -> None:
    queue.beat()
    conversation = Conversation.objects.create(owner="user:1")
    running, held = queue.ask("user:1", conversation), queue.ask("user:1", conversation)
    assert queue.run() == running
    ended = queue.ask()
    operator.act("cancel", response_id=ended, confirmed="1")
    for response_id, why in (
        (running, "does not wait any more: it is being answered."),
        (held, "has no place to move from: it waits for the previous answer"),
        (ended, "does not wait any more: it had ended already."),
        (str(uuid.uuid4()), "does not wait any more: it had ended already."),
    ):
        operator.act("move", front=response_id)
        (said,) = operator.said
        assert said.startswith(f"Response {response_id[:8]} {why}")
    unclear = "Nothing was done: the form does not say what to move, or where."
    for fields, said in (
        ({}, unclear),
        ({"front": ended, "back": ended}, unclear),
        ({"front": "nonsense"}, "There is no such response, or it was deleted."),
    ):
        operator.act("move", **fields)
        assert operator.said == [said]
    assert [entry[2] for entry in operator.log()] == ["Cancelled in the live queue."]


# --- workers ---


def test_one_worker_is_paused_and_resumed(queue: Queue, operator: Operator) -> None:
    queue.beat("host:1")
    queue.beat("host:2")
    queue.ask()
    operator.act("pause", worker_id="host:1")
    assert operator.said == [
        "Worker host:1 is paused: it finishes what it runs and claims nothing new."
    ]
    assert [row.paused for row in queue.look().workers] == [True, False]
    assert queue.call("claim", "host:1", 60) is None
    operator.act("resume", worker_id="host:1")
    assert operator.said == ["Worker host:1 claims again."]
    assert queue.call("claim", "host:1", 60) is not None
    assert operator.log() == [
        ("", "Worker host:1", "Paused."),
        ("", "Worker host:1", "Resumed."),
    ]


def test_all_workers_are_paused_and_resumed(queue: Queue, operator: Operator) -> None:
    queue.beat("host:1")
    queue.ask()
    page = operator.act("pause", all="1")
    text = asked(page)
    assert "Pause all workers?" in text
    assert "host:1 · 0 of 1 running" in text
    assert not queue.look().paused
    operator.confirm(page)
    assert queue.look().paused
    assert queue.call("claim", "host:1", 60) is None
    operator.act("pause", worker_id="host:1")
    operator.act("resume", worker_id="host:1")
    assert operator.said == ["Worker host:1 is resumed, but all workers are paused."]
    operator.act("pause", worker_id="host:1")
    operator.act("resume", all="1")
    assert operator.said == [
        "Resumed: the workers claim again.",
        "1 worker is still paused by itself.",
    ]
    assert not queue.look().paused
    assert operator.log()[0] == ("", "The queue", "Paused.")
    assert operator.log()[-1] == ("", "The queue", "Resumed.")


def test_a_worker_is_drained_and_taken_back(queue: Queue, operator: Operator) -> None:
    queue.beat("host:1", 2)
    queue.ask()
    queue.run()
    page = operator.act("drain", worker_id="host:1")
    text = asked(page)
    assert "Drain worker host:1?" in text
    assert "1 response that is being answered goes on to its end." in text
    assert "No other worker serves" in text
    assert queue.look().workers[0].orders == Orders()
    operator.confirm(page)
    assert operator.said == ["Worker host:1 drains: it finishes 1 response and claims nothing new."]
    assert queue.look().workers[0].state is WorkerState.DRAINING
    queue.beat("host:2")
    assert "No other worker serves" not in asked(operator.act("drain", worker_id="host:1"))
    operator.act("undrain", worker_id="host:1")
    assert operator.said == ["Worker host:1 serves again."]
    assert queue.look().workers[0].state is WorkerState.READY
    assert operator.log() == [
        ("", "Worker host:1", "Ordered to drain."),
        ("", "Worker host:1", "Ordered to serve again."),
    ]


def test_a_worker_that_ends_by_itself_is_not_taken_back(
    memory_queue: Queue, operator: Operator
) -> None:
    memory_queue.call("heartbeat", WorkerBeat("host:1", 1, WorkerState.DRAINING, 600))
    operator.act("undrain", worker_id="host:1")
    assert operator.said == ["Worker host:1 is ending by itself; it serves no more."]


def test_a_capacity_is_changed_live(queue: Queue, operator: Operator) -> None:
    queue.beat("host:1", 2, rows=4)
    for _ in range(3):
        queue.ask()
    queue.run()
    queue.run()
    operator.act("capacity", worker_id="host:1", **{"capacity:host:1": "1"})
    assert operator.said == [
        "Worker host:1 runs up to 1 response at once.",
        "2 responses that are being answered go on to their ends.",
    ]
    assert queue.look().workers[0].capacity == 1
    operator.act("capacity", worker_id="host:1", **{"capacity:host:1": " 4 "})
    assert operator.said == ["Worker host:1 runs up to 4 responses at once."]
    assert queue.beat("host:1", 4, rows=4) == Orders(4)
    operator.act("capacity", worker_id="host:1", **{"capacity:host:1": "0"})
    assert queue.look().workers[0].capacity == 0
    assert [entry[1:] for entry in operator.log()] == [
        ("Worker host:1", "Ordered to run up to 1 at once."),
        ("Worker host:1", "Ordered to run up to 4 at once."),
        ("Worker host:1", "Ordered to run up to 0 at once."),
    ]


def test_a_capacity_that_is_none(memory_queue: Queue, operator: Operator) -> None:
    memory_queue.beat("host:1", 2, rows=4)
    for given in ("5", "-1", "", "1.5", "two", "1e1", "9" * 500, "²", "1_0", None):
        fields = {} if given is None else {"capacity:host:1": given}
        operator.act("capacity", worker_id="host:1", **fields)
        (said,) = operator.said
        assert said.endswith("is not allowed: worker host:1 runs 0 to 4 responses at once.")
        assert len(said) < 200
    assert memory_queue.look().workers[0].orders == Orders()
    assert operator.log() == []


def test_the_bound_of_a_worker_that_loads_is_its_own(
    memory_queue: Queue, operator: Operator
) -> None:
    memory_queue.beat("host:1", 2)  # its rows are not known yet
    operator.act("capacity", worker_id="host:1", **{"capacity:host:1": "3"})
    assert "runs 0 to 2 responses" in operator.said[0]
    operator.act("capacity", worker_id="host:1", **{"capacity:host:1": "1"})
    assert memory_queue.look().workers[0].capacity == 1


@pytest.mark.parametrize("name", ["pause", "resume", "drain", "undrain", "capacity"])
def test_a_worker_that_is_gone(queue: Queue, operator: Operator, name: str) -> None:
    queue.beat("host:1", rows=4)
    for worker_id in ("host:2", "\x00", "<b>x</b>", "w" * 9000):
        operator.act(name, worker_id=worker_id, confirmed="1")
        (said,) = operator.said
        assert said.startswith("There is no worker ")
        assert len(said) < 150
    operator.act(name, confirmed="1")
    assert operator.said == ["Nothing was done: the form does not say which worker."]
    if name in ("pause", "resume"):
        operator.act(name, worker_id="host:1", all="1", confirmed="1")
        assert operator.said == ["Nothing was done: the form does not say which worker."]
    assert not queue.look().paused
    assert not queue.look().workers[0].paused
    assert queue.look().workers[0].orders == Orders()
    assert operator.log() == []


# --- the doors ---


def test_the_queue_is_closed_and_reopened(queue: Queue, operator: Operator) -> None:
    queue.beat()
    queue.ask()
    words = "We move house.\r\nBack at noon, für alle. <3"
    page = operator.act("close", close="1", closed_message=f"  {words} ")
    text = asked(page)
    assert "Close the queue to new prompts?" in text
    assert "People are told: “We move house. Back at noon, für alle. <3”" in text
    assert "1 response that is open goes on." in text
    assert "<3”" not in page.content.decode()
    assert queue.look().closed is None
    operator.confirm(page)
    told = words.replace("\r", "")
    assert queue.look().closed == told
    assert operator.said == [f"The queue is closed to new prompts. People are told: “{told}”"]
    with pytest.raises(QueueClosed, match="We move house"):
        queue.ask()
    page = operator.act("close", close="1", closed_message="Another day.")
    assert "It is closed already; this takes the place of: “We move house." in asked(page)
    operator.act("reopen", reopen="1")
    assert operator.said == ["The queue is open again."]
    assert queue.look().closed is None
    operator.act("reopen", reopen="1")
    assert operator.said == ["The queue is open."]
    assert operator.log() == [
        ("", "The queue", f"Closed to new prompts: {told}"),
        ("", "The queue", "Reopened."),
    ]


def test_a_message_that_cannot_be_told(queue: Queue, operator: Operator) -> None:
    empty = "Write what people are told while the queue is closed."
    for message, said in (
        ("", empty),
        (" \r\n ", empty),
        (
            "x" * (CLOSED_MESSAGE_CHARS + 1),
            "The message has 301 characters; at most 300 are allowed.",
        ),
        ("a\x00b", "The message has a character that no text may have."),
    ):
        for confirmed in ({}, {"confirmed": "1"}):
            operator.act("close", close="1", closed_message=message, **confirmed)
            assert operator.said == [said]
    assert queue.look().closed is None
    assert operator.log() == []


# --- what is not told ---


def test_nothing_says_what_people_wrote(memory_queue: Queue) -> None:
    """For somebody without `view_text`: not the pages, not the messages, not the log."""
    memory_queue.beat(rows=2)
    staff = Operator(*OPERATOR)
    running, waiting = memory_queue.ask("user:1"), memory_queue.ask("user:2")
    memory_queue.run()
    pages = []
    forms = {**everything(waiting), "cancel": {"selection": "selected"}}
    for name, fields in forms.items():
        chosen = {"selected": [running, waiting]} if name == "cancel" else {}
        page = staff.act(name, **fields, **chosen)
        pages.append(page)
        if page.status_code == 200:
            staff.confirm(page)
        assert staff.said
        assert SECRET not in " ".join(staff.said)
    history = f"/admin/streaming/response/{running}/history/"
    pages += [staff.get(address) for address in (QUEUE, "/admin/", history)]
    assert "Cancelled in the live queue." in pages[-1].content.decode()
    assert all(SECRET not in page.content.decode() for page in pages)
    assert len(staff.log()) == 9
    assert SECRET not in str(staff.log())


def test_the_index_links_only_to_what_has_a_page(memory_queue: Queue, operator: Operator) -> None:
    memory_queue.beat()
    response_id = memory_queue.ask()
    operator.act("move", front=response_id)
    operator.act("pause", worker_id="host:1")
    index = operator.get("/admin/").content.decode()
    assert f'href="/admin/streaming/response/{response_id}/change/"' in index
    assert "Worker host:1" in index
    assert not re.search(r"<a [^>]*>Worker host:1", index)


def test_each_reads_their_own_language_and_all_the_same_log(memory_queue: Queue) -> None:
    memory_queue.beat()
    response_id = memory_queue.ask()
    operator = Operator(*OPERATOR, headers={"accept-language": "ja"})
    assert "すべてのワーカーを一時停止しますか?" in asked(operator.act("pause", all="1"))
    operator.act("cancel", response_id=response_id, confirmed="1")
    assert operator.said == [f"回答 {response_id[:8]} をキャンセルしました。"]
    assert operator.log() == [(response_id, response_id, "Cancelled in the live queue.")]


# --- the layer is away ---


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


def test_an_absent_layer_is_said(away: Queue, operator: Operator) -> None:
    for name, fields in everything(str(uuid.uuid4())).items():
        if name == "cancel":
            continue
        assert operator.act(name, **fields, confirmed="1").status_code == 302
        (said,) = operator.said
        assert said.startswith("The queue did not answer."), name
    uncertain = [entry[2] for entry in operator.log()]
    assert uncertain == [
        f"{message} (The queue did not answer; it may not have been done.)"
        for message in (
            "Moved to the front of the waiting list.",
            "Resumed.",
        )
    ]


def test_a_layer_that_goes_away_while_many_are_cancelled(
    memory_queue: Queue, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_queue.beat()
    ids = [memory_queue.ask(f"user:{n}") for n in range(30)]
    withdraw = memory_queue.layer.waiting_list.withdraw
    calls = 0

    async def fails(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise ConnectionError("away")
        return await withdraw(*args)

    monkeypatch.setattr(memory_queue.layer.waiting_list, "withdraw", fails)
    monkeypatch.setattr("streaming.admin.cancelling.AT_ONCE", 10)
    page = operator.act("cancel", selection="selected", selected=ids)
    operator.confirm(page)
    # Ten are ended in the record, which the reconciler tells the list; the rest was not tried.
    assert Response.objects.filter(status=Status.CANCELLED).count() == 10
    assert operator.said == [
        "10 responses are cancelled.",
        "The queue did not answer: 20 responses were not cancelled.",
    ]
    assert len(operator.log()) == 10
    operator.act("cancel", response_id=ids[0], confirmed="1")
    assert operator.said == [
        f"Response {ids[0][:8]} is cancelled.",
        "The queue did not answer: what is cancelled leaves it as soon as it does.",
    ]
    monkeypatch.setattr(memory_queue.layer.waiting_list, "flag", fails)
    running = memory_queue.run()
    operator.act("cancel", response_id=running, confirmed="1")
    assert operator.said == ["The queue did not answer: 1 response was not cancelled."]
    assert operator.log()[-1][2].endswith("(The queue did not answer; it may not have been done.)")


# --- with a worker and people ---


def test_what_starts_before_it_is_cancelled(
    memory_queue: Queue, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited when it was looked at, and runs when it is ended: it is asked to stop."""
    memory_queue.beat()
    ids = [memory_queue.ask(f"user:{n}") for n in range(3)]
    page = operator.act("cancel", selection="selected", selected=ids)
    end = endings.end
    runs = False

    async def late(*args: Any, **options: Any) -> Any:
        nonlocal runs
        if not runs:
            runs = True
            await database_sync_to_async(memory_queue.run)()
        return await end(*args, **options)

    monkeypatch.setattr(endings, "end", late)
    operator.confirm(page)
    assert operator.said == ["3 responses are cancelled."]
    assert memory_queue.call("place", ids[0]).state is State.RUNNING
    assert memory_queue.layer.waiting_list._open[ids[0]].cancelled
    assert memory_queue.status(ids[0]) == Status.IN_PROGRESS  # its worker writes the end


async def test_readers_are_told_and_the_next_one_starts(
    layer: Any, start_worker: Any, client: Any
) -> None:
    worker = await start_worker(FakeEngine(max_running=1))
    chat = await client()
    running = (await chat.ask("go", params={"max_tokens": 1000}))["response_id"]
    await chat.until("response.output_text.delta", response_id=running)
    waiting = [(await chat.ask("stop 2"))["response_id"] for _ in range(2)]
    staff = AsyncClient()
    operator = await database_sync_to_async(Operator)(*OPERATOR)
    await staff.aforce_login(operator.user)

    async def act(name: str, **fields: str) -> None:
        answer = await staff.post(f"{QUEUE}{name}/", {**fields, "confirmed": "1"})
        assert answer.status_code == 302

    await act("cancel", response_id=waiting[0])
    assert (await chat.until("response.done", response_id=waiting[0]))["status"] == "cancelled"
    await act("pause", all="1")
    await act("cancel", response_id=running)
    done = await chat.until("response.done", response_id=running)
    assert done["status"] == "cancelled"
    assert done["text"].startswith("w0 w1")
    assert (await Response.objects.aget(pk=running)).status == Status.CANCELLED

    async def idle() -> bool:
        (row,) = await layer.waiting_list.workers()
        return row.running == 0

    await eventually(idle)
    assert (await layer.waiting_list.place(waiting[1])).position == 1
    await act("resume", all="1")
    done = await chat.until("response.done", response_id=waiting[1])
    assert done["status"] == "completed"
    await act("close", close="1", closed_message="Back at noon.")
    await chat.send("response.create", input="stop 1")
    error = await chat.until("error")
    assert (error["code"], error["message"]) == ("queue_closed", "Back at noon.")
    await act("reopen", reopen="1")
    await act("capacity", worker_id=worker.worker_id, **{f"capacity:{worker.worker_id}": "0"})
    last = (await chat.ask("stop 1"))["response_id"]
    assert (await layer.waiting_list.place(last)).position == 1
    await act("capacity", worker_id=worker.worker_id, **{f"capacity:{worker.worker_id}": "1"})
    assert (await chat.until("response.done", response_id=last))["status"] == "completed"
    messages = [entry[2] async for entry in _entries(operator.user)]
    assert messages == [
        "Cancelled in the live queue.",
        "Paused.",
        "Cancelled in the live queue.",
        "Resumed.",
        "Closed to new prompts: Back at noon.",
        "Reopened.",
        "Ordered to run up to 0 at once.",
        "Ordered to run up to 1 at once.",
    ]


async def _entries(user: User) -> Any:
    async for e in LogEntry.objects.filter(user=user).order_by("pk"):
        yield (e.object_id, e.object_repr, e.change_message)
