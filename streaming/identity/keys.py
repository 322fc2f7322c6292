"""API keys: made once, shown once, stored as a digest, revoked for good.

A key is 256 random bits, so that a plain SHA-256 of it tells nobody anything.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta

from django.contrib.auth.models import User
from django.dispatch import Signal
from django.utils import timezone

from streaming.models import ApiKey

PREFIX = "cs-"

_MEANT = re.compile(rf"[\W_]{{0,20}}(bearer\W{{1,20}})?{PREFIX}", re.IGNORECASE)

revoked = Signal()
"""A key has been revoked."""

_USE_NOTED_EVERY = timedelta(minutes=1)


def create(user: User, name: str) -> tuple[ApiKey, str]:
    """A new key, and its secret: the only time that anybody sees it."""
    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        user=user, name=name, start=secret[: len(PREFIX) + 5], digest=digest(secret)
    )
    return key, secret


def is_ours(secret: str) -> bool:
    """Whether a secret is meant to be one of our keys, even one that was mangled (in quotes, in
    capitals, behind a second `Bearer`): such a one opens its account or nothing. Programs send many
    other words where they have none."""
    return _MEANT.match(secret) is not None


def revoke(key: ApiKey) -> None:
    """From the next request on it opens nothing. Revoking twice keeps the first moment."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    revoked.send(ApiKey)


def user_of(secret: str) -> User | None:
    """The active account a secret belongs to; None if it is unknown or revoked."""
    key = (
        ApiKey.objects.select_related("user")
        .filter(digest=digest(secret), revoked_at=None, user__is_active=True)
        .first()
    )
    if key is None:
        return None
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > _USE_NOTED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    user: User = key.user
    return user


def digest(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
