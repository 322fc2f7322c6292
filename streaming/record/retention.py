"""Deletes what is old from the record: conversations nobody has touched, sessions that expired
(with what is noted of their browsers).

A conversation is as old as its last prompt. One with an open response is never deleted, however
old. Its messages, responses and link go with it; nothing else does: accounts and API keys stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib import import_module

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from streaming.models import OPEN, AccountSession, Conversation, Message, Response
from streaming.record import file_collection

_SLACK = timedelta(days=1)
"""The use of a session is noted once a minute, and clocks differ."""

BATCH = 100
"""Maximum conversations deleted in one transaction: others write between two."""

Counts = Counter[str]
"""Deleted rows by table."""


TABLES = tuple(model._meta.db_table for model in (Conversation, Message, Response, Session))


def prune(
    before: datetime, api_before: datetime | None = None, *, batch: int = BATCH
) -> Iterator[Counts]:
    """Delete conversations last used before a moment, those of API requests before another one,
    files that nothing names, and expired sessions; yield what each transaction deleted."""
    old = old_conversations(before, api_before)
    while ids := list(old.order_by("updated_at").values_list("pk", flat=True)[:batch]):
        with transaction.atomic():
            # Locked, then asked again: somebody may have come back to one of them since.
            locked = Conversation.objects.select_for_update().filter(pk__in=ids)
            chosen = list(locked.order_by("pk").values_list("pk", flat=True))
            still = list(old.filter(pk__in=chosen).values_list("pk", flat=True))
            _, rows = Conversation.objects.filter(pk__in=still).delete()
        yield Counter({apps.get_model(label)._meta.db_table: n for label, n in rows.items()})
    for _ in file_collection.collect_all():
        yield Counter()
    count = expired_sessions().count()
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    lapsed_sessions().delete()
    yield Counter({Session._meta.db_table: count})


def count(before: datetime, api_before: datetime | None = None) -> Counts:
    """Return what `prune` would delete."""
    old = old_conversations(before, api_before)
    return Counter(
        {
            Conversation._meta.db_table: old.count(),
            Message._meta.db_table: Message.objects.filter(conversation__in=old).count(),
            Response._meta.db_table: Response.objects.filter(conversation__in=old).count(),
            Session._meta.db_table: expired_sessions().count(),
        }
    )


def old_conversations(
    before: datetime, api_before: datetime | None = None
) -> QuerySet[Conversation]:
    """Return the conversations last used before a moment, without an open response."""
    is_old = Q(updated_at__lt=before)
    if api_before is not None:
        is_old |= Q(source=Conversation.Source.API, updated_at__lt=api_before)
    is_open = Response.objects.filter(conversation=OuterRef("pk"), status__in=OPEN)
    return Conversation.objects.filter(is_old).exclude(Exists(is_open))


def lapsed_sessions() -> QuerySet[AccountSession]:
    """Return what is noted of signed-in sessions that have expired, wherever these are kept: none
    is used later than it expires."""
    age = timedelta(seconds=settings.SESSION_COOKIE_AGE) + _SLACK
    return AccountSession.objects.filter(last_used_at__lt=timezone.now() - age)


def expired_sessions() -> QuerySet[Session]:
    """Return what Django's `clearsessions` deletes."""
    return Session.objects.filter(expire_date__lt=timezone.now())
