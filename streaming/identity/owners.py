"""Who a place in the queue belongs to: an account or a visitor, and the address they come from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from channels.auth import get_user
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

from streaming import conf
from streaming.identity import keys, visitors
from streaming.models import Conversation, Response
from streaming.record.database import in_database


def owner_of_request(request: HttpRequest) -> str:
    """The owner of an HTTP request; a new visitor is given a cookie."""
    if request.user.is_authenticated:
        return owner_of_user(request.user)
    return owner_of_visitor(visitors.of_request(request))


def owner_of_user(user: AbstractBaseUser | AnonymousUser) -> str:
    return f"user:{user.pk}"


def key_of(authorization: str) -> str | None:
    """The API key of ours in an `Authorization` header; None without one, whatever else stands
    there: programs that have no key send any word, and proxies a password of their own."""
    text = authorization.strip()
    scheme, _, secret = text.partition(" ")
    if scheme.lower() == "bearer":
        return secret.strip() if keys.is_ours(secret) else None
    return text if keys.is_ours(text) else None


def key_in(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The same of all headers of a socket's handshake, the first one."""
    for name, value in headers:
        if name.lower() == b"authorization" and (key := key_of(value.decode("latin-1"))):
            return key
    return None


def owner_of_visitor(visitor: str) -> str:
    return f"visitor:{visitor}"


def visitor_of(owner: str) -> str:
    """`owner` is a visitor's."""
    return owner.removeprefix("visitor:")


async def visitor_of_socket(scope: Mapping[str, Any]) -> str | None:
    """The visitor of a WebSocket's browser, whose session is read already; None for who is new,
    and for programs, without a visit to the database."""
    session, cookies = scope["session"], scope.get("cookies") or {}
    if visitors.COOKIE not in cookies and not session.get(visitors.SESSION_KEY):
        return None
    visitor: str | None = await in_database(visitors.of_browser)(session, cookies)
    return visitor


async def is_current(scope: Mapping[str, Any], user: Any, visitor: str | None) -> bool:
    """Whether a WebSocket's cookies, looked up afresh, are still those of the account or visitor
    that they were of when it was opened.

    One that came without any has nothing that could change.
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
    """Whether chatting needs an account here, and the request comes without one."""
    return not conf.get().anonymous and not request.user.is_authenticated


def visitor_token(owner: str) -> str:
    """A signed token by which a later socket becomes the same visitor."""
    return visitors.token_of(visitor_of(owner))


def owner_of_token(token: str) -> str | None:
    """The visitor a token was made for, None if it is forged, damaged or a year old."""
    visitor = visitors.of_token(token)
    return None if visitor is None else owner_of_visitor(visitor)


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
    """What the visitor had becomes the account's, and the browser forgets who it was."""
    if request is None:
        return
    known = {
        request.session.pop(visitors.SESSION_KEY, None),
        visitors.of_token(request.COOKIES.get(visitors.COOKIE, "")),
    }
    visitors.keep(request, "")
    for visitor in known - {None}:
        visitors.merged(visitor)  # first: none of their sockets writes anything after it
        owner = owner_of_visitor(visitor)
        Conversation.objects.filter(owner=owner).update(owner=owner_of_user(user), user=user)
        Response.objects.filter(owner=owner).update(owner=owner_of_user(user))


def part_at_logout(*, request: HttpRequest | None, **kwargs: Any) -> None:
    """The browser is a visitor at once, for pages of it that are still open."""
    if request is not None and conf.get().anonymous:
        visitors.keep(request, visitors.new_id())


user_logged_in.connect(merge_at_login, dispatch_uid="streaming.merge_at_login")
user_logged_out.connect(part_at_logout, dispatch_uid="streaming.part_at_logout")
