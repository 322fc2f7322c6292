"""Owners, session tokens and client addresses."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpResponse
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from streaming.identity import visitors
from streaming.identity.owners import (
    client_address,
    owner_of_request,
    owner_of_token,
    owner_of_visitor,
    visitor_of_socket,
    visitor_token,
)
from streaming.models import Conversation, Message, Response


def test_a_token_carries_the_visitor_and_cannot_be_forged() -> None:
    owner = owner_of_visitor(visitors.new_id())
    token = visitor_token(owner)
    assert owner_of_token(token) == owner
    assert owner_of_token(token[:-1] + ("A" if token[-1] != "A" else "B")) is None
    assert owner_of_token("") is None


@pytest.mark.django_db(transaction=True)
def test_a_request_gives_the_visitor_an_id_that_is_not_the_session_key(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = AnonymousUser()
    request.session = SessionStore("some-key")
    request.session._session_cache = {}
    owner = owner_of_request(request)
    assert owner == owner_of_request(request)
    assert "some-key" not in owner
    assert not request.session.modified
    response = HttpResponse()
    visitors.write_cookie(request, response)
    scope = {"session": request.session, "cookies": {"visitor": response.cookies["visitor"].value}}
    assert async_to_sync(visitor_of_socket)(scope) == owner.removeprefix("visitor:")


@pytest.mark.django_db
def test_login_makes_the_visitors_conversations_the_accounts(
    client: Client, django_user_model: Any
) -> None:
    user = django_user_model.objects.create_user("ann", password="secret")
    session = client.session
    session[visitors.SESSION_KEY] = "guest"
    session.save()
    mine = Conversation.objects.create(owner="visitor:guest")
    prompt = Message.objects.create(conversation=mine, role="user", content="hi")
    Response.objects.create(conversation=mine, prompt=prompt, owner="visitor:guest")
    other = Conversation.objects.create(owner="visitor:else")
    assert client.login(username="ann", password="secret")
    mine.refresh_from_db()
    other.refresh_from_db()
    assert (mine.owner, mine.user) == (f"user:{user.pk}", user)
    assert mine.responses.get().owner == f"user:{user.pk}"
    assert other.owner == "visitor:else"


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("203.0.113.9", "", (), "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", (), "203.0.113.9"),  # not trusted: not believed
        ("10.0.0.1", "198.51.100.1", ("10.0.0.0/8",), "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", ("10.0.0.0/8",), "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", ("10.0.0.1",), "198.51.100.1"),  # the left is forged
        ("10.0.0.1", "rubbish", ("10.0.0.1",), "10.0.0.1"),
        ("10.0.0.1", "", ("10.0.0.1",), "10.0.0.1"),
        ("2001:db8::1", "2001:db8:1::2", ("2001:db8::1",), "2001:db8:1::/64"),
        ("2001:db8::ffff:2", "", (), "2001:db8::/64"),  # one client has a whole /64
        ("::ffff:10.0.0.1", "198.51.100.1", ("10.0.0.1",), "198.51.100.1"),
        ("::ffff:203.0.113.9", "", (), "203.0.113.9"),
        ("", "1.2.3.4", ("10.0.0.1",), ""),
    ],
)
def test_addresses_behind_proxies(
    peer: str, forwarded: str, trusted: tuple[str, ...], address: str
) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"client": [peer, 1] if peer else None, "headers": headers}
    assert client_address(scope, trusted) == address


@given(forwarded=st.binary(max_size=200))
def test_no_header_breaks_the_address(forwarded: bytes) -> None:
    scope = {"client": ["10.0.0.1", 1], "headers": [(b"x-forwarded-for", forwarded)]}
    assert client_address(scope, ("10.0.0.1",))
