"""Files in a prompt of `/ws/chat/`."""

from __future__ import annotations

from typing import Any

import pytest
from channels.db import database_sync_to_async

from streaming.engine.base import GenerationRequest
from streaming.models import Conversation, Message, Response, StoredFile
from tests.integration.files.conftest import png, url_of
from tests.support.fake_engine import FakeEngine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage", "here")]


class HearingEngine(FakeEngine):
    """Keeps what it was asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.heard: list[GenerationRequest] = []

    def submit(self, request: GenerationRequest) -> None:
        self.heard.append(request)
        super().submit(request)


@database_sync_to_async
def asked(queued: Any) -> tuple[Conversation, Message, StoredFile]:
    """What was asked by the response of an event."""
    message = Response.objects.get(pk=queued["response_id"]).prompt
    return message.conversation, message, StoredFile.objects.get()


FILE = {"type": "input_file", "filename": "a.csv", "file_data": url_of(b"a,b", "text/csv")}


async def test_the_model_reads_a_file_that_is_edited_around(client: Any, start_worker: Any) -> None:
    engine = HearingEngine(max_running=1)
    await start_worker(engine)
    chat = await client()
    before = await chat.ask("stop 900")
    parts = [{"type": "input_text", "text": "Sum up"}, FILE]
    await chat.send("response.create", event_id="e", input=parts)
    queued = await chat.until("response.queued")
    await chat.send("chatstream:update", response_id=queued["response_id"], input="Explain")
    await chat.until("chatstream:updated")
    conversation, message, file = await asked(queued)
    assert conversation.title == "Explain"
    frame = 'File "a.csv":\n```\na,b\n```'
    assert message.content == f"Explain\n\n{frame}"
    assert [part["type"] for part in message.parts] == ["input_text", "input_file"]
    assert message.parts[1]["file_id"] == f"file_{file.pk.hex}"
    await chat.send("response.cancel", response_id=before["response_id"])
    await chat.until("response.in_progress", response_id=queued["response_id"])
    assert engine.heard[-1].messages[-1].content == message.content


async def test_a_file_alone_is_a_prompt(client: Any, start_worker: Any) -> None:
    await start_worker(FakeEngine(max_running=1))
    chat = await client()
    await chat.send("response.create", event_id="e", input=[FILE])
    queued = await chat.until("response.queued")
    conversation, message, _ = await asked(queued)
    assert conversation.title == "a.csv"
    assert message.content == 'File "a.csv":\n```\na,b\n```'


async def test_what_is_not_taken_is_said_with_its_part(client: Any, start_worker: Any) -> None:
    await start_worker(FakeEngine(max_running=1))
    chat = await client()
    image = {"type": "input_image", "image_url": url_of(png())}
    await chat.send("response.create", event_id="e", input=[FILE, image])
    error = await chat.until("error")
    assert (error["code"], error["param"]) == ("invalid_file", "input[1]")
    assert error["message"] == "This model reads text only, no images."
