"""Operators are told: by web hooks and e-mail, once when a rule fires and once when it is over."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.core import mail
from django.utils import timezone

from streaming.alerts import sending
from streaming.alerts.watch import AlertWatch, send_due
from streaming.models import (
    AlertDuty,
    AlertMessage,
    AlertReceiver,
    AlertRule,
    Conversation,
    Message,
    Response,
)
from streaming.record import alerts
from streaming.waiting_list.interface import AdmissionLimits, Entry, WorkerBeat, WorkerState
from tests.integration.queue_actions.conftest import OPERATOR, Operator

pytestmark = pytest.mark.django_db(transaction=True)


class Hook:
    """A small server that takes web hooks: what it got, and the statuses that it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((dict(self.headers), body))
                self.send_response(hook.answers.pop(0) if hook.answers else 204)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def operator(layer: Any) -> Operator:
    return Operator(*OPERATOR)


def act(operator: Operator, name: str, **fields: Any) -> list[str]:
    operator.act(name, **fields)
    return operator.said


def watch() -> AlertWatch:
    """The watch of another process."""
    layer = get_channel_layer()
    assert layer is not None
    return AlertWatch(layer)


async def rule(kind: str, threshold: int, minutes: int = 5) -> None:
    await alerts.set_rule(kind, True, threshold, minutes, "boss")


async def again() -> None:
    """The time of the next attempt has come."""
    await AlertMessage.objects.filter(next_at__isnull=False).aupdate(next_at=timezone.now())


async def has_fired() -> None:
    """It has done so for as long as it must."""
    await AlertRule.objects.aupdate(firing_since=timezone.now() - alerts.FIRING)


async def test_a_long_wait_is_told_once_and_when_it_is_over(layer: Any, hook: Hook) -> None:
    await alerts.add_receiver("webhook", hook.url, "boss")
    await rule("wait", 0)
    await layer.waiting_list.heartbeat(WorkerBeat("w", 1, WorkerState.READY, 60))
    await layer.waiting_list.enqueue(Entry("r", "user:1", "c", "", 10), AdmissionLimits(10))
    one, other = watch(), watch()
    for _ in range(3):
        await asyncio.gather(one.round(), other.round())
    [fired] = hook.bodies
    assert (fired["rule"], fired["state"], fired["threshold"]) == ("wait", "firing", 0)
    assert fired["text"].startswith("The longest wait is 0 s, of 1")
    headers, body = hook.got[0]
    stamp, _, signed = headers[sending.SIGNATURE].partition(",v1=")
    secret = (await AlertReceiver.objects.aget()).secret
    text = stamp.removeprefix("t=").encode() + b"." + body
    assert signed == hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    assert (await AlertRule.objects.aget()).firing_since is not None
    await layer.waiting_list.withdraw("r", '{"type":"done"}')
    await one.round()
    assert len(hook.bodies) == 1  # a value around its threshold is not told every five seconds
    await has_fired()
    for _ in range(3):
        await asyncio.gather(one.round(), other.round())
    assert [each["state"] for each in hook.bodies] == ["firing", "resolved"]
    assert (await AlertRule.objects.aget()).firing_since is None


