"""Who a place in the queue belongs to: an account or a visitor, and the address they come from.

A visitor is a random id kept in the session, never the session key: that one changes at
login and is a credential. Clients without cookies carry the id in a signed token.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from channels.auth import get_user
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.core import signing
from django.http import HttpRequest

from streaming import conf
from streaming.database import in_database
from streaming.models import Conversation, Response

SESSION_KEY = "visitor"
_SALT = "streaming.visitor"
_TOKEN_SECONDS = 60 * 60 * 24 * 365


def owner_of_request(request: HttpRequest) -> str:
    """The owner of an HTTP request; a new visitor is given an id in the session."""
    if request.user.is_authenticated:
        return owner_of_user(request.user)
    if SESSION_KEY not in request.session:
        request.session[SESSION_KEY] = new_visitor_id()
    return f"visitor:{request.session[SESSION_KEY]}"


def owner_of_user(user: AbstractBaseUser | AnonymousUser) -> str:
    return f"user:{user.pk}"


def bearer_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The API key in `Authorization: Bearer ...`; None without one."""
    for name, value in headers:
        scheme, _, secret = value.decode("latin-1").partition(" ")
        if name.lower() == b"authorization" and scheme.lower() == "bearer":
            return secret.strip()
    return None


def owner_of_session(session: SessionBase) -> str:
    """The visitor of a WebSocket's session, or a new one that lives as long as the socket."""
    return f"visitor:{session.get(SESSION_KEY) or new_visitor_id()}"


async def is_current(session: SessionBase, user: User | None) -> bool:
    """Whether a WebSocket's session, read afresh, is still that of the account or visitor.

    One that came without a session has nothing that could change.
    """
    if getattr(session, "session_key", None) is None:
        return True
    fresh = session.__class__(session.session_key)
    visitor = await in_database(fresh.get)(SESSION_KEY)
    present = await get_user({"session": fresh})
    if user is None:
        return not present.is_authenticated and visitor == session.get(SESSION_KEY)
    return bool(present == user)


def must_sign_in(request: HttpRequest) -> bool:
    """Whether chatting needs an account here, and the request comes without one."""
    return not conf.get().anonymous and not request.user.is_authenticated


def new_visitor_id() -> str:
    return secrets.token_urlsafe(16)


def visitor_token(owner: str) -> str:
    """A signed token by which a later socket becomes the same visitor."""
    return signing.dumps(owner.removeprefix("visitor:"), salt=_SALT)


def owner_of_token(token: str) -> str | None:
    """The visitor a token was made for, None if it is forged, damaged or a year old."""
    try:
        return f"visitor:{signing.loads(token, salt=_SALT, max_age=_TOKEN_SECONDS)}"
    except signing.BadSignature:
        return None


def client_address(scope: dict[str, Any], trusted_proxies: Sequence[str]) -> str:
    """Who a client is, by address: an IPv6 client is its /64 network, since it has all of that to
    itself. Empty for a socket without an address (a Unix socket)."""
    return _canonical(exact_address(scope, trusted_proxies))


def exact_address(scope: dict[str, Any], trusted_proxies: Sequence[str]) -> str:
    """The client's address: the peer's, or behind trusted proxies the last hop that is not one.

    Only what a trusted proxy wrote into X-Forwarded-For is believed, read from the right.
    """
    peer: str = (scope.get("client") or [""])[0]
    networks = [ipaddress.ip_network(network, strict=False) for network in trusted_proxies]
    hops = [
        part.strip()
        for name, value in scope.get("headers", [])
        if name == b"x-forwarded-for"
        for part in value.decode("latin-1").split(",")
    ]
    address: str = peer
    while hops and _within(address, networks):
        address = hops.pop()
    return address if is_address(address) else peer


def address_of_request(request: HttpRequest) -> str:
    """`client_address` of an HTTP request."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    headers = [(b"x-forwarded-for", forwarded.encode("latin-1", "replace"))] if forwarded else []
    scope = {"client": [request.META.get("REMOTE_ADDR") or ""], "headers": headers}
    return client_address(scope, conf.get().trusted_proxies)


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_within(address: str, networks: Sequence[str]) -> bool:
    """Whether an address lies in one of the networks; one that is no address lies in none."""
    return _within(address, [ipaddress.ip_network(network, strict=False) for network in networks])


def _within(text: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return is_address(text) and any(_parse(text) in network for network in networks)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _canonical(text: str) -> str:
    if not is_address(text):
        return text
    address = _parse(text)
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address.packed, 64), strict=False))


def merge_at_login(*, request: HttpRequest | None, user: AbstractBaseUser, **kwargs: Any) -> None:
    """What the visitor had becomes the account's."""
    visitor = request.session.pop(SESSION_KEY, None) if request is not None else None
    if visitor is None:
        return
    owner = f"visitor:{visitor}"
    Conversation.objects.filter(owner=owner).update(owner=owner_of_user(user), user=user)
    Response.objects.filter(owner=owner).update(owner=owner_of_user(user))


user_logged_in.connect(merge_at_login, dispatch_uid="streaming.merge_at_login")
