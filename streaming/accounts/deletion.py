"""Deleting an account with all that is its own.

The order leaves nothing behind, wherever it dies: keys and other sessions end first, so that
nothing new comes in by them; then conversations go, and what is open of them is cancelled; the rest
goes in one transaction. Until that one the account can sign in, and its owner can ask again. What a
socket writes meanwhile goes with the account (`forget_in_transaction`).
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db import models, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Cast

from streaming.identity import keys, sessions
from streaming.identity.owners import owner_of_user
from streaming.lifecycle.forgetting import forget
from streaming.models import Conversation


class LastSuperuserError(Exception):
    """The account is the only one that may administer the site."""


def require_another_superuser(user: User) -> None:
    """Raise LastSuperuserError if the site would have no active superuser without this account."""
    if user.is_superuser and not _superusers().exclude(pk=user.pk).exists():
        raise LastSuperuserError


def delete_account(user: User, session_key: str | None = None) -> None:
    """Delete an account and all that is its own. Not within a transaction.

    `session_key`: the session that stays until the end, in which the owner can ask again. May be
    repeated after a failure. Raises LastSuperuserError, and DatabaseError while the database is
    away.
    """
    require_another_superuser(user)
    for key in user.api_keys.filter(revoked_at=None):
        keys.revoke(key)
    sessions.end_all(user, but=session_key)
    owner = owner_of_user(user)
    forget(Conversation.objects.filter(Q(user=user) | Q(owner=owner)))
    with transaction.atomic():
        if user.is_superuser:  # two who leave at once: one waits here, and is then the last
            list(_superusers().select_for_update().values_list("pk", flat=True))
            require_another_superuser(user)
        _anonymize_log(user)
        _anonymize_orders(user)
        for rows in _owned(owner):
            rows.delete()
        last = set(user.sessions.values_list("session_key", flat=True)) | {session_key or ""}
        sessions.end_keys(last)
        user.delete()  # and all that refers to it


def _anonymize_orders(user: User) -> None:
    """Take an operator's name out of what was set for all, which stays as it is set."""
    for model in apps.get_app_config("streaming").get_models():
        for field in model._meta.concrete_fields:
            if field.name.endswith("_by") and isinstance(field, models.CharField):
                of_user = {field.name: user.get_username()}
                model._default_manager.filter(**of_user).update(**{field.name: ""})


def _superusers() -> QuerySet[User]:
    return User.objects.filter(is_superuser=True, is_active=True).order_by("pk")


def _owned(owner: str) -> list[QuerySet[Any]]:
    """Return the rows of all tables of ours that name their owner, whether or not they refer to the
    account."""
    found = []
    for model in apps.get_app_config("streaming").get_models():
        try:
            field = model._meta.get_field("owner")
        except FieldDoesNotExist:
            continue
        if isinstance(field, models.CharField):
            found.append(model._default_manager.filter(owner=owner))
    return found


def _anonymize_log(user: User) -> None:
    """Take the account's name, and those of its keys, out of what operators did with them: the log
    keeps who did what, and when."""
    for model, ids in (
        (User, [str(user.pk)]),
        (
            user.api_keys.model,
            user.api_keys.annotate(as_text=Cast("pk", models.CharField())).values("as_text"),
        ),
    ):
        about = ContentType.objects.get_for_model(model)
        LogEntry.objects.filter(content_type=about, object_id__in=ids).update(object_repr="")
