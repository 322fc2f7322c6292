"""Files go with what refers to them, and nobody's bytes with somebody else's."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.utils import timezone

from streaming.accounts.archive import write_archive
from streaming.accounts.deletion import delete_account
from streaming.files.keeping import keep
from streaming.lifecycle.forgetting import forget
from streaming.models import Conversation, Message, Response, StoredFile
from streaming.record import (
    conversation_items,
    file_collection,
    files,
    responses,
    retention,
    stored_bytes,
)
from streaming.record.attachments import part_of
from streaming.record.tasks import Requester
from tests.integration.files.conftest import places

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage", "here")]


def kept(owner: str, data: bytes = b"text", user: Any = None, **fields: Any) -> StoredFile:
    return async_to_sync(keep)(Requester(owner, user, ""), "a.txt", data, **fields)


def conversation(owner: str, *named: StoredFile, user: Any = None) -> Conversation:
    made = Conversation.objects.create(owner=owner, user=user)
    parts = [part_of(file) for file in named]
    Message.objects.create(conversation=made, role="user", content="x", parts=parts)
    return made


def is_there(file: StoredFile) -> bool:
    return StoredFile.objects.filter(pk=file.pk).exists()


def age(*aged: StoredFile) -> None:
    keys = [file.pk for file in aged]
    StoredFile.objects.filter(pk__in=keys).update(used_at=timezone.now() - timedelta(days=2))


def test_a_file_goes_with_the_last_conversation_that_names_it(storage: Path) -> None:
    file, other = kept("visitor:a"), kept("visitor:a", b"pending")
    first, second = conversation("visitor:a", file), conversation("visitor:a", file)
    forget(Conversation.objects.filter(pk=first.pk))
    assert is_there(file)
    forget(Conversation.objects.filter(pk=second.pk))
    assert not is_there(file)
    assert is_there(other)  # uploaded, and not sent yet
    assert len(places(storage)) == 1


def test_a_file_goes_with_a_response_and_with_an_item(storage: Path) -> None:
    """A program deletes either; the rest of the conversation stays."""
    with_response, with_item = kept("visitor:a", b"1"), kept("visitor:a", b"2")
    made = conversation("visitor:a")
    first = made.messages.get()
    parts = [part_of(with_response)]
    prompt = Message.objects.create(
        conversation=made, role="user", content="x", parts=parts, parent=first
    )
    asked = {"conversation": made, "owner": "visitor:a", "status": "completed"}
    Response.objects.create(prompt=first, **asked)
    response = Response.objects.create(prompt=prompt, **asked)
    async_to_sync(responses.delete)(response.pk)
    assert not is_there(with_response)
    assert Message.objects.get() == first
    last = Message.objects.create(
        conversation=made, role="user", content="x", parts=[part_of(with_item)], parent=first
    )
    Conversation.objects.filter(pk=made.pk).update(tail=last)
    remove = async_to_sync(conversation_items.remove)
    remove(made.pk, "visitor:a", last.pk, lambda turn: {})
    assert Message.objects.get() == first
    assert places(storage) == []


def test_bytes_go_with_the_last_row_that_has_them(storage: Path) -> None:
    file, program = kept("visitor:a"), kept("visitor:a", purpose="user_data")
    assert file.place == program.place
    file.delete()
    assert len(places(storage)) == 1
    program.delete()
    assert places(storage) == []


def test_what_was_never_sent_goes_after_a_day(storage: Path) -> None:
    unsent, sent, new = kept("visitor:a"), kept("visitor:b"), kept("visitor:c")
    program = kept("visitor:a", purpose="user_data")
    conversation("visitor:b", sent)
    age(unsent, sent, program)
    assert file_collection.collect() == 1
    assert not is_there(unsent)
    assert all(map(is_there, (sent, new, program)))
    # Whoever uploads cleans up for all.
    age(new)
    kept("visitor:d")
    assert not is_there(new)


def test_prune_looks_behind_the_files_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_collection, "_BATCH", 1)
    used, unsent = kept("visitor:a", b"1"), kept("visitor:b", b"2")
    conversation("visitor:a", used)
    age(used)
    age(unsent)
    StoredFile.objects.filter(pk=used.pk).update(used_at=timezone.now() - timedelta(days=3))
    list(retention.prune(timezone.now() - timedelta(days=30)))
    assert is_there(used)
    assert not is_there(unsent)


def test_somebody_else_naming_it_keeps_nothing() -> None:
    file = kept("visitor:a")
    mine = conversation("visitor:a", file)
    conversation("visitor:b", file)  # as nobody can, by any door
    forget(Conversation.objects.filter(pk=mine.pk))
    assert not is_there(file)


def test_a_visitor_who_signs_in_keeps_files(storage: Path) -> None:
    user = User.objects.create(username="ann")
    owner = f"user:{user.pk}"
    mine, visitors = kept(owner, b"both", user), kept("visitor:a", b"both")
    alone = kept("visitor:a", b"alone")
    assert len(places(storage)) == 3
    files.merge("visitor:a", owner, user)
    assert set(files.own(owner)) == {mine, visitors, alone}
    assert {file.user_id for file in files.own(owner)} == {user.pk}
    assert len(places(storage)) == 2
    assert {stored_bytes.read(file.place) for file in files.own(owner)} == {b"both", b"alone"}


def test_an_accounts_files_go_with_it(storage: Path) -> None:
    user = User.objects.create(username="ann")
    owner = f"user:{user.pk}"
    conversation(owner, kept(owner, b"1", user), user=user)
    kept(owner, b"2", user)
    kept(owner, b"3", user, purpose="user_data")
    stranger = kept("visitor:b", b"1")
    delete_account(user)
    assert list(StoredFile.objects.all()) == [stranger]
    assert len(places(storage)) == 1
    other = User.objects.create(username="ben")
    kept(f"user:{other.pk}", b"4", other)
    other.delete()  # an operator
    assert len(places(storage)) == 1


def test_an_archive_has_the_files(storage: Path) -> None:
    user = User.objects.create(username="ann")
    owner = f"user:{user.pk}"
    file, lost = kept(owner, b"text", user), kept(owner, b"lost", user)
    kept("visitor:b", b"strange")
    stored_bytes.erase(lost.place)
    buffer = io.BytesIO()
    write_archive(user, buffer)
    archive = zipfile.ZipFile(buffer)
    found = {name: archive.read(name) for name in archive.namelist() if name[:6] == "files/"}
    day = f"files/{file.created_at:%Y-%m-%d}"
    assert found == {
        f"{day}-{file.pk}-a.txt": b"text",
        f"{day}-{lost.pk}-a.txt.missing.txt": b"The file could not be read.",
    }
    assert [each["sha256"] for each in json.loads(archive.read("account.json"))["files"]] == [
        file.sha256,
        lost.sha256,
    ]
