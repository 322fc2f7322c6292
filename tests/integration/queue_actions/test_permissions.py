"""Who may do what in the live queue, and from where."""

from __future__ import annotations

import html
import itertools

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from streaming.waiting_list.interface import (
    Orders,
)
from tests.integration.queue_actions.conftest import (
    NAMES,
    OPERATOR,
    QUEUE,
    Operator,
    Queue,
    everything,
)

pytestmark = pytest.mark.django_db(transaction=True)


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