async def test_no_worker_and_a_queue_that_is_away(
    layer: Any, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alerts.add_receiver("webhook", hook.url, "boss")
    await rule("no_worker", 30)
    one = watch()
    await one.round()
    assert hook.got == []
    since = timezone.now() - timedelta(seconds=31)
    await AlertRule.objects.aupdate(unserved_since=since)

    async def away() -> Any:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(layer.waiting_list, "snapshot", away)
        await one.round()
    assert hook.bodies[0]["text"] == "The queue has not answered for 31 s."
    await layer.waiting_list.heartbeat(WorkerBeat("w", 1, WorkerState.LOADING, 60))
    await one.round()
    assert len(hook.got) == 1
    await layer.waiting_list.heartbeat(WorkerBeat("w", 1, WorkerState.READY, 60))
    await has_fired()
    await one.round()
    assert hook.bodies[1]["state"] == "resolved"
    assert (await AlertRule.objects.aget()).unserved_since is None


async def test_a_share_of_failures_needs_a_few_ends(layer: Any, hook: Hook) -> None:
    await alerts.add_receiver("webhook", hook.url, "boss")
    await rule("failures", 50)
    chat = await Conversation.objects.acreate(owner="user:1")
    prompt = await Message.objects.acreate(conversation=chat, role="user", content="secret words")

    async def ended(status: str, count: int, ago: float = 0) -> None:
        at = timezone.now() - timedelta(seconds=ago)
        for _ in range(count):
            await Response.objects.acreate(
                conversation=chat, prompt=prompt, owner="user:1", status=status, finished_at=at
            )

    one = watch()
    await ended("failed", 4)
    await ended("failed", 30, ago=301)
    await one.round()
    assert hook.got == []
    await ended("completed", 3)
    await one.round()
    assert hook.bodies[0]["text"] == "4 of 7 responses failed in the last 5 min."
    assert hook.bodies[0]["value"] == 57.1
    assert b"secret" not in hook.got[0][1]
    await alerts.set_rule("failures", False, 50, 5, "boss")
    await one.round()
    assert hook.bodies[1]["text"] == "The rule was switched off."


async def test_what_does_not_arrive_is_tried_again_and_given_up(layer: Any, hook: Hook) -> None:
    await alerts.add_receiver("webhook", hook.url, "boss")
    await rule("no_worker", 0)
    hook.answers = [500, 302, 200]
    one = watch()
    for expected in ("HTTP 500", "HTTP 302: redirects are not followed", ""):
        await one.round()
        message = await AlertMessage.objects.aget()
        assert message.error == expected
        await again()
    assert message.sent_at is not None
    assert message.attempts == 3
    assert len({body["id"] for body in hook.bodies}) == 1  # by which a receiver knows it
    await one.round()
    assert len(hook.got) == 3
    await AlertMessage.objects.aupdate(sent_at=None, attempts=0)
    hook.answers = [500] * 9
    for _ in range(9):
        await AlertMessage.objects.filter(attempts=0).aupdate(next_at=timezone.now())
        await again()
        await one.round()
    message = await AlertMessage.objects.aget()
    assert (message.attempts, message.next_at) == (len(alerts.DELAYS), None)


async def test_a_message_is_taken_by_one_process(layer: Any, hook: Hook) -> None:
    await alerts.add_receiver("webhook", hook.url, "boss")
    await rule("no_worker", 0)
    rows = await alerts.rules()
    await alerts.measured(rows[0], 1.0, True, {"text": "Now."})
    await alerts.measured(rows[0], 2.0, True, {"text": "Still."})
    await asyncio.gather(*(send_due() for _ in range(5)))
    assert [body["text"] for body in hook.bodies] == ["Now."]


async def test_the_duty_goes_to_another_when_its_holder_is_gone(layer: Any) -> None:
    assert await alerts.take_duty("one", 30)
    assert await alerts.take_duty("one", 30)
    assert not await alerts.take_duty("two", 30)
    await AlertDuty.objects.aupdate(until=timezone.now() - timedelta(seconds=1))
    assert await alerts.take_duty("two", 30)
    assert not await alerts.take_duty("one", 30)


async def test_what_was_sent_long_ago_is_forgotten() -> None:
    """But not what is still to be sent."""
    receiver = await AlertReceiver.objects.acreate(kind="email", address="a@example.org")
    for days, next_at in ((91, None), (91, timezone.now()), (89, None)):
        row = await AlertMessage.objects.acreate(
            receiver=receiver, state="test", body={}, next_at=next_at
        )
        long_ago = timezone.now() - timedelta(days=days)
        await AlertMessage.objects.filter(pk=row.pk).aupdate(created_at=long_ago)
    assert await alerts.write_test(receiver.pk, {})
    assert await AlertMessage.objects.acount() == 3


async def test_without_rules_nothing_is_measured(
    layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer.waiting_list, "snapshot", None)
    await watch().round()
    assert not await AlertDuty.objects.aexists()


def test_receivers_are_set_and_tested_in_the_console(
    operator: Operator, hook: Hook, settings: Any
) -> None:
    said = act(operator, "add-receiver", kind="webhook", address=hook.url)
    row = AlertReceiver.objects.get()
    assert said[1] == f"The secret that signs them, shown this once: {row.secret}"
    assert act(operator, "add-receiver", kind="webhook", address=hook.url) == [
        "They are told already."
    ]
    assert act(operator, "test-receiver", receiver=str(row.pk)) == ["The test has arrived."]
    assert hook.bodies[0]["state"] == "test"
    hook.answers = [403]
    assert act(operator, "test-receiver", receiver=str(row.pk)) == [
        "The test did not arrive: HTTP 403."
    ]
    page = operator.get("/admin/streaming/response/alerts/").content.decode()
    assert "HTTP 403" in page
    assert row.secret not in page
    act(operator, "remove-receiver", receiver=str(row.pk))
    assert act(operator, "test-receiver", receiver=str(row.pk)) == ["It is gone."]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    act(operator, "add-receiver", kind="email", address="ops@example.org")
    pk = str(AlertReceiver.objects.get().pk)
    assert act(operator, "test-receiver", receiver=pk) == ["The test has arrived."]
    assert mail.outbox[0].to == ["ops@example.org"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    assert act(operator, "test-receiver", receiver=pk) == [
        "The test did not arrive: no mail is configured (EMAIL_URL)."
    ]
    page = operator.get("/admin/streaming/response/alerts/").content.decode()
    assert "No mail is configured" in page
    assert row.secret not in str(operator.log())


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("webhook", "ftp://example.org/"),
        ("webhook", "https://"),
        ("webhook", "https://me:secret@example.org/"),
        ("webhook", "https://example.org:99999/"),
        ("webhook", "https://exa mple.org/\n"),
        ("webhook", "x" * 501),
        ("email", "nobody"),
        ("email", "a@b.org, c@d.org"),
        ("pigeon", "a@b.org"),
    ],
)
def test_an_address_that_is_none_is_refused(operator: Operator, kind: str, address: str) -> None:
    [said] = act(operator, "add-receiver", kind=kind, address=address)
    assert "is not allowed" in said or "does not say how" in said
    assert not AlertReceiver.objects.exists()


def test_rules_are_set_in_the_console(operator: Operator) -> None:
    assert act(operator, "set-alert", rule="wait", threshold="90", on="1") == ["The rule is on."]
    assert act(operator, "set-alert", rule="failures", threshold="100", minutes="5", on="1") == [
        "“100” is not allowed: “More fail than” is 0 to 99."
    ]
    assert "1 to 1440" in act(operator, "set-alert", rule="failures", threshold="9", minutes="0")[0]
    assert "which rule" in act(operator, "set-alert", rule="moon", threshold="9")[0]
    assert act(operator, "set-alert", rule="wait", threshold="90") == ["The rule is off."]
    row = AlertRule.objects.get()
    assert (row.kind, row.threshold, row.is_on) == ("wait", 90, False)
    assert [message for _, _, message in operator.log()] == [
        "Alert wait is on: threshold 90, 5 min.",
        "Alert wait is off: threshold 90, 5 min.",
    ]
