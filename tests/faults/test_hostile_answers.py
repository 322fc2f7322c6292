"""Answers that are made to keep a server busy: nobody but their own reader notices anything.

What the server's own process would hang in for years is killed in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection

from tests.e2e.chat import events_to_end, open_chat, receive, send
from tests.support.endings import is_end
from tests.support.processes import ServeProcess

HEALTH_SECONDS = 2.0
"""It is 0.1 s that is promised; a machine that runs tests may be busy with others."""

GAP_SECONDS = 3.0
"""Between two words of another answer, which has one every 20 ms."""

BOMBS = {
    "maple": '"' + " " * 40,
    "systemd": ":" + " " * 490,
    "ldif": "\n".join([":" + " " * 490] * 4),
    "autoit": "\n".join(["#cs" + " " * 480] * 4),
}
"""What each of these lexers of Pygments takes long for; the first takes years."""

ENGINES = ["tests.support.fake_engine.ProcessEngine", "tests.faults.engines.CarelessEngine"]
"""The second one's server tries to highlight these languages, too."""


def answer(language: str) -> str:
    return f"Words *before* it.\n\n```{language}\n{BOMBS[language]}\n```\n\nWords **after** it."


def serve(folder: Path, engine: str) -> ServeProcess:
    server = ServeProcess(
        folder,
        env={
            "CHATSTREAM_ENGINE": engine,
            "CHATSTREAM_MAX_RUNNING": "8",
            "CHATSTREAM_MAX_TOKENS": "2000",
            "CHATSTREAM_MAX_INPUT_CHARS": "20000",
        },
    )
    server.wait_until_ready()
    return server


@pytest.fixture(params=ENGINES, ids=["as it is", "careless"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(tmp_path: Path, engine: str) -> Iterator[ServeProcess]:
    server = serve(tmp_path, engine)
    try:
        yield server
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()


class Visitor:
    """Somebody with a browser's cookies."""

    def __init__(self, server: ServeProcess) -> None:
        self.http = httpx.AsyncClient(base_url=server.url, timeout=20)
        self._ws_url = server.ws_url

    async def __aenter__(self) -> Visitor:
        await self.http.get("/")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def open(self) -> ClientConnection:
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        headers = {"Cookie": cookies, "Origin": str(self.http.base_url).rstrip("/")}
        return await open_chat(self._ws_url + "?markup=html&version=2", additional_headers=headers)

    async def ask(self, text: str) -> tuple[str, list[dict[str, object]]]:
        """The conversation, and all events of an answer that says a text."""
        async with await self.open() as socket:
            await send(socket, "response.create", input=f"say {text}")
            events = await events_to_end(socket)
        assert is_end(events[-1]), events[-1]
        return str(events[1]["conversation_id"]), events


@contextlib.asynccontextmanager
async def healthy(server: ServeProcess) -> AsyncIterator[list[float]]:
    """Ask for the server's health all the time, and fail if an answer takes long."""
    seconds: list[float] = []

    async def look() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=HEALTH_SECONDS) as http:
            while True:
                began = time.monotonic()
                assert (await http.get("/healthz")).status_code == 200
                seconds.append(time.monotonic() - began)
                await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield seconds
        assert not looking.done() or looking.result()
        print(f"/healthz: {len(seconds)} times, {1000 * max(seconds):.0f} ms at most")
        assert max(seconds) < HEALTH_SECONDS
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def longest_gap(server: ServeProcess, words: int) -> float:
    """Seconds between two words of an answer, at most."""
    socket = await open_chat(server.ws_url)
    async with socket:
        await send(socket, "response.create", input=f"stop {words}")
        moments = []
        while not is_end(event := await receive(socket)):
            assert event["type"] != "error", event
            if event["type"] == "response.output_text.delta":
                moments.append(time.monotonic())
    return max(later - sooner for sooner, later in itertools.pairwise(moments))


async def test_nobody_else_notices_hostile_answers(
    server: ServeProcess, tmp_path: Path, engine: str
) -> None:
    async with Visitor(server) as visitor, healthy(server):
        other = asyncio.create_task(longest_gap(server, 300))
        answers = await asyncio.gather(*(visitor.ask(answer(language)) for language in BOMBS))
        for conversation, events in answers:
            blocks = {
                block["index"]: block["html"] for e in events for block in e.get("blocks", ())
            }
            assert blocks[0] == "<p>Words <em>before</em> it.</p>"
            assert blocks[1].startswith('<div class="code" data-language=')
            assert blocks[2] == "<p>Words <strong>after</strong> it.</p>"
            page = await visitor.http.get(f"/c/{conversation}/")
            assert page.status_code == 200
            assert "<strong>after</strong>" in page.text
        gap = await other
        print(f"the other answer paused for {1000 * gap:.0f} ms at most")
        assert gap < GAP_SECONDS
    assert ("of maple took too long" in server.output) == ("Careless" in engine)
    helpers = psutil.Process(server.process.pid).children(recursive=True)
    assert server.stop() == 0
    assert psutil.wait_procs(helpers, timeout=10)[1] == []
    again = serve(tmp_path, engine)
    try:
        async with Visitor(again) as later, healthy(again):
            later.http.cookies = visitor.http.cookies
            for conversation, _ in answers:
                page = await later.http.get(f"/c/{conversation}/")
                assert page.status_code == 200
                assert "<strong>after</strong>" in page.text
        assert again.stop() == 0
    finally:
        if again.process.poll() is None:
            again.process.kill()
            again.process.wait()


async def test_a_server_ends_while_a_process_of_it_hangs(server: ServeProcess) -> None:
    async with Visitor(server) as visitor, await visitor.open() as socket:
        await send(socket, "response.create", input=f"say {answer('maple')}")
        while "after" not in (event := await receive(socket)).get("delta", ""):
            assert event["type"] != "error", event
        helpers = psutil.Process(server.process.pid).children(recursive=True)
        began = time.monotonic()
        assert server.stop() == 0
    print(f"ended after {time.monotonic() - began:.1f} s")
    assert psutil.wait_procs(helpers, timeout=10)[1] == []
