"""`streaming.client` over lines that are cut and servers that are killed: each answer once, and
to the letter."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.client import (
    Answer,
    ChatClient,
    ChatError,
    OutputTextDelta,
    ResponseInProgress,
    ResponseQueued,
    ResponseQueuePosition,
)
from streaming.client import link as link_module
from streaming.client import persistent_link as persistent_link_module
from tests.faults.cluster import Cluster
from tests.support.endings import text_of
from tests.support.fake_engine import words
from tests.support.processes import ServeProcess
from tests.support.proxy import proxy
from tests.support.valkey import free_port

PATIENCE = 60.0
FAKE = {
    "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
    "CHATSTREAM_MAX_RUNNING": "2",
    "CHATSTREAM_MAX_PER_OWNER": "0",
    "CHATSTREAM_MAX_PER_ADDRESS": "0",
    "CHATSTREAM_MAX_WAITING": "1000",
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistent_link_module, "backoff", lambda tries: 0.05)


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    server = ServeProcess(tmp_path_factory.mktemp("fake"), env=FAKE)
    server.wait_until_ready()
    yield server
    server.stop()


async def read(answer: Answer) -> tuple[str, int]:
    """The text as its events say it, and how often it began."""
    text, begun = "", 0
    async with asyncio.timeout(PATIENCE):
        async for event in answer:
            if isinstance(event, ResponseInProgress):
                text, begun = "", begun + 1
            elif isinstance(event, OutputTextDelta):
                assert event.chatstream.offset == len(text)
                text += event.delta
    assert (
        text == answer.text == text_of(item.model_dump() for item in (await answer.done()).output)
    )
    return text, begun


async def wait_for_words(answer: Answer, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while answer.text.count(" ") < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("prompt", ["stop 400", "waits"])
async def test_a_line_that_forwards_no_more_is_left(
    fake: ServeProcess, monkeypatch: pytest.MonkeyPatch, prompt: str
) -> None:
    """Nobody closes it, and WebSocket's own pings may be answered by who stands between."""
    monkeypatch.setattr(link_module, "QUIET_SECONDS", 0.3)
    async with (
        proxy(fake.ws_url) as line,
        ChatClient(line.url, ping_interval=None) as chat,
        ChatClient(fake.ws_url) as other,
    ):
        busy = [await other.ask("stop 200") for _ in range(2)] if prompt == "waits" else []
        answer = await chat.ask("stop 400" if prompt != "waits" else "stop 5")
        if not busy:
            await wait_for_words(answer, 5)
        line.stall()
        async with asyncio.timeout(PATIENCE):
            await answer.done()
        assert answer.text == "".join(words(5 if busy else 400))
        assert line.connections == 2


async def test_a_line_cut_in_the_midst_of_an_answer(fake: ServeProcess) -> None:
    async with proxy(fake.ws_url) as line, ChatClient(line.url) as chat:
        answer = await chat.ask("stop 150")
        reading = asyncio.create_task(read(answer))
        for count in (10, 50, 100):
            await wait_for_words(answer, count)
            line.cut()
        assert await reading == ("".join(words(150)), 1)
        assert line.connections == 4


async def test_a_line_cut_while_waiting_keeps_the_place(fake: ServeProcess) -> None:
    async with ChatClient(fake.ws_url) as rival:
        running = [await rival.ask("stop 100000", max_tokens=1024) for _ in range(2)]
        async with proxy(fake.ws_url) as line, ChatClient(line.url) as chat:
            answers = [await chat.ask(f"stop {number}") for number in (3, 4)]
            for _ in range(2):
                places = [answer.place for answer in answers]
                assert all(place is not None for place in places)
                connections = line.connections
                line.cut()
                async with asyncio.timeout(PATIENCE):
                    while line.connections == connections:
                        await asyncio.sleep(0.01)
                    # Told anew, on the new line.
                    while any(a.place is p for a, p in zip(answers, places, strict=True)):
                        await asyncio.sleep(0.01)
                assert [a.place and a.place.position for a in answers] == [1, 2]
            await answers[1].edit("stop 5")
            for answer in running:
                await answer.cancel()
            texts = await asyncio.gather(*(read(answer) for answer in answers))
            assert texts == [("".join(words(3)), 1), ("".join(words(5)), 1)]
        ends = [await answer.done() for answer in running]
        assert [end.status for end in ends] == ["cancelled", "cancelled"]


async def test_a_line_that_breaks_at_any_byte(fake: ServeProcess) -> None:
    """Each connection carries a little more than the one before it, cut wherever that is."""
    async with proxy(fake.ws_url) as line:
        chat = ChatClient(line.url)
        await chat.connect()
        line.cut()
        line.bound = 1000
        async with chat:
            asking = asyncio.gather(*(chat.ask(f"stop {number}") for number in (31, 41, 51)))
            async with asyncio.timeout(PATIENCE):
                while not asking.done():
                    line.bound += 61
                    await asyncio.sleep(0.05)
                answers = await asking
                reading = asyncio.gather(*(read(answer) for answer in answers))
                while not reading.done():
                    line.bound += 97
                    await asyncio.sleep(0.05)
            assert await reading == [("".join(words(number)), 1) for number in (31, 41, 51)]
            assert line.connections > 3
            asked = prompts(fake)
            assert [asked.count(f"stop {number}") for number in (31, 41, 51)] == [1, 1, 1]


