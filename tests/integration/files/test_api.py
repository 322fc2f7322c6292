"""`/v1/files`, by the official client's own requests."""

from __future__ import annotations

import io
from typing import Any

import httpx
import openai
import pytest
from django.core.asgi import get_asgi_application

from streaming.models import StoredFile
from tests.integration.files.conftest import rows

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage", "here")]


def client_of(key: str) -> openai.AsyncOpenAI:
    transport = httpx.ASGITransport(app=get_asgi_application())
    http = httpx.AsyncClient(transport=transport)
    return openai.AsyncOpenAI(
        api_key=key, base_url="http://localhost/v1", http_client=http, max_retries=0
    )


async def test_files_are_kept_listed_read_and_deleted(make_key: Any) -> None:
    client = client_of(await make_key("ann"))
    first = await client.files.create(file=("a.csv", b"a,b"), purpose="user_data")
    second = await client.files.create(file=("b.md", b"# B"), purpose="assistants")
    assert first.id.startswith("file_")
    assert (first.bytes, first.filename, first.status) == (3, "a.csv", "processed")
    assert [file.id async for file in client.files.list()] == [second.id, first.id]
    page = await client.files.list(limit=1, order="asc")
    assert ([file.id for file in page.data], page.has_more) == ([first.id], True)
    assert [file.id async for file in client.files.list(purpose="assistants")] == [second.id]
    assert (await client.files.retrieve(first.id)).purpose == "user_data"
    assert (await client.files.content(first.id)).read() == b"a,b"
    stranger = client_of(await make_key("ben"))
    assert (await stranger.files.list()).data == []
    for attempt in (stranger.files.retrieve, stranger.files.content, stranger.files.delete):
        with pytest.raises(openai.NotFoundError):
            await attempt(first.id)
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve("file_../../etc/passwd")
    assert (await client.files.delete(first.id)).deleted
    (left,) = await rows()
    assert isinstance(left, StoredFile)
    assert left.name == "b.md"


async def test_what_is_not_kept(make_key: Any, chatstream: Any) -> None:
    client = client_of(await make_key("ann"))
    with pytest.raises(openai.BadRequestError, match="no file that can be read"):
        await client.files.create(file=("a.exe", b"MZ\x00\x01"), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="`purpose` is one of"):
        await client.files.create(file=("a.txt", b"x"), purpose="batch")
    chatstream(max_file_mb=1)
    with pytest.raises(openai.APIStatusError, match="larger than 1 MB") as caught:
        await client.files.create(file=io.BytesIO(b"x" * 2**21), purpose="user_data")
    assert caught.value.status_code == 413
    with pytest.raises(openai.AuthenticationError):
        await client_of("anonymous").files.list()
