"""Who may open a WebSocket: pages of this site, and programs without cookies."""

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
"""Scheme, host and port, in lower case; without a port, the scheme's default."""


class OriginValidator:
    """Lets a handshake through if its Origin is the site's own address (scheme, host and port) or
    stands in `CSRF_TRUSTED_ORIGINS`, or if it has neither Origin nor Cookie.

    A browser always sends Origin, so a page of another site, of another port or by plain HTTP
    cannot use a visitor's cookie. A program sends neither, and identifies itself by a token.
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
    """Return the address under which the client reached the site, as Django finds it for a form
    (`ALLOWED_HOSTS`, and the proxy headers that the settings trust); None for a host that is not
    allowed."""
    scheme = {"wss": "https", "ws": "http"}.get(scope.get("scheme", "ws"), "")
    asked: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "scheme": scheme}
    asked |= {name: scope.get(name) for name in ("headers", "server")}
    request = ASGIRequest(asked, BytesIO())
    try:
        return parsed(f"{request.scheme}://{request.get_host()}")
    except DisallowedHost:
        return None


def is_allowed(text: str, site: Origin | None) -> bool:
    """Return whether an Origin header names the site or a trusted origin."""
    origin = parsed(text)
    if origin is None:
        return False
    return origin == site or any(_matches(origin, one) for one in settings.CSRF_TRUSTED_ORIGINS)


def parsed(text: str) -> Origin | None:
    """Return the origin of a text, None for what is none (`null`, an address with a path)."""
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
    """Return whether an origin is `trusted`, an entry of `CSRF_TRUSTED_ORIGINS`, in which
    `https://*.example.org` matches every host below."""
    wanted = parsed(trusted.replace("://*.", "://."))
    if wanted is None or (wanted[0], wanted[2]) != (origin[0], origin[2]):
        return False
    return bool(is_same_domain(origin[1], wanted[1]))
