"""Visitors: people without an account, each with a random id that their client keeps, signed by us.

A browser keeps it in a cookie, a program as the `session_token` of its greeting. Nothing is stored
for a visitor without conversations, so that crawlers leave no rows. Browsers of versions without
the cookie have the id in their session.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.core.checks import CheckMessage, Error
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from streaming.models import MergedVisitor

COOKIE = "visitor"
SESSION_KEY = "visitor"

_SALT = "streaming.visitor"
_KEPT_SECONDS = 60 * 60 * 24 * 365
_RENEWED_SECONDS = 60 * 60 * 24 * 30
"""A cookie that is older is set again, so that those who return keep their id."""

_MERGED_KEPT = timedelta(days=1)
"""How long a merged visitor is remembered: far longer than a socket goes without a check."""

_META = "streaming.visitor"


def new_id() -> str:
    """Return a new visitor's id: 128 random bits."""
    return secrets.token_urlsafe(16)


def token_of(visitor: str) -> str:
    """Return the signed token that makes a later client the same visitor."""
    return signing.dumps(visitor, salt=_SALT)


def of_token(token: str, max_age: int = _KEPT_SECONDS) -> str | None:
    """Return the visitor of a token; None if forged, damaged, or older than `max_age` seconds."""
    try:
        return str(signing.loads(token, salt=_SALT, max_age=max_age))
    except signing.BadSignature:
        return None


def of_browser(session: Any, cookies: Mapping[str, str]) -> str | None:
    """Return a browser's visitor; None for a new one, or one that has become an account since.

    Reads the database, unless the browser has neither the cookie nor an id in its session.
    """
    for visitor in (of_token(cookies.get(COOKIE, "")), session.get(SESSION_KEY)):
        if visitor and not is_merged(visitor):
            return str(visitor)
    return None


def of_request(request: HttpRequest) -> str:
    """Return the visitor of an HTTP request; a new one gets the cookie with the response."""
    if visitor := request.META.get(_META):
        return str(visitor)
    visitor = of_browser(request.session, request.COOKIES) or new_id()
    return keep(request, visitor)


def keep(request: HttpRequest, visitor: str) -> str:
    """Let the response make the browser this visitor, or ("") no visitor; return the visitor."""
    request.META[_META] = visitor
    return visitor


def write_cookie(request: HttpRequest, response: HttpResponse) -> None:
    """Set or delete the cookie as `keep` asked, unless the browser has it already."""
    visitor = request.META.get(_META)
    token = request.COOKIES.get(COOKIE)
    flags: dict[str, Any] = {
        "samesite": "Lax",
        "domain": settings.SESSION_COOKIE_DOMAIN,
        "path": settings.SESSION_COOKIE_PATH,
    }
    if visitor == "" and token is not None:
        response.delete_cookie(COOKIE, **flags)
    elif visitor and visitor != of_token(token or "", _RENEWED_SECONDS):
        flags |= {"secure": bool(settings.SESSION_COOKIE_SECURE), "httponly": True}
        response.set_cookie(COOKIE, token_of(visitor), max_age=_KEPT_SECONDS, **flags)


def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """Report `streaming.E005` where the middleware that sets the cookie is missing."""
    wanted = "streaming.pages.middleware.visitor_cookie"
    if wanted in settings.MIDDLEWARE:
        return []
    text = f"{wanted} is missing in MIDDLEWARE: each page would be another visitor's."
    return [Error(text, id="streaming.E005")]


def is_merged(visitor: str) -> bool:
    """Return whether a visitor has become an account within the last day."""
    return MergedVisitor.objects.filter(visitor=visitor).exists()


def merged(visitor: str, user: Any = None) -> None:
    """Remember for a day that a visitor has become an account, which ends its sockets; no longer
    than there is the account."""
    now = timezone.now()
    MergedVisitor.objects.filter(merged_at__lt=now - _MERGED_KEPT).delete()
    MergedVisitor.objects.get_or_create(visitor=visitor, defaults={"merged_at": now, "user": user})
