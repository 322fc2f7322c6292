"""Images that a model is to see: their bytes are lost, or too many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from streaming.engine.base import ChatMessage, SamplingParams
from streaming.files.keeping import keep
from streaming.lifecycle import history_images
from streaming.models import Response
from streaming.record.attachments import IMAGE_GONE
from streaming.record.starts import Work
from streaming.record.tasks import Requester
from tests.integration.files.conftest import places, png, url_of
from tests.support.fake_engine import FakeEngine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage", "here")]


async def test_lost_bytes_hold_up_nobody_else(
    client: Any, start_worker: Any, storage: Path
) -> None:
    await start_worker(FakeEngine(max_running=1, sees=True))
    first, second, third = await client(), await client(), await client()
    before = await first.ask("stop 900")
    image = {"type": "input_image", "image_url": url_of(png())}
    await second.send("response.create", event_id="e", input=[image])
    await second.until("response.queued")
    (path,) = places(storage)
    path.unlink()
    asked = await third.ask("stop 1")
    await first.send("response.cancel", response_id=before["response_id"])
    assert (await third.end(response_id=asked["response_id"]))["status"] == "completed"
    ended = await second.end()
    assert ended["status"] == "failed"
    assert "image" in ended["error"]["message"]


async def test_images_of_one_prompt_are_bounded(
    ann: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await keep(ann, "a.png", png())
    image = {"type": "input_image", "image_url": None, "detail": "auto"}
    kept = {**image, "file_id": f"file_{file.pk.hex}"}
    turns = [
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "1", parts=(kept,)),
        ChatMessage("assistant", "2"),
        ChatMessage("user", "3", parts=(kept, {**image, "file_id": f"file_{uuid4().hex}"})),
    ]
    work = Work(Response(), tuple(turns), SamplingParams(1, 1), left_out=4)
    shown = {**image, "image_url": url_of(png())}
    whole = await history_images.with_images(work)
    assert [turn.parts for turn in whole.messages[1::2]] == [(shown,), (shown, IMAGE_GONE)]
    monkeypatch.setattr(history_images, "MOST_BYTES", file.size)
    cut = await history_images.with_images(work)
    assert [turn.content for turn in cut.messages] == ["Be brief.", "3"]
    assert cut.left_out == 6
    with pytest.raises(history_images.ImagesRefused):
        await history_images.with_images(replace(work, trims=False))
    monkeypatch.setattr(history_images, "MOST_BYTES", file.size - 1)
    with pytest.raises(history_images.ImagesRefused, match="more than 0 MB"):
        await history_images.with_images(work)
