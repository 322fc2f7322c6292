"""The live queue as the server renders it: whole, searched, bounded, and for whom."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth.models import Permission, User
from django.test import Client

from streaming.live_queue.overview import LiveQueue
from streaming.waiting_list.interface import AdmissionLimits, Entry, WorkerBeat, WorkerState

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("layer")]

QUEUE = "/admin/streaming/response/queue/"
CANCEL = {"cancel"}
CONTROL = {"move", "pause", "resume", "drain", "undrain", "capacity", "close", "reopen"}


def look(*permissions: str, **query: str) -> str:
    """The page for a member of the staff with these permissions, beside that to watch."""
    user = User.objects.create_user(f"staff-{uuid.uuid4().hex[:6]}", is_staff=True)
    codes = ("view_queue", *permissions)
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client = Client()
    client.force_login(user)
    page = client.get(QUEUE, query)
    assert page.status_code == 200
    return page.content.decode()


def call(operation: str, *args: Any) -> Any:
    layer: Any = get_channel_layer()
    return async_to_sync(getattr(layer.waiting_list, operation))(*args)


def beat(**details: Any) -> None:
    call("heartbeat", WorkerBeat("gpu:1:abc", 1, WorkerState.READY, 600, details))


def ask(owner: str = "user:1", conversation_id: str = "") -> str:
    response_id = str(uuid.uuid4())
    entry = Entry(response_id, owner, conversation_id or str(uuid.uuid4()), max_tokens=40)
    call("enqueue", entry, AdmissionLimits(10_000))
    return response_id


def rows(page: str, table: str) -> list[str]:
    body = re.search(rf'<tbody id="{table}">(.*?)</tbody>', page, re.S)
    assert body
    return re.findall(r'<tr data-key="([^"]*)"', body[1])


def actions(page: str) -> set[str]:
    return set(re.findall(r'formaction="[^"]*/queue/(\w+)/"', page))


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ((), set()),
        (("cancel_response",), CANCEL),
        (("control_queue",), CONTROL),
        (("cancel_response", "control_queue"), CANCEL | CONTROL),
    ],
    ids=["viewer", "cancel", "control", "operator"],
)
def test_who_may_has_the_controls(permissions: tuple[str, ...], expected: set[str]) -> None:
    beat()
    ask()
    call("claim", "gpu:1:abc", 600)
    ask()
    page = look(*permissions)
    assert actions(page) == expected
    assert ('name="selected"' in page) is bool(expected)
    assert ('type="number"' in page) is ("capacity" in expected)
    assert ('id="queue-form"' in page) is bool(expected)


def test_links_are_for_those_who_may_follow_them() -> None:
    beat()
    response_id = ask()
    assert f"/response/{response_id}/change/" not in look()
    assert f"/response/{response_id}/change/" in look("view_response")
    conversation = re.compile(r"/conversation/[0-9a-f-]{36}/change/")
    assert not conversation.search(look("view_response"))
    assert conversation.search(look("view_conversation"))


def test_the_rows_say_all_that_is_known() -> None:
    beat(model="small", device="cpu", dtype="int8", rows=4, kv_bytes=3 << 29, kv_bytes_used=5 << 20)
    first, held, second = ask(conversation_id="talk"), ask(conversation_id="talk"), ask()
    lease = call("claim", "gpu:1:abc", 600).lease
    assert lease.response_id == first
    call("append", lease, '{"type":"response.in_progress","prompt_tokens":123}', [])
    call("append", lease, '{"type":"delta"}', [7, 8, 9])
    page = look()
    assert rows(page, "workers") == ["gpu:1:abc"]
    assert rows(page, "running") == [first]
    assert rows(page, "waiting") == [second, held]
    for text in ("small", "cpu · int8", "4 rows", "1 of 1", "5.0 MiB of 1.5 GiB", "0 s ago"):
        assert f">{text}<" in page, text
    for text in ("123", "3 / 40", "held"):
        assert f">{text}<" in page, text
    assert '<dd id="count-held">1</dd>' in page
    assert '<dd id="count-waiting">1</dd>' in page


def test_a_search_needs_all_words_and_is_written_back_safely() -> None:
    beat(model="small")
    one, other = ask(owner="visitor:Zoe"), ask(owner="user:7")
    assert rows(look(q="ZOE waiting"), "waiting") == [one]
    assert rows(look(q=f" {other[:8]} "), "waiting") == [other]
    page = look(q="small")
    assert (rows(page, "workers"), rows(page, "waiting")) == (["gpu:1:abc"], [])
    assert ">1 of 3<" in page
    assert '<dd id="count-waiting">2</dd>' in page
    page = look(q='"><script>\x00')
    assert "&quot;&gt;&lt;script&gt;" in page
    assert '"><script>' not in page.split("<body")[1].replace('"></script>', "")
    assert ">0 of 3<" in page


def test_five_hundred_waiting_rows_are_the_most() -> None:
    beat()
    ids = [ask(owner=f"user:{number}") for number in range(503)]
    page = look("cancel_response")
    assert rows(page, "waiting") == ids[:500]
    assert "3 more are not shown" in page
    assert rows(look(q=ids[-1]), "waiting") == ids[-1:]


def test_banners() -> None:
    page = look("control_queue")
    assert re.search(r'id="paused" class="cs-banner" hidden', page)
    assert re.search(r'id="closed" class="cs-banner" hidden', page)
    assert re.search(r'id="reopen-queue"[^>]* hidden', page)
    call("pause", None)
    call("close", "Back <soon>.")
    page = look("control_queue")
    assert not re.search(r'class="cs-banner" hidden', page)
    assert "Back &lt;soon&gt;." in page
    assert re.search(r'id="pause-all"[^>]* hidden', page)
    assert not re.search(r'id="reopen-queue"[^>]* hidden', page)


def test_a_layer_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: LiveQueue) -> dict[str, Any]:
        raise ConnectionError("away")

    monkeypatch.setattr(LiveQueue, "look", away)
    page = look()
    assert "The queue could not be read" in page
    assert 'data-state="lost"' in page
