"""Owners: the account or visitor that a response belongs to, and the network address."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from channels.auth import get_user
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

from streaming import conf
from streaming.identity import keys, sessions, visitors
from streaming.models import Conversation, Response
from streaming.record import files
from streaming.record.database import in_database


def owner_of_request(request: HttpRequest) -> str:
    """Return the owner of an HTTP request; a new visitor gets a cookie."""
    if request.user.is_authenticated:
        return owner_of_user(request.user)
    return owner_of_visitor(visitors.of_request(request))


def owner_of_user(user: AbstractBaseUser | AnonymousUser) -> str:
    """Return the owner for an account."""
    return f"user:{user.pk}"


def key_of(authorization: str) -> str | None:
    """Return the API key of ours in an `Authorization` header, None without one.

    Anything else is ignored: programs without a key send any word, and proxies their own password.
    """
    text = authorization.strip()
    scheme, _, secret = text.partition(" ")
    if scheme.lower() == "bearer":
        return secret.strip() if keys.is_ours(secret) else None
    return text if keys.is_ours(text) else None


def key_in(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the first API key of ours in the headers of a socket's handshake, None without one."""
    for name, value in headers:
        if name.lower() == b"authorization" and (key := key_of(value.decode("latin-1"))):
            return key
    return None


def owner_of_visitor(visitor: str) -> str:
    """Return the owner for a visitor."""
    return f"visitor:{visitor}"


def visitor_of(owner: str) -> str:
    """Return the visitor of an `owner` that is one."""
    return owner.removeprefix("visitor:")


async def visitor_of_socket(scope: Mapping[str, Any]) -> str | None:
    """Return the visitor of a WebSocket's browser, whose session is read already.

    None for a new visitor and for a program, without reading the database.
    """
    session, cookies = scope["session"], scope.get("cookies") or {}
    if visitors.COOKIE not in cookies and not session.get(visitors.SESSION_KEY):
        return None
    visitor: str | None = await in_database(visitors.of_browser)(session, cookies)
    return visitor


async def is_current(scope: Mapping[str, Any], user: Any, visitor: str | None) -> bool:
    """Return whether a WebSocket's session still belongs to the account or visitor that opened it.

    Without a session, only a visitor that has become an account ends it.
    """
    session: Any = scope.get("session")
    key = getattr(session, "session_key", None)
    if key is None:
        return visitor is None or not await in_database(visitors.is_merged)(visitor)
    fresh = session.__class__(key)
    present = await get_user({"session": fresh})
    if user is not None:
        return bool(present == user)
    if present.is_authenticated:
        return False
    return visitor == await visitor_of_socket({**scope, "session": fresh})


def must_sign_in(request: HttpRequest) -> bool:
    """Return whether chatting needs an account here, and the request has none."""
    return not conf.get().anonymous and not request.user.is_authenticated


def visitor_token(owner: str) -> str:
    """Return the signed token by which a later socket becomes the same visitor."""
    return visitors.token_of(visitor_of(owner))


def owner_of_token(token: str) -> str | None:
    """Return the owner that a visitor's token names; None if forged, damaged or a year old."""
    visitor = visitors.of_token(token)
    return None if visitor is None else owner_of_visitor(visitor)


def client_address(scope: dict[str, Any], trusted_proxies: Sequence[str]) -> str:
    """Return the address by which a client is limited: an IPv6 client's is its /64 network.

    One client usually has a whole /64. Empty for a socket without an address (a Unix socket).
    """
    return _canonical(exact_address(scope, trusted_proxies))


def exact_address(scope: dict[str, Any], trusted_proxies: Sequence[str]) -> str:
    """Return the client's address: the peer's, or the last hop before the trusted proxies.

    X-Forwarded-For is read from the right, as far as trusted proxies have written it.
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
    """Return the `client_address` of an HTTP request."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    headers = [(b"x-forwarded-for", forwarded.encode("latin-1", "replace"))] if forwarded else []
    scope = {"client": [request.META.get("REMOTE_ADDR") or ""], "headers": headers}
    return client_address(scope, conf.get().trusted_proxies)


def is_address(text: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_within(address: str, networks: Sequence[str]) -> bool:
    """Return whether an address is in one of the networks; a text that is no address is in none."""
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
    """Give what the visitor had to the account, and let the browser forget the visitor."""
    if request is None:
        return
    known = {
        request.session.pop(visitors.SESSION_KEY, None),
        visitors.of_token(request.COOKIES.get(visitors.COOKIE, "")),
    }
    visitors.keep(request, "")
    for visitor in known - {None}:
        visitors.merged(visitor, user)  # first, so that none of their sockets writes anything later
        owner = owner_of_visitor(visitor)
        Conversation.objects.filter(owner=owner).update(owner=owner_of_user(user), user=user)
        Response.objects.filter(owner=owner).update(
            owner=owner_of_user(user), in_session=sessions.are_noted()
        )
        files.merge(owner, owner_of_user(user), user)


def part_at_logout(*, request: HttpRequest | None, **kwargs: Any) -> None:
    """Make the browser a new visitor at once, for pages that are still open in it."""
    if request is not None and conf.get().anonymous:
        visitors.keep(request, visitors.new_id())


user_logged_in.connect(merge_at_login, dispatch_uid="streaming.merge_at_login")
user_logged_out.connect(part_at_logout, dispatch_uid="streaming.part_at_logout")
