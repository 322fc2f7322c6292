"""`manage.py prune`: what it deletes, what it keeps, and that it says so."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.utils import timezone

from streaming.identity import keys
from streaming.models import AccountSession, ApiKey, Conversation, Message, Response, Status
from streaming.record import retention

pytestmark = pytest.mark.django_db(transaction=True)


def conversation(
    days: float, *, status: Status = Status.COMPLETED, source: str = "chat", turns: int = 1
) -> Conversation:
    """One last used so many days ago; each turn is a prompt, its answer, and a response."""
    made = Conversation.objects.create(owner="user:1", source=source)
    previous = None
    for _ in range(turns):
        prompt = Message.objects.create(
            conversation=made, role="user", content="?", parent=previous and previous.message
        )
        answer = Message.objects.create(
            conversation=made, role="assistant", content="!", parent=prompt
        )
        previous = Response.objects.create(
            conversation=made,
            prompt=prompt,
            message=answer,
            previous=previous,
            owner="user:1",
            status=status,
        )
    moment = timezone.now() - timedelta(days=days)
    Conversation.objects.filter(pk=made.pk).update(updated_at=moment)
    return made


def prune(*args: str) -> dict[str, int]:
    """What the command says that it deleted, by table."""
    output = io.StringIO()
    call_command("prune", *args, stdout=output)
    lines = [line.split() for line in output.getvalue().splitlines()]
    return {words[-1].rstrip("."): int(words[-3]) for words in lines}


def left() -> set[Any]:
    return set(Conversation.objects.values_list("pk", flat=True))


def test_the_old_goes_with_all_that_belongs_to_it() -> None:
    conversation(91, turns=3)
    young = conversation(89)
    assert prune("--older-than", "90d") == {
        "streaming_conversation": 1,
        "streaming_message": 6,
        "streaming_response": 3,
        "django_session": 0,
    }
    assert left() == {young.pk}
    assert Message.objects.count() == 2
    assert Response.objects.count() == 1


def test_a_dry_run_says_the_same_and_deletes_nothing() -> None:
    for _ in range(3):
        conversation(91, turns=2)
    would = prune("--older-than", "90d", "--dry-run")
    assert len(left()) == 3
    assert prune("--older-than", "90d") == would
    assert would["streaming_response"] == 6


@pytest.mark.parametrize("status", [Status.ACCEPTING, Status.QUEUED, Status.IN_PROGRESS])
def test_an_open_response_keeps_its_conversation(status: Status) -> None:
    kept = conversation(1000, status=status)
    assert prune("--older-than", "1d")["streaming_conversation"] == 0
    assert left() == {kept.pk}


def test_api_conversations_may_go_earlier() -> None:
    conversation(8, source="api")
    old_chat, young_api = conversation(8), conversation(6, source="api")
    assert prune("--api-older-than", "7d")["streaming_conversation"] == 1
    assert left() == {old_chat.pk, young_api.pk}


def test_more_than_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        conversation(100)
    batches = list(retention.prune(timezone.now() - timedelta(days=90), batch=2))
    assert [batch["streaming_conversation"] for batch in batches] == [2, 2, 1, 0]


def test_expired_sessions_go_and_accounts_and_keys_stay() -> None:
    for days in (-1, 1):
        session = SessionStore()
        session.set_expiry(timezone.now() + timedelta(days=days))
        session.save()
    keys.create(User.objects.create_user("ada"), "laptop")
    assert prune("--older-than", "1d")["django_session"] == 1
    assert Session.objects.count() == 1
    assert ApiKey.objects.count() == User.objects.count() == 1


def test_what_is_noted_of_a_session_goes_when_it_has_expired(settings: Any) -> None:
    """Also of an account that never comes back."""
    ada = User.objects.create_user("ada")
    for key, days in (("old", 12), ("used", 9)):
        used = timezone.now() - timedelta(days=days)
        AccountSession.objects.create(user=ada, session_key=key, agent="Firefox", last_used_at=used)
    settings.SESSION_COOKIE_AGE = 10 * 86_400
    prune("--older-than", "1d")
    assert [row.session_key for row in AccountSession.objects.all()] == ["used"]


def test_the_setting_is_the_default(settings: Any) -> None:
    settings.CHATSTREAM = {**settings.CHATSTREAM, "retention_days": "30"}
    conversation(31)
    kept = conversation(29)
    assert prune()["streaming_conversation"] == 1
    assert left() == {kept.pk}


def test_without_an_age_nothing_is_deleted() -> None:
    conversation(10_000)
    with pytest.raises(CommandError, match="--older-than 90d"):
        prune()
    assert len(left()) == 1


@pytest.mark.parametrize("age", ["90", "d", "-1d", "0d", "1y", "90 days", "1e3d", "999999d"])
def test_a_wrong_age_is_named(age: str) -> None:
    with pytest.raises(CommandError, match="is no age"):
        prune(f"--older-than={age}")
