"""API keys: created and shown once, stored as a digest, revoked for good.

A key is 256 random bits, so that it cannot be guessed from its plain SHA-256.
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
"""Sent after a key was revoked."""

_USE_NOTED_EVERY = timedelta(minutes=1)


def create(user: User, name: str) -> tuple[ApiKey, str]:
    """Create a key and return it with its secret, which is stored nowhere."""
    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        user=user, name=name, start=secret[: len(PREFIX) + 5], digest=digest(secret)
    )
    return key, secret


def is_ours(secret: str) -> bool:
    """Return whether a secret is meant to be one of our keys.

    Also a damaged one (in quotes, in capitals, behind a second `Bearer`): its sender is refused,
    and never served as a visitor. Programs without a key send all sorts of other words.
    """
    return _MEANT.match(secret) is not None


def revoke(key: ApiKey) -> None:
    """Revoke a key from the next request on. A second call keeps the first one's time."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    revoked.send(ApiKey)


def user_of(secret: str) -> User | None:
    """Return the active account that a secret belongs to; None for an unknown or revoked one."""
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
    """Return what is stored of a secret: its SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()
