"""The page's addresses of files: upload, download, taking back."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from streaming.files import keeping
from streaming.files.errors import FileRefused
from streaming.models import Conversation, Message, StoredFile
from streaming.pages.files import mark_of
from streaming.record.attachments import part_of
from tests.integration.conftest import owner_of
from tests.integration.files.conftest import png

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage", "here")]


@pytest.fixture
def web() -> Client:
    browser = Client()
    browser.get("/")
    return browser


def give(web: Client, data: bytes = b"text", name: str = "a.txt", owner: str = "") -> Any:
    mark = mark_of(owner or owner_of(web))
    file = SimpleUploadedFile(name, data)
    return web.post("/files/", {"file": file}, headers={"X-Owner": mark})


def test_a_file_is_kept_and_given_back_to_its_owner_alone(web: Client) -> None:
    answer = give(web, b"<script>", "page.html")
    assert answer.status_code == 201
    said = answer.json()
    assert (said["name"], said["kind"], said["size"]) == ("page.html", "code", 8)
    got = web.get(said["url"])
    assert got.content == b"<script>"
    assert got["Content-Type"] == "application/octet-stream"
    assert got["Content-Disposition"] == 'attachment; filename="page.html"'
    assert got["X-Content-Type-Options"] == "nosniff"
    assert got["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert web.get(f"{said['url']}?view")["Content-Disposition"].startswith("attachment")
    stranger = Client()
    stranger.get("/")
    for method in (stranger.get, stranger.head):
        assert method(said["url"]).status_code == 404
    assert stranger.post(f"{said['url']}remove/").status_code == 404
    assert StoredFile.objects.count() == 1
    assert web.post(f"{said['url']}remove/").status_code == 204
    assert web.get(said["url"]).status_code == 404


def test_an_image_is_shown(web: Client) -> None:
    said = give(web, png(), "ü.png").json()
    shown = web.get(f"{said['url']}?view")
    assert shown["Content-Type"] == "image/png"
    assert shown["Content-Disposition"] == "inline; filename*=utf-8''%C3%BC.png"
    assert "sandbox" in shown["Content-Security-Policy"]


def test_what_was_sent_is_not_taken_back(web: Client) -> None:
    said = give(web).json()
    file = StoredFile.objects.get()
    conversation = Conversation.objects.create(owner=owner_of(web))
    Message.objects.create(
        conversation=conversation, role="user", content="x", parts=[part_of(file)]
    )
    assert web.post(f"{said['url']}remove/").status_code == 204
    assert web.get(said["url"]).status_code == 200


def test_why_it_is_not_taken_is_said_in_the_readers_language(
    web: Client, chatstream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chatstream(max_file_mb=1)
    answer = give(web, b"a" * (2**20 + 1))
    assert answer.status_code == 200
    assert answer.json() == {
        "code": "file_too_large",
        "message": "The file is larger than 1 MB.",
    }
    web.cookies["django_language"] = "ja"
    assert give(web, b"").json()["message"] == "ファイルが空です。"
    web.cookies["django_language"] = "en"

    async def busy(*args: Any, **kwargs: Any) -> None:
        raise FileRefused("files_busy")

    monkeypatch.setattr(keeping.extraction, "content_of", busy)
    assert give(web).status_code == 503


def test_nothing_is_kept_for_somebody_else(web: Client, chatstream: Any) -> None:
    assert give(web, owner="visitor:other").json()["code"] == "session_changed"
    user = User.objects.create(username="ann")
    before = mark_of(owner_of(web))
    web.force_login(user)
    file = SimpleUploadedFile("a", b"x")
    assert web.post("/files/", {"file": file}, headers={"X-Owner": before}).status_code == 409
    web.logout()
    chatstream(anonymous=False)
    assert web.post("/files/", {}).status_code == 401
    assert not StoredFile.objects.exists()
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/files/", {}).status_code == 403


def test_where_files_are_switched_off(web: Client, chatstream: Any) -> None:
    assert b'id="attach"' in web.get("/").content
    chatstream(max_file_mb=0)
    assert b'id="attach"' not in web.get("/").content
    assert give(web).json()["code"] == "files_off"
