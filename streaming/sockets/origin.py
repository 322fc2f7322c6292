"""Who may open a WebSocket: pages of this very site, and programs without cookies."""

from __future__ import annotations

import logging
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.utils.http import is_same_domain

from streaming.system.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int | None]
"""Scheme, host and port, in lower case, the scheme's own port filled in."""


class OriginValidator:
    """Lets a handshake through if its Origin is the address the site was asked by, scheme, host
    and port, or stands in `CSRF_TRUSTED_ORIGINS`; and one with neither Origin nor Cookie.

    A browser always sends Origin, so a page of another site, of another port or by plain HTTP
    cannot use a visitor's cookie; a program sends neither and is nobody until it shows a token.
    """

    def __init__(self, application: Any) -> None:
        self.application = application
        self._lines = TokenBucket(1 / 60, burst=5)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        has_cookie = any(name == b"cookie" for name, _ in scope["headers"])
        if not origins and not has_cookie:
            return await self.application(scope, receive, send)
        site = site_of(scope)
        if len(origins) == 1 and is_allowed(origins[0].decode("latin-1"), site):
            return await self.application(scope, receive, send)
        if origins and self._lines.take():
            logger.warning(
                "A WebSocket of a page from %.200r was refused: the site was asked as %s. If that "
                "page is the site's own, see CSRF_TRUSTED_ORIGINS and HTTPS.",
                b", ".join(origins).decode("latin-1"),
                f"{site[0]}://{site[1]}:{site[2]}" if site else "none of ALLOWED_HOSTS",
            )
        return await WebsocketDenier()(scope, receive, send)


def site_of(scope: dict[str, Any]) -> Origin | None:
    """The address the site was asked by, as Django finds it for a form (`ALLOWED_HOSTS`, and what
    settings believe of a proxy); None for a host that is not allowed."""
    scheme = {"wss": "https", "ws": "http"}.get(scope.get("scheme", "ws"), "")
    asked: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "scheme": scheme}
    asked |= {name: scope.get(name) for name in ("headers", "server")}
    request = ASGIRequest(asked, BytesIO())
    try:
        return parsed(f"{request.scheme}://{request.get_host()}")
    except DisallowedHost:
        return None


def is_allowed(text: str, site: Origin | None) -> bool:
    """Whether an Origin header names the site or a trusted origin."""
    origin = parsed(text)
    if origin is None:
        return False
    return origin == site or any(_matches(origin, one) for one in settings.CSRF_TRUSTED_ORIGINS)


def parsed(text: str) -> Origin | None:
    """None for what is no origin (`null`, an address with a path)."""
    try:
        parts = urlsplit(text.lower())
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or "@" in parts.netloc:
        return None
    if text.lower() != f"{parts.scheme}://{parts.netloc}":
        return None
    return parts.scheme, parts.hostname, port if port is not None else _PORTS.get(parts.scheme)


def _matches(origin: Origin, trusted: str) -> bool:
    """`trusted` as in `CSRF_TRUSTED_ORIGINS`, where `https://*.example.org` is every host below."""
    wanted = parsed(trusted.replace("://*.", "://."))
    if wanted is None or (wanted[0], wanted[2]) != (origin[0], origin[2]):
        return False
    return bool(is_same_domain(origin[1], wanted[1]))
