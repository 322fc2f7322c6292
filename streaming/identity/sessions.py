"""Signed-in sessions: whose they are, on what device, when last used; and how they are ended.

Django's session store has no index by account: `AccountSession` is one. A row is written when the
middleware first sees a session signed in. What a session is worth, only the store says: a row whose
session is gone, or whose password has changed since, counts as none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.db.models import Window
from django.db.models.functions import RowNumber
from django.dispatch import Signal
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject, empty

from streaming.models import AccountSession

MIDDLEWARE = "streaming.accounts.middleware.session_use"
"""Without it no session is listed."""

MAX_LISTED = 100
"""Sessions shown of one account, those last used first."""

ended = Signal()
"""Sent after sessions were ended."""

_USE_NOTED_EVERY = timedelta(minutes=1)
_AGENT_CHARS = AccountSession._meta.get_field("agent").max_length or 0


def are_noted() -> bool:
    """Return whether sessions are written down, and can be listed and ended one by one."""
    return MIDDLEWARE in settings.MIDDLEWARE and hasattr(_store(), "exists")


def is_signed_in(request: HttpRequest) -> bool:
    """Return whether an answered request was an account's. One that did not ask for the account
    counts as none: the database is not read for it."""
    user = getattr(request, "user", None)
    is_unread = isinstance(user, SimpleLazyObject) and getattr(user, "_wrapped", empty) is empty
    return user is not None and not is_unread and user.is_authenticated


def note_use(request: HttpRequest) -> None:
    """Write that a signed-in request's session was used; once a minute at most."""
    key = request.session.session_key
    if key is None:
        return
    now = timezone.now()
    own = AccountSession.objects.filter(session_key=key)
    noted = own.values_list("user_id", "last_used_at").first()
    if noted is None or noted[0] != request.user.pk:
        _begin(request, key)
    elif now - noted[1] > _USE_NOTED_EVERY:
        own.update(last_used_at=now)


def _begin(request: HttpRequest, key: str) -> None:
    assert request.user.is_authenticated
    if not accounts_of([key]):
        return  # it was ended while the request was answered
    agent = request.headers.get("User-Agent", "")[:_AGENT_CHARS].replace("\0", "")
    AccountSession.objects.update_or_create(
        session_key=key, defaults={"user": request.user, "agent": agent}
    )
    valid(AccountSession.objects.filter(user=request.user))  # drops what has ended since


def of_user(user: User) -> list[AccountSession]:
    """Return an account's sessions that are still signed in, the last used first."""
    return valid(user.sessions.all())[:MAX_LISTED]


def signed_in(users: Collection[Any]) -> set[Any]:
    """Return those of the accounts, given by primary key, that are active and have a session that
    is still signed in. Of each, the MAX_LISTED sessions used last are looked at."""
    newest = Window(RowNumber(), partition_by="user", order_by="-last_used_at")
    rows = AccountSession.objects.filter(user__in=users).annotate(rank=newest)
    return {row.user_id for row in valid(rows.filter(rank__lte=MAX_LISTED))}


def valid(rows: Iterable[AccountSession]) -> list[AccountSession]:
    """Return those rows whose session is still signed in as their account; delete the others."""
    found = list(rows)
    accounts = accounts_of([row.session_key for row in found])
    dead = [row.pk for row in found if accounts.get(row.session_key) != str(row.user_id)]
    if dead:
        AccountSession.objects.filter(pk__in=dead).delete()
    return [row for row in found if row.pk not in set(dead)]


def end(row: AccountSession) -> None:
    """End a session: its browser is signed out, and its sockets are closed."""
    end_keys([row.session_key])


def end_all(user: User, but: str | None = None) -> int:
    """End all sessions of an account but the one with this key; return how many there were.

    Also those that were never noted, where the store is a table: it is read through.
    """
    unlisted = {key for key in _unlisted(user) if key != but}
    rows = user.sessions.exclude(session_key=but or "")
    return end_keys(unlisted | set(rows.values_list("session_key", flat=True)))


def end_keys(keys: Collection[str]) -> int:
    """End the sessions with these keys; return how many there were."""
    store = _store()
    for key in keys:
        store(key).delete()
    AccountSession.objects.filter(session_key__in=keys).delete()
    ended.send(AccountSession)
    return len(keys)


def _unlisted(user: User) -> Iterable[str]:
    """Return the keys of all sessions in which an account is signed in, as the table has them."""
    if (table := _table()) is None:
        return
    for row in table.objects.filter(expire_date__gt=timezone.now()).iterator(chunk_size=500):
        if row.get_decoded().get(auth.SESSION_KEY) == str(user.pk):
            yield row.session_key


def accounts_of(session_keys: Iterable[Any]) -> dict[str, str]:
    """Return the account's primary key by session key, as `channels.auth.get_user` decides it;
    sessions in which nobody is signed in are left out."""
    signed_in = {key: data for key, data in _read(session_keys) if auth.SESSION_KEY in data}
    model = auth.get_user_model()
    users = model._default_manager.filter(is_active=True).in_bulk(
        {model._meta.pk.to_python(data[auth.SESSION_KEY]) for data in signed_in.values()}
    )
    hashes = {str(pk): user.get_session_auth_hash() for pk, user in users.items()}
    return {
        key: data[auth.SESSION_KEY]
        for key, data in signed_in.items()
        if data.get(auth.BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS
        and constant_time_compare(
            data.get(auth.HASH_SESSION_KEY) or "", hashes.get(data[auth.SESSION_KEY], "-")
        )
    }


def _read(session_keys: Iterable[Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if (table := _table()) is None:  # kept elsewhere than in the database
        return [(key, _store()(key).load()) for key in session_keys]
    rows = table.objects.filter(expire_date__gt=timezone.now())
    return [(key, row.get_decoded()) for key, row in rows.in_bulk(list(session_keys)).items()]


def _store() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore


def _table() -> Any:
    store = _store()
    return store.get_model_class() if hasattr(store, "get_model_class") else None