def prompts(server: ServeProcess) -> list[str]:
    """The prompt of every response on record."""
    code = (
        "from streaming.models import Response\n"
        "for response in Response.objects.select_related('prompt'): print(response.prompt.content)"
    )
    return server.manage("shell", "--no-imports", "-c", code).splitlines()


async def test_a_server_killed_and_started_again_begins_anew_and_once(tmp_path: Path) -> None:
    """All in one process: what ran is lost with it, and the record puts it back."""
    port = str(free_port())
    server = ServeProcess(tmp_path, "--port", port, env=FAKE)
    try:
        server.wait_until_ready()
        async with ChatClient(server.ws_url) as chat:
            answer = await chat.ask("stop 200")
            reading = asyncio.create_task(read(answer))
            await wait_for_words(answer, 20)
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            server = await asyncio.to_thread(ServeProcess, tmp_path, "--port", port, env=FAKE)
            text, begun = await reading
            assert text == "".join(words(200))
            assert begun == 2
            assert prompts(server) == ["stop 200"]
    finally:
        server.stop(signal.SIGKILL)


async def test_a_web_process_killed_and_started_again(cluster: Cluster) -> None:
    """The worker goes on meanwhile: not a word is generated twice."""
    worker = await asyncio.to_thread(cluster.start_worker)
    async with ChatClient(cluster.urls[0]) as chat:
        answer = await chat.ask("stop 300")
        reading = asyncio.create_task(read(answer))
        await wait_for_words(answer, 20)
        await asyncio.to_thread(cluster.kill_web, 0)
        await asyncio.to_thread(cluster.start_web, 0)
        assert await reading == ("".join(words(300)), 1)
        # One step reads the prompt.
        assert cluster.words_by(worker, str(answer.id)) == 301


async def test_a_worker_killed_in_the_midst(cluster: Cluster) -> None:
    first = await asyncio.to_thread(cluster.start_worker)
    async with ChatClient(cluster.urls[0]) as chat:
        answer = await chat.ask("stop 150")
        reading = asyncio.create_task(read(answer))
        await wait_for_words(answer, 20)
        await asyncio.to_thread(cluster.kill_worker, first)
        await asyncio.to_thread(cluster.start_worker)
        text, begun = await reading
        assert text == "".join(words(150))
        assert begun == 1


async def test_places_count_down_to_the_answer(fake: ServeProcess) -> None:
    async with ChatClient(fake.ws_url) as chat:
        answers = [await chat.ask("stop 40") for _ in range(6)]
        async with asyncio.timeout(PATIENCE):
            told = [
                event.position
                async for event in answers[-1]
                if isinstance(event, ResponseQueued | ResponseQueuePosition)
            ]
        assert told == sorted(told, key=lambda place: -(place or 0))
        assert told[0] == 4
        assert told[-1] in (1, 2)  # two answers end together
        for answer in answers:
            await answer.done()
            assert answer.text == "".join(words(40))


async def test_more_prompts_than_a_socket_may_send_at_once(fake: ServeProcess) -> None:
    seen: list[bool] = []
    async with asyncio.timeout(PATIENCE):
        async with ChatClient(fake.ws_url, on_connection=seen.append) as chat:
            answers = await asyncio.gather(*(chat.ask("stop 1") for _ in range(150)))
            await asyncio.gather(*(answer.done() for answer in answers))
    assert [answer.text for answer in answers] == ["w0 "] * 150
    assert seen == [True, False]


async def test_an_api_key_is_an_account_on_every_connection(fake: ServeProcess) -> None:
    make = (
        "from django.contrib.auth.models import User; from streaming.identity import keys\n"
        "print(keys.create(User.objects.create_user('ada'), 'test')[1])"
    )
    key = (await asyncio.to_thread(fake.manage, "shell", "--no-imports", "-c", make)).strip()
    async with proxy(fake.ws_url) as line, ChatClient(line.url, key) as chat:
        assert chat.session_token is None
        answer = await chat.ask("stop 60")
        await wait_for_words(answer, 10)
        line.cut()
        assert await read(answer) == ("".join(words(60)), 1)
        async with ChatClient(fake.ws_url) as stranger:
            with pytest.raises(ChatError) as refused:
                await stranger.resume(answer.id)
            assert refused.value.code == "forbidden"
        revoke = "from streaming.models import ApiKey; from django.utils import timezone\n"
        revoke += "ApiKey.objects.update(revoked_at=timezone.now())"
        answer = await chat.ask("stop 1000")
        await asyncio.to_thread(fake.manage, "shell", "--no-imports", "-c", revoke)
        line.cut()
        with pytest.raises(ChatError) as lost:
            await answer.done()
        assert lost.value.code == "login_required"
        assert "revoked" in lost.value.message
