"""What is rendered when, how often, and what is shown meanwhile: by pools that answer as told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from streaming.markup import (
    Change,
    HtmlRenderer,
    HtmlSender,
    MarkupStream,
    render,
    render_all,
    whole,
)
from streaming.markup import rendering as rendering_module
from streaming.markup.cache import HtmlCache, digest
from streaming.markup.code import highlight_all, lexer
from streaming.markup.html import render_all as parse_all
from streaming.markup.plain import TAIL
from streaming.markup.renderer import RENDERER
from streaming.markup.segments import Segment, Segmenter
from streaming.system.bounded import Overrun, Unserved
from tests.support.inline_pool import InlinePool
from tests.support.passing_time import outlast_blocking, stays

PYTHON = "```python\nx = 1\n```\n"


class ToldPool(InlinePool):
    """Answers when it is told to, or with an error at once."""

    def __init__(self) -> None:
        self.holds = False
        self.error: Callable[[list[Any]], Exception | None] = lambda jobs: None
        self.calls: list[list[Any]] = []
        self._held: list[tuple[Future[Any], Callable[..., Any], list[Any]]] = []

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.calls.append(args[0])
        self._held.append((future, function, args[0]))
        if not self.holds:
            self.answer()
        return future

    def answer(self) -> None:
        held, self._held = self._held, []
        for future, function, jobs in held:
            if error := self.error(jobs):
                future.set_exception(error)
            else:
                future.set_result(function(jobs))

    @property
    def jobs(self) -> int:
        return sum(map(len, self.calls))


@pytest.fixture
def markdown(monkeypatch: pytest.MonkeyPatch) -> Iterator[ToldPool]:
    """The pool that parses; that of `code` does what it should, unless it is told otherwise."""
    pool = ToldPool()
    monkeypatch.setattr(RENDERER.markdown, "pool", pool)
    monkeypatch.setattr(RENDERER.markdown, "_open", {})
    monkeypatch.setattr(RENDERER, "_open", {})  # what others have left half done
    RENDERER.forget()
    yield pool
    RENDERER.forget()


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch, markdown: ToldPool) -> ToldPool:
    pool = ToldPool()
    monkeypatch.setattr(RENDERER.code, "pool", pool)
    monkeypatch.setattr(RENDERER.code, "_open", {})
    return pool


def test_the_same_text_is_rendered_once(markdown: ToldPool, code: ToldPool) -> None:
    text = f"some *words* here\n\n{PYTHON}"
    first = render(text)
    for _ in range(20):
        assert render(text) == first
    assert (markdown.jobs, code.jobs) == (1, 1)
    assert markdown.calls[0][0].final


def test_many_readers_of_an_answer_share_what_is_rendered_of_it(
    markdown: ToldPool, code: ToldPool
) -> None:
    deltas = [f"word{number} *and* more " for number in range(60)]
    alone = MarkupStream()
    for delta in deltas:
        alone.feed(delta)
    once = markdown.jobs
    for _ in range(15):
        stream = MarkupStream()
        for delta in deltas:
            stream.feed(delta)
    assert markdown.jobs == once


def test_what_took_too_long_is_plain_and_not_tried_again(
    markdown: ToldPool, code: ToldPool
) -> None:
    code.error = lambda jobs: Overrun("too long")
    plain = render(PYTHON)
    assert "<span" not in plain[0]
    assert "x = 1" in plain[0]
    code.error = lambda jobs: None
    assert render(PYTHON) == plain
    assert code.jobs == 1
    markdown.error = lambda jobs: Overrun("too long")
    assert render("a *b* <c>") == ['<p class="plain">a *b* &lt;c&gt;</p>']
    markdown.error = lambda jobs: None
    assert render("a *b* <c>") == ['<p class="plain">a *b* &lt;c&gt;</p>']


def test_what_was_not_tried_is_tried_later(markdown: ToldPool, code: ToldPool) -> None:
    markdown.error = code.error = lambda jobs: Unserved("no processes")
    assert render(f"a *b*\n\n{PYTHON}")[0] == '<p class="plain">a *b*</p>'
    markdown.error = code.error = lambda jobs: None
    later = render(f"a *b*\n\n{PYTHON}")
    assert later[0] == "<p>a <em>b</em></p>"
    assert "<span" in later[1]


def test_a_language_that_takes_too_long_again_and_again_is_left_alone(
    markdown: ToldPool, code: ToldPool
) -> None:
    code.error = lambda jobs: Overrun("too long")
    for number in range(10):
        render(f"```python\nx = {number}\n```")
    assert code.jobs == 3
    code.error = lambda jobs: None
    assert "<span" not in render("```python\ny\n```")[0]
    assert "<span" in render("```css\na { b: c }\n```")[0]


LONG = "x = 1\n" * 9_000


def test_long_code_is_coloured(markdown: ToldPool, code: ToldPool) -> None:
    [block] = render(f"```python\n{LONG}\n```")
    assert '<span class="n">x</span>' in block
    assert code.jobs == 1


def test_long_code_that_takes_too_long_leaves_short_code_its_colours(
    markdown: ToldPool, code: ToldPool
) -> None:
    code.error = lambda jobs: Overrun("too long") if len(jobs[0][0].text) > 20_000 else None
    for language in ("python", "css", "c", "d", "gas"):
        assert "<span" not in render(f"```{language}\n{LONG}\n```")[0]
    assert code.jobs == 3  # then all long code rests, of whatever language
    assert "<span" in render("```python\ny = 2\n```")[0]
    assert "<span" in render("```css\na { b: c }\n```")[0]


def test_what_was_in_one_call_with_a_bomb_is_rendered_by_itself(
    markdown: ToldPool, code: ToldPool
) -> None:
    code.holds = True
    blocks = [f"```python\nx = {number}\n```\n" for number in range(12)]
    blocks.insert(7, "```python\nbomb()\n```\n")
    code.error = lambda jobs: Overrun("too long") if any("bomb" in c.text for [c] in jobs) else None
    asked = whole.EndedText("\n".join(blocks))
    while any(not rendering.is_complete for rendering in asked.renderings):
        code.answer()
    shown = asked.blocks()
    assert ["<span" in block for block in shown] == ["bomb" not in block for block in shown]
    assert max(len(call) for call in code.calls) > 5


def test_a_call_that_was_lost_gives_its_place_to_others(
    monkeypatch: pytest.MonkeyPatch, markdown: ToldPool
) -> None:
    markdown.holds = True
    lost = [whole.EndedText(f"lost *{number}*") for number in range(10)]
    monkeypatch.setattr("streaming.markup.batches._LOST_SECONDS", 1.0)
    outlast_blocking(1.1, "what a call may take before it counts as lost")
    markdown.holds = False
    assert render("a *b*") == ["<p>a <em>b</em></p>"]
    assert lost[0].blocks() == ['<p class="plain">lost *0*</p>']
    markdown.answer()
    assert render("lost *0*") == ["<p>lost <em>0</em></p>"]


def test_a_lexer_that_fails_is_no_other_blocks_affair(
    monkeypatch: pytest.MonkeyPatch, markdown: ToldPool, code: ToldPool
) -> None:
    def fail(language: str) -> Any:
        if language == "css":
            raise ValueError("no")
        return lexer(language)

    monkeypatch.setattr("streaming.markup.code.lexer", fail)
    shown = render("```python\nx = 2\n```\n\n```css\na {}\n```\n\n```python\nx = 3\n```\n")
    assert ["<span" in block for block in shown] == [True, False, True]


def test_a_page_waits_for_a_bounded_time_in_all(
    monkeypatch: pytest.MonkeyPatch, markdown: ToldPool, code: ToldPool
) -> None:
    markdown.holds = True
    monkeypatch.setattr(rendering_module, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(rendering_module.wait, "__defaults__", (0.1,))
    began = time.monotonic()
    texts = [f"a *page* of {number}" for number in range(20)]
    assert render_all(texts) == [[f'<p class="plain">{text}</p>'] for text in texts]
    assert time.monotonic() - began < 10
    while RENDERER._open:
        markdown.answer()
    assert render_all(texts)[3] == ["<p>a <em>page</em> of 3</p>"]


def test_more_pages_than_may_wait_show_what_is_there(
    monkeypatch: pytest.MonkeyPatch, markdown: ToldPool
) -> None:
    markdown.holds = True
    room = [whole._room.acquire(blocking=False) for _ in range(whole._WAITING_PAGES)]
    assert all(room)
    try:
        assert render("a *b*") == ['<p class="plain">a *b*</p>']
    finally:
        for _ in room:
            whole._room.release()
        markdown.answer()


# --- a stream whose rendering is late ---


def test_what_is_late_is_shown_when_it_is_rendered(markdown: ToldPool, code: ToldPool) -> None:
    """In its order, and in the place for it; words that need no rendering are shown at once."""
    stream = MarkupStream()
    first = f"<p>First <em>words</em> of{TAIL}</p>"
    assert stream.feed("First *words* of").blocks[0].html == first
    markdown.holds = True
    stream.add(" it.")
    assert stream.take() == Change([], None, " it.")
    for delta in ("\n\nSecond *words*", " of it.\n\nThird ", "*words* of it"):
        stream.add(delta)
        assert stream.take() == Change([], None)
    while markdown._held:
        markdown.answer()
    stream.add("!")
    change = stream.take()
    assert [(block.index, block.html) for block in change.blocks] == [
        (0, "<p>First <em>words</em> of it.</p>"),
        (1, "<p>Second <em>words</em> of it.</p>"),
        (2, f"<p>Third{TAIL}</p>"),
    ]
    assert change.tail == " "
    stream.close()
    while markdown._held:
        markdown.answer()
    change = stream.end()
    assert [(block.index, block.html) for block in change.blocks] == [
        (2, "<p>Third <em>words</em> of it!</p>")
    ]
    assert (change.tail, stream.block_count) == ("", 3)


@pytest.mark.parametrize("error", [Overrun("too long"), Unserved("no processes")])
def test_what_cannot_be_rendered_goes_on_as_it_is_written(
    markdown: ToldPool, code: ToldPool, error: Exception
) -> None:
    markdown.error = lambda jobs: error
    stream = MarkupStream()
    assert stream.feed("some *words").blocks[0].html == f'<p class="plain">some *words{TAIL}</p>'
    assert stream.feed("* and\n- more") == Change([], None, "* and\n- more")
    [block] = stream.finish().blocks
    assert block.html == '<p class="plain">some *words* and\n- more</p>'


def test_what_is_late_is_waited_for_once(markdown: ToldPool) -> None:
    markdown.holds = True
    stream = MarkupStream()
    stream.add("some words that are long enough")
    assert len(stream.awaited()) == 1
    stream.take()
    stream.add(" and more")
    assert stream.awaited() == []
    stream.close()
    assert stream.awaited(late=True)
    assert stream.end().blocks[0].html == (
        '<p class="plain">some words that are long enough and more</p>'
    )
    markdown.answer()


def test_code_gets_its_colours_later(markdown: ToldPool, code: ToldPool) -> None:
    stream = MarkupStream()
    code.holds = True
    stream.add(PYTHON)
    change = stream.take()
    assert "<span" not in change.blocks[-1].html
    assert change.blocks[-1].index == 0
    stream.add("more words follow it, and")
    assert [block.index for block in stream.take().blocks] == [1]
    code.answer()
    stream.add(" more")
    [block] = stream.take().blocks
    assert block.index == 0
    assert "<span" in block.html
    stream.close()
    assert [block.index for block in stream.end().blocks] == [1]


# --- events ---


def delta(text: str, offset: int) -> str:
    event = {"type": "response.output_text.delta", "delta": text}
    return json.dumps(event | {"chatstream": {"offset": offset}})


async def test_events_keep_their_order_and_hold_up_nobody(markdown: ToldPool) -> None:
    sent: list[dict[str, Any]] = []

    async def send(text: str) -> None:
        sent.append(json.loads(text))

    sender = HtmlSender(HtmlRenderer(), send, send)
    markdown.holds = True
    texts = ["Words *that* are ", "rendered ", "late.\n\nAnd ", "others"]
    for number, text in enumerate(texts):
        async with asyncio.timeout(0.05):  # each returns at once
            await sender.send(delta(text, len("".join(texts[:number]))))
    item = {"type": "message", "content": [{"type": "output_text", "text": "".join(texts)}]}
    done = {"type": "response.completed", "response": {"output": [item]}}
    await sender.send(json.dumps(done))
    assert sent == []
    while not sent or sent[-1]["type"] != "response.completed":
        await asyncio.sleep(0.01)
        markdown.answer()
    assert [event.get("delta") for event in sent] == [*texts, None]
    told = {block["index"]: block["html"] for event in sent for block in event["blocks"]}
    assert told == {0: "<p>Words <em>that</em> are rendered late.</p>", 1: "<p>And others</p>"}


async def test_a_sender_that_is_cancelled_sends_nothing_more(markdown: ToldPool) -> None:
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    sender = HtmlSender(HtmlRenderer(), send, send)
    markdown.holds = True
    await sender.send(delta("some words", 0))
    await sender.send(delta(" more", 10))
    sender.cancel()
    markdown.answer()
    await stays(lambda: sent == [], 0.05)


async def test_an_event_that_cannot_be_sent_holds_back_no_other(
    markdown: ToldPool, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[str] = []

    async def send(text: str) -> None:
        if not sent:
            sent.append("")
            raise OSError("gone")
        sent.append(text)

    sender = HtmlSender(HtmlRenderer(), send, send)
    markdown.holds = True
    await sender.send(delta("some words", 0))
    await sender.send(delta(" more", 10))
    markdown.answer()
    while len(sent) < 2:
        await asyncio.sleep(0.01)
        markdown.answer()
    assert "could not be sent" in caplog.text


# --- the cache, and the work of the event loop itself ---


def test_the_cache_is_bounded_in_bytes() -> None:
    cache = HtmlCache(100_000)
    for number in range(100):
        cache.put(digest(str(number)), "x" * 10_000)
        assert cache.get(digest("0")) is not None or number > 9
        assert cache.size <= 100_000
    assert len(cache) == 9
    assert cache.get(digest("99")) == "x" * 10_000
    cache.put(digest("99"), "")
    assert cache.get(digest("99")) == ""
    cache.put(digest("huge"), "x" * 200_000)
    assert cache.size <= 100_000


def test_no_two_lists_of_texts_share_a_key() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a", "") != digest("a")
    assert digest("\ud800") == digest("\ud800")


UNITS = [
    " ",
    "a",
    "a ",
    "```x",
    "`",
    "~",
    "#",
    "- ",
    "1",
    "1.",
    "> ",
    "\t",
    "- a\n",
    "a\n\n",
    "```\n",
]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_segmenting_takes_time_in_proportion_to_the_text(
    monkeypatch: pytest.MonkeyPatch, unit: str, size: int
) -> None:
    looked_at = 0
    read = Segmenter._read

    def counting(self: Segmenter, line: str, complete: bool) -> Any:
        nonlocal looked_at
        looked_at += len(line)
        return read(self, line, complete)

    def work(chars: int) -> int:
        nonlocal looked_at
        looked_at = 0
        text = (unit * chars)[:chars]
        segmenter = Segmenter()
        for start in range(0, chars, size):
            segmenter.feed(text[start : start + size])
        segmenter.finish()
        return looked_at

    monkeypatch.setattr(Segmenter, "_read", counting)
    assert work(40_000) <= 2.2 * work(20_000) + 20_000


@pytest.mark.parametrize(
    "unit",
    [
        *(" ", "a", "a ", "\n", "```py\nx\n```\n", "- a\n", "word " * 40),
        *("a\n", "| a |\n", "- [a][b] $x$\n", "x *a* "),
    ],
)
def test_a_stream_copies_little_of_its_text(monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    """Each character of an answer that comes letter by letter, and each look at what is shown."""
    looked_at = 0
    text_of, after = Segment.text.fget, Segment.after

    def whole(segment: Segment) -> str:
        nonlocal looked_at
        looked_at += segment.size
        return text_of(segment)  # type: ignore[misc]

    def end(segment: Segment, start: int) -> str:
        nonlocal looked_at
        copied = after(segment, start)
        looked_at += len(copied)
        return copied

    monkeypatch.setattr(Segment, "text", property(whole))
    monkeypatch.setattr(Segment, "after", end)
    monkeypatch.setattr(RENDERER.markdown, "pool", InlinePool())
    monkeypatch.setattr(RENDERER.code, "pool", InlinePool())

    def work(chars: int) -> int:
        nonlocal looked_at
        looked_at = 0
        stream = MarkupStream()
        for character in ("words" + unit * chars)[:chars]:
            stream.feed(character)
        return looked_at

    assert work(16_000) <= 150 * 16_000


def test_what_runs_in_the_pool_needs_no_settings() -> None:
    """Its processes know nothing of Django's."""
    assert parse_all.__module__ == "streaming.markup.html"
    assert highlight_all.__module__ == "streaming.markup.code"
