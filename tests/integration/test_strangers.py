"""What belongs to somebody does not exist for anybody else, on every address that names a thing.

The events of the WebSocket are tried in `test_turns.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

from streaming.identity import keys
from streaming.identity.owners import owner_of_user
from streaming.models import (
    AccountSession,
    ApiKey,
    Conversation,
    Message,
    Response,
    Share,
    Status,
    StoredFile,
)

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "words of the owner alone"

# Address (filled with the owner's ids) → how it is asked, and with what.
TRIES: dict[str, list[tuple[str, dict[str, str]]]] = {
    "c/{conversation}/": [
        ("get", {}),
        ("get", {"part": "thread"}),
        ("get", {"leaf": "{response}"}),
        ("get", {"part": "thread", "before": "{response}"}),
    ],
    "c/{conversation}/newest/": [("get", {})],
    "r/{response}/rating/": [("post", {"rating": "1"})],
    "conversations/{conversation}/rename/": [("post", {"title": "owned"})],
    "conversations/{conversation}/keep/": [("post", {"pinned": "1"})],
    "conversations/{conversation}/delete/": [("post", {})],
    "c/{conversation}/instructions/": [("post", {"text": "owned"})],
    "c/{conversation}/export/": [("get", {"format": "md"}), ("get", {"format": "json"})],
    "c/{conversation}/print/": [("get", {})],
    "c/{conversation}/share/": [("get", {})],
    "c/{conversation}/share/link/": [("post", {"leaf": "{response}"})],
    "links/{share}/withdraw/": [("post", {})],
    "c/{conversation}/share/withdraw/": [("post", {})],
    "files/{file}/": [("get", {})],
    "files/{file}/remove/": [("post", {})],
    "accounts/keys/{key}/revoke/": [("get", {}), ("post", {})],
    "accounts/sessions/{session}/end/": [("post", {})],
}


@pytest.fixture
def owned() -> dict[str, str]:
    """Ids of what an account has: a conversation with an answer, and a key."""
    user = User.objects.create_user("owner", password="analytical")
    owner = owner_of_user(user)
    conversation = Conversation.objects.create(owner=owner, user=user, title=SECRET)
    prompt = Message.objects.create(conversation=conversation, role="user", content=SECRET)
    answer = Message.objects.create(
        conversation=conversation, role="assistant", content=SECRET, parent=prompt
    )
    response = Response.objects.create(
        conversation=conversation,
        prompt=prompt,
        message=answer,
        owner=owner,
        status=Status.COMPLETED,
        text=SECRET,
        params={"max_tokens": 1},
    )
    key, _ = keys.create(user, SECRET)
    share = Share.objects.create(
        conversation=conversation, token="t" * 43, title=SECRET, leaf=response.pk, turns=[]
    )
    file = StoredFile.objects.create(
        owner=owner,
        user=user,
        sha256="0" * 64,
        place="none",
        size=len(SECRET),
        name=SECRET,
        content_type="text/plain",
        kind=StoredFile.Kind.TEXT,
        text=SECRET,
    )
    session = AccountSession.objects.create(user=user, session_key="k" * 32, agent=SECRET)
    return {
        "conversation": str(conversation.pk),
        "response": str(response.pk),
        "key": str(key.pk),
        "share": str(share.pk),
        "session": str(session.pk),
        "file": str(file.pk),
    }


def everything() -> list[Any]:
    models = (Conversation, Message, Response, ApiKey, Share, StoredFile)
    rows = [list(model.objects.order_by("pk").values()) for model in models]
    return [*rows, list(AccountSession.objects.filter(user__username="owner").values())]


def stranger(kind: str) -> Client:
    client = Client()
    if kind != "visitor":
        user = User.objects.create_user("stranger", password="analytical", is_staff=kind == "staff")
        client.force_login(user)
    client.get("/")  # has a session of its own by now
    return client


def addresses(patterns: Any = None, prefix: str = "") -> Iterator[str]:
    """Every address of ours that names a thing."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if not route.startswith("admin/"):
                yield from addresses(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and pattern.pattern.converters:
            yield route


def test_every_address_that_names_a_thing_is_tried() -> None:
    tried = {
        address.replace("{conversation}", "<uuid:conversation_id>")
        .replace("{response}", "<uuid:response_id>")
        .replace("{key}", "<int:key_id>")
        .replace("{share}", "<int:share_id>")
        .replace("{session}", "<int:session_id>")
        .replace("{file}", "<uuid:file_id>")
        for address in TRIES
    }
    nobodys = {
        "jsi18n/<str:language>/",
        "v1/models/<path:model>",
        "manifest/<str:language>.webmanifest",
        "offline/<str:language>/",
        # Whoever has the token may: it is what was shared, or mailed.
        "s/<str:token>/",
        "accounts/email/confirm/<str:token>/",
        "accounts/password/new/<uidb64>/<token>/",
    }
    # Those of programs: `test_strangers_of_items.py`.
    programs = ("v1/responses/", "v1/conversations/", "v1/files/")
    pages = {each for each in addresses() if not each.startswith(programs)}
    assert pages - nobodys == tried


@pytest.mark.parametrize("kind", ["visitor", "account", "staff"])
@pytest.mark.parametrize("address", TRIES)
def test_a_stranger_finds_nothing(owned: dict[str, str], kind: str, address: str) -> None:
    client = stranger(kind)
    before = everything()
    for method, data in TRIES[address]:
        filled = {name: value.format(**owned) for name, value in data.items()}
        answer = getattr(client, method)("/" + address.format(**owned), filled)
        signs_in = answer.status_code == 302 and answer.url.startswith("/accounts/login/")
        # A session that has ended meanwhile is no fault, so one that never was is none either.
        is_gone = answer.status_code == (302 if "sessions" in address else 404)
        assert is_gone or (signs_in and kind == "visitor"), answer.status_code
        assert SECRET not in answer.content.decode()
    assert everything() == before


@pytest.mark.parametrize("kind", ["visitor", "account", "staff"])
@pytest.mark.parametrize(
    "address", ["/", "/conversations/", "/conversations/?q=words", "/accounts/"]
)
def test_no_list_holds_what_is_somebody_elses(
    owned: dict[str, str], kind: str, address: str
) -> None:
    answer = stranger(kind).get(f"/{address}")
    assert answer.status_code == 200
    assert SECRET not in answer.content.decode()
    assert not any(value in answer.content.decode() for value in owned.values() if len(value) > 9)


def test_the_owner_finds_it_all(owned: dict[str, str]) -> None:
    client = Client()
    client.force_login(User.objects.get(username="owner"))
    for address, tries in TRIES.items():
        if "delete" in address or "files" in address:
            continue  # with the delete the rest would be gone; the file has no bytes here
        for method, data in tries:
            filled = {name: value.format(**owned) for name, value in data.items()}
            answer = getattr(client, method)("/" + address.format(**owned), filled)
            assert answer.status_code in (200, 204, 302), (address, answer.status_code)
    found = client.get("/conversations/?q=words").content.decode()
    assert owned["conversation"] in found
