"""Sockets opened with `?markup=html`: every event of a response carries its HTML, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User

from streaming.identity import keys
from streaming.markup import RENDERER, html_renderer, render
from streaming.system.bounded import Unserved
from tests.support.endings import ending, is_end
from tests.support.fake_engine import FakeEngine, thoughts
from tests.support.inline_pool import InlinePool
from tests.support.passing_time import outlast
from tests.support.structure import with_items

pytestmark = pytest.mark.django_db(transaction=True)

HTML = "?markup=html&version=2"
TEXT = "# Title\n\nSome *text* that is long enough to be shown.\n\n```python\nx = 1\n```\n\nEnd"


class Reader:
    """Blocks and tail as a page keeps them."""

    def __init__(self, blocks: list[str] | None = None) -> None:
        self.blocks = blocks or []
        self.tail = ""

    def read(self, event: dict[str, Any]) -> None:
        del self.blocks[event.get("block_count", len(self.blocks)) :]
        for block in event["blocks"]:
            index = block["index"]
            assert index <= len(self.blocks), "a block is missing"
            html = block["html"]
            if "keep" in block:
                html = with_items(self.blocks[index], block["keep"], html)
            self.blocks[index : index + 1] = [html]
        tail = event["tail"]
        self.tail = self.tail + event["more"] if tail is None else tail


async def read_to_end(chat: Any, reader: Reader) -> dict[str, Any]:
    while True:
        event = await chat.next()
        if event["type"] == "response.output_text.delta" or is_end(event):
            reader.read(event)
        if is_end(event):
            return ending(event)


async def test_the_blocks_are_those_of_the_whole_text(client: Any, start_worker: Any) -> None:
    await start_worker(FakeEngine())
    chat = await client(query=HTML)
    await chat.ask(f"say {TEXT}")
    reader = Reader()
    done = await read_to_end(chat, reader)
    assert done["text"] == TEXT
    assert (reader.blocks, reader.tail) == (render(TEXT), "")


async def test_other_sockets_get_no_html(client: Any, start_worker: Any) -> None:
    await start_worker(FakeEngine())
    for query in ("", "?markup=text", "?other=html"):
        chat = await client(query=query)
        await chat.ask(f"say {TEXT}")
        await chat.end()
        assert not any({"blocks", "tail", "block_count"} & event.keys() for event in chat.received)


async def test_a_late_reader_gets_all_from_the_beginning(client: Any, start_worker: Any) -> None:
    """`starting_after` means nothing here: a block may begin long before."""
    await start_worker(FakeEngine())
    session = {"visitor": "late"}
    chat = await client(query=HTML, session=session)
    queued = await chat.ask(f"say {TEXT}")
    await chat.until("response.output_text.delta")
    late = await client(query=HTML, session=session)
    await late.send("chatstream:resume", response_id=queued["response_id"], starting_after=1000)
    reader = Reader()
    await read_to_end(late, reader)
    assert reader.blocks == render(TEXT)
    deltas = [e for e in late.received if e["type"] == "response.output_text.delta"]
    assert "".join(event["delta"] for event in deltas) == TEXT
    assert late.received[1:] == late.numbered()
    numbers = [event["sequence_number"] for event in late.received[1:]]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_the_end_alone_brings_the_whole_text(client: Any, start_worker: Any) -> None:
    await start_worker(FakeEngine())
    session = {"visitor": "after"}
    chat = await client(query=HTML, session=session)
    queued = await chat.ask(f"say {TEXT}")
    await chat.end()
    late = await client(query=HTML, session=session)
    await late.send("chatstream:resume", response_id=queued["response_id"])
    reader = Reader()
    await read_to_end(late, reader)
    assert reader.blocks == render(TEXT)


async def test_a_continuation_changes_the_blocks_of_what_it_continues(
    client: Any, start_worker: Any
) -> None:
    await start_worker(FakeEngine())
    chat = await client(query=HTML, session={"visitor": "on"})
    queued = await chat.ask("say One *two* three\n\nand four", params={"max_tokens": 2})
    reader = Reader()
    cut = await read_to_end(chat, reader)
    assert cut["status"] == "incomplete"
    prefix = cut["text"]
    await chat.send("response.create", continues=queued["response_id"], params={"max_tokens": 12})
    more = await chat.until("response.queued")
    reader = Reader(render(prefix))
    done = await read_to_end(chat, reader)
    assert done["text"].startswith("w0 w1")
    assert reader.blocks == render(prefix + done["text"])
    later = await client(query=HTML, session={"visitor": "on"})
    await later.send("chatstream:resume", response_id=more["response_id"])
    reader = Reader(render(prefix))
    await read_to_end(later, reader)
    assert reader.blocks == render(prefix + done["text"])


async def test_the_same_prompt_sent_again_is_dressed_as_before(
    client: Any, start_worker: Any
) -> None:
    """A continuation known to the record is read from there, with what it continues."""
    await start_worker(FakeEngine())
    session = {"visitor": "twice"}
    chat = await client(query=HTML, session=session)
    queued = await chat.ask("anything", params={"max_tokens": 3})
    cut = await chat.end()
    assert cut["text"] == "w0 w1 w2 "
    create = {
        "response_id": "11111111-1111-4111-8111-111111111111",
        "continues": queued["response_id"],
    }
    await chat.send("response.create", **create)
    await chat.until("response.queued")
    other = await client(query=HTML, session=session)
    await other.send("response.create", **create)
    await other.until("response.queued")
    event = await other.until("response.output_text.delta")
    assert event["block_count"] == 1
    assert event["blocks"][0]["html"].startswith("<p>w0 w1 w2 w0")


class SlowPool(InlinePool):
    """Never answers where a text is `slow`."""

    def __init__(self) -> None:
        self.held: list[Future[Any]] = []

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        if any("slow" in job.text for job in args[0]):
            self.held.append(Future())
            return self.held[-1]
        return super().submit(function, *args)


async def test_an_answer_that_is_rendered_slowly_holds_up_no_other(
    client: Any, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same socket, neither its deltas nor what the reader asks for."""
    pool = SlowPool()
    monkeypatch.setattr(RENDERER.markdown, "pool", pool)
    monkeypatch.setattr(RENDERER.markdown, "_open", {})
    RENDERER.forget()
    await start_worker(FakeEngine(max_running=3))
    chat = await client(query=HTML)
    slow = await chat.ask("say slow *words*, and more of them\n\nEnd")
    await outlast(0.2, "the wait of a delta for its HTML")
    other = await chat.ask(f"say {TEXT}")
    endless = await chat.ask("go on")
    await chat.send("response.cancel", response_id=endless["response_id"])
    ended: list[str] = []
    while len(ended) < 3:
        event = await chat.end()
        ended.append(event["response_id"])
        if event["response_id"] == slow["response_id"]:
            assert [block["html"] for block in event["blocks"]] == [
                '<p class="plain">slow *words*, and more of them</p>',
                "<p>End</p>",
            ]
    assert set(ended[:2]) == {other["response_id"], endless["response_id"]}
    slow_events = [e for e in chat.received if e.get("response_id") == slow["response_id"]]
    numbers = [e["sequence_number"] for e in slow_events if e.get("sequence_number")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert pool.held
    for future in pool.held:
        future.set_exception(Unserved("away"))
    RENDERER.forget()


async def test_what_waits_for_its_html_is_not_sent_behind_the_close(
    client: Any, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers other than ours take it for a fault of the application."""
    pool = SlowPool()
    monkeypatch.setattr(RENDERER.markdown, "pool", pool)
    monkeypatch.setattr(RENDERER.markdown, "_open", {})
    monkeypatch.setattr(RENDERER.code, "pool", InlinePool())
    monkeypatch.setattr(html_renderer, "PATIENCE_SECONDS", 30)
    RENDERER.forget()
    await start_worker(FakeEngine())
    user = await User.objects.acreate_user("ann")
    key, secret = await database_sync_to_async(keys.create)(user, "a program")
    chat = await client(query=HTML, headers=[(b"authorization", f"Bearer {secret}".encode())])
    await chat.ask("say slow *words*, and more of them\n\nEnd")
    while not pool.held:
        await asyncio.sleep(0.01)
    await database_sync_to_async(keys.revoke)(key)
    await chat.until("error", code="login_required")
    assert await chat.close_code() == 4401
    for future in pool.held:
        future.set_exception(Unserved("away"))
    assert await chat._communicator.receive_nothing(0.5)
    RENDERER.forget()


async def test_a_thought_is_plain_text_beside_the_html(client: Any, start_worker: Any) -> None:
    """For who reads from the beginning, who comes amid the thought, and who comes after the end."""
    await start_worker(FakeEngine(step_seconds=0.02))
    session = {"visitor": "thinks"}
    chat = await client(query=HTML, session=session)
    queued = await chat.ask(f"think 12 say {TEXT}")
    await chat.until("response.reasoning_text.delta")
    amid = await client(query=HTML, session=session)
    await amid.send("chatstream:resume", response_id=queued["response_id"], starting_after=1000)
    for each in (chat, amid):
        reader = Reader()
        done = await read_to_end(each, reader)
        assert reader.blocks == render(TEXT)
        deltas = [e for e in each.received if e["type"] == "response.reasoning_text.delta"]
        assert "".join(e["delta"] for e in deltas) == done["reasoning"] == thoughts(12)
        assert not any({"blocks", "tail"} & event.keys() for event in deltas)
    after = await client(query=HTML, session=session)
    await after.send("chatstream:resume", response_id=queued["response_id"])
    reader = Reader()
    done = await read_to_end(after, reader)
    assert (done["reasoning"], reader.blocks) == (thoughts(12), render(TEXT))


async def test_a_thought_that_is_gone_on_with_has_no_blocks(client: Any, start_worker: Any) -> None:
    await start_worker(FakeEngine(step_seconds=0.02))
    chat = await client(query=HTML)
    queued = await chat.ask("think 90 stop 2")
    await chat.until("response.reasoning_text.delta")
    await chat.send("response.cancel", response_id=queued["response_id"])
    cut = await chat.end()
    assert (cut["text"], cut["blocks"]) == ("", [])
    await chat.send("response.create", continues=queued["response_id"])
    reader = Reader()
    done = await read_to_end(chat, reader)
    assert cut["reasoning"] + done["reasoning"] == thoughts(90)
    assert reader.blocks == render("w0 w1 ")
