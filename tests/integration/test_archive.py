"""The download of everything: what is in it, what never is, and that it is no burden."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

import streaming.pages.sharing.markdown  # noqa: F401  # registers its format
from streaming.accounts import archive, leaving_views
from streaming.accounts.attempt_limits import Limit
from streaming.identity import keys
from streaming.models import Conversation, Message, Response, Status
from streaming.record.exports import FORMAT
from tests.integration.test_guard import PASSWORD, signed_in

pytestmark = pytest.mark.django_db(transaction=True)


def talk(user: User, title: str, source: str = "chat", text: str = "the answer") -> Conversation:
    owner = f"user:{user.pk}"
    row = Conversation.objects.create(owner=owner, user=user, title=title, source=source)
    prompt = Message.objects.create(conversation=row, role="user", content="a question")
    answer = Message.objects.create(conversation=row, role="assistant", content=text, parent=prompt)
    Response.objects.create(
        conversation=row, prompt=prompt, message=answer, owner=owner, status=Status.COMPLETED
    )
    return row


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", "ann@here.example", PASSWORD)


def download(browser: Client) -> zipfile.ZipFile:
    answer = browser.post("/accounts/download/")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="chatstream-')
    return zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))


def test_everything_is_in_it_and_no_secret(ann: User) -> None:
    hers = [talk(ann, "東京 ../../etc/passwd"), talk(ann, ""), talk(ann, "by a program", "api")]
    talk(User.objects.create_user("bob"), "another's")
    _, secret = keys.create(ann, "laptop")
    browser = signed_in()
    found = download(browser)
    assert found.testzip() is None
    account = json.loads(found.read("account.json"))
    assert account["format"] == archive.FORMAT
    assert (account["username"], account["email"]) == ("ann", "ann@here.example")
    assert [key["name"] for key in account["api_keys"]] == ["laptop"]
    assert len(account["sessions"]) == 1
    names = sorted(found.namelist())
    assert len(names) == 1 + 2 * len(hers)
    assert sum(name.startswith("api/") for name in names) == 2
    assert not [name for name in names if ".." in name or name.startswith("/")]
    for row in hers:
        ours = [name for name in names if str(row.pk) in name]
        whole = json.loads(found.read(next(name for name in ours if name.endswith("json"))))
        assert whole["format"] == FORMAT
        assert [each["content"] for each in whole["messages"]] == ["a question", "the answer"]
        assert b"the answer" in found.read(next(name for name in ours if name.endswith("md")))
    everything = "".join(found.read(name).decode() for name in names)
    ann.refresh_from_db()
    for hidden in (secret, keys.digest(secret), browser.session.session_key, ann.password):
        assert hidden not in everything


async def test_the_server_sends_it_in_parts(ann: User) -> None:
    browser = AsyncClient()
    await browser.aforce_login(ann)
    answer = await browser.post("/accounts/download/")
    parts = [part async for part in answer.streaming_content]
    assert len(b"".join(parts)) == int(answer.headers["Content-Length"])
    assert zipfile.ZipFile(io.BytesIO(b"".join(parts))).namelist() == ["account.json"]


def test_memory_does_not_grow_with_it(ann: User) -> None:
    text = "x" * 200_000

    def peak(count: int) -> int:
        for number in range(count):
            talk(ann, str(number), text=text)
        tracemalloc.start()
        with io.BytesIO() as file:
            archive.write_archive(ann, file)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    few = peak(2)
    assert peak(30) < few + 10 * len(text)  # of 32 conversations


def test_it_is_asked_for_by_a_form_and_bounded(ann: User, monkeypatch: Any) -> None:
    monkeypatch.setattr(leaving_views, "ARCHIVE", Limit("test", bound=1, seconds=60))
    browser = signed_in()
    assert browser.get("/accounts/download/").status_code == 405
    download(browser)
    answer = browser.post("/accounts/download/", follow=True)
    assert "Too many downloads" in answer.text
    assert Client().post("/accounts/download/").url.startswith("/accounts/login/")
