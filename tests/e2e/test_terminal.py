"""`manage.py chat` on a terminal and in a pipe, against a server whose words are known."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from streaming.client import ChatClient
from tests.support import terminal
from tests.support.fake_engine import thoughts, words
from tests.support.processes import ROOT, ServeProcess, clean_environ
from tests.support.terminal import Terminal
from tests.support.valkey import free_port
from tests.unit.client.scripted import Line, scripted, stay

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31mred\x7f\u202eevil\r\n"
PATIENCE = 60


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server with one place, 50 words a second."""
    server = ServeProcess(
        tmp_path_factory.mktemp("fake"),
        env={
            "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
            "CHATSTREAM_MAX_RUNNING": "1",
            "CHATSTREAM_MAX_WAITING": "2",
            "CHATSTREAM_MAX_TOKENS": "100000",
            "CHATSTREAM_DISCONNECT_GRACE": "1",
            "CHATSTREAM_MAX_INSTRUCTIONS_CHARS": "50",
        },
    )
    server.wait_until_ready()
    yield server
    server.stop()


Open = Callable[..., Terminal]


@pytest.fixture
def open_terminal() -> Iterator[Open]:
    opened: list[Terminal] = []

    def open_chat(*args: str, **options: Any) -> Terminal:
        opened.append(terminal.chat(*args, **options))
        return opened[-1]

    yield open_chat
    for each in opened:
        each.close()


def piped(*args: str, text: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "chat", *args],
        cwd=ROOT,
        env=clean_environ(**env),
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


# --- on a terminal ---


def test_wait_stream_stop_and_ask_again(fake: ServeProcess, open_terminal: Open) -> None:
    with connect(fake.ws_url) as rival:
        rival.send('{"type": "response.create", "input": "stop 100000"}')
        while "in_progress" not in str(rival.recv(PATIENCE)):
            pass
        chat = open_terminal("--url", fake.url)
        chat.until("fake")
        chat.until("> ")
        chat.type("stop 100000\n")
        chat.until("Position 1 of 1, you are next")
    # The rival is gone: after the grace time the place is free.
    chat.until(r"w0 w1 w2 ")
    chat.until(r"w30 ")
    chat.type("\x03")
    chat.until(r"w0 w1 w2 [^>]*Stopped\.")
    chat.until("> ")
    chat.type("stop 3\n")
    chat.until(r"w0 w1 w2\s+> ")
    chat.type("/new\n")
    chat.until("A new conversation")
    chat.type("/nothing\n")
    chat.until("There is no /nothing")
    chat.type("/help\n")
    chat.until("/quit  leave")
    chat.type("/quit\n")
    assert chat.end() == 0
    assert "Traceback" not in chat.output


def test_instructions_and_the_models_card(fake: ServeProcess, open_terminal: Open) -> None:
    chat = open_terminal("--url", fake.url, "--instructions", "Be brief.")
    chat.until("> ")
    chat.type("/instructions\n")
    chat.until(r"Instructions: Be brief\.")
    chat.type("/model\n")
    chat.until(r"Weights: float32[^>]*Context: 4,096 tokens")
    chat.type("stop 3\n")
    chat.until(r"w0 w1 w2\s+> ")
    chat.type("/instructions " + "x" * 51 + "\n")
    chat.until(r"Instructions: x+\s+> ")
    chat.type("stop 2\n")
    chat.until(r"at most 50 are\s+allowed")
    chat.until("> ")
    chat.type("/instructions none\n")
    chat.until(r"No instructions\.")
    chat.type("stop 3\n")
    chat.until(r"w0 w1 w2\s+> ")
    chat.type("/quit\n")
    assert chat.end() == 0
    missing = piped("--url", fake.url, "--instructions", "@/nowhere/rules", "stop 1")
    assert missing.returncode == 1
    assert "cannot be read from /nowhere/rules" in missing.stderr


def test_two_interrupts_or_an_end_leave(fake: ServeProcess, open_terminal: Open) -> None:
    chat = open_terminal("--url", fake.url)
    chat.until("> ")
    chat.type("stop 100000\n")
    chat.until("w9 ")
    chat.type("\x03")
    chat.until("Stopped")
    chat.until("> ")
    chat.interrupt_prompt()
    assert chat.end() == 0
    chat = open_terminal("--url", fake.url)
    chat.until("> ")
    chat.interrupt_prompt()
    chat.until("once more")
    chat.until("> ")
    chat.type("\x04")
    assert chat.end() == 0


def test_several_lines_are_one_prompt(fake: ServeProcess, open_terminal: Open) -> None:
    """With bracketed paste, as terminals do it, and without, as simple ones do."""
    for begin, end, term in (("\x1b[200~", "\x1b[201~", "xterm-256color"), ("", "", "dumb")):
        chat = open_terminal("--url", fake.url, "--max-tokens", "4", TERM=term)
        chat.until("> ")
        chat.type(f"{begin}first line\nsecond line\nthird line{end}\n")
        chat.until(r"w0 w1 w2 w3")
        chat.until(r"cut at its token limit")
        chat.until("> ")
        chat.type("/quit\n")
        assert chat.end() == 0
        assert chat.shown.count("cut at its token limit") == 1, chat.shown


def test_a_thought_is_dimmed_and_then_comes_the_answer(
    fake: ServeProcess, open_terminal: Open
) -> None:
    chat = open_terminal("--url", fake.url)
    chat.until("> ")
    chat.type("think 60 stop 3\n")
    chat.until("t0 t1 ")
    assert "\x1b[2mt0 t1 " in chat.output
    chat.until(r"t59\W[^w]*Thought for \d+ s\.[^w]*w0 w1 w2\s+> ")
    chat.type("/quit\n")
    assert chat.end() == 0


def test_no_color(fake: ServeProcess, open_terminal: Open) -> None:
    chat = open_terminal("--url", fake.url, "--max-tokens", "4", NO_COLOR="1")
    chat.until("> ")
    chat.type("hello\n")
    chat.until("cut at its")
    chat.type("/quit\n")
    assert chat.end() == 0
    assert "\x1b[3" not in chat.output.replace("\x1b[3m", "")


def test_a_model_cannot_speak_to_the_terminal() -> None:
    async def script(line: Line) -> None:
        await line.greet(model=f"model{NASTY}")
        response_id = await line.accept()
        await line.begin(response_id)
        await line.delta(response_id, 4, NASTY, 0)
        await line.done(response_id, 5, NASTY)
        event = await line.heard("response.create")
        await line.error("queue_full", event, message=NASTY)
        await stay(line)

    def talk(url: str) -> str:
        chat = terminal.chat("--url", url)
        try:
            chat.until("> ")
            chat.type("hello\n")
            chat.until("evil")
            chat.until("> ")
            chat.type("hello\n")
            chat.until("queue_full")
            chat.until("> ")
            chat.type("/quit\n")
            assert chat.end() == 0
            return chat.output
        finally:
            chat.close()

    async def main() -> str:
        async with scripted(script) as server:
            return await asyncio.to_thread(talk, server.url)

    output = asyncio.run(main())
    assert "␛]0;owned␇␛[2J" in output
    for bad in ("\x1b]", "\x07", "\x1b[2J", "\x9b", "\x7f", "\u202e"):
        assert bad not in output


def test_a_long_answer_is_shown_whole_at_its_end() -> None:
    """While it streams, no more than the screen can take."""
    lines = ["# Title", "```python", *(f"line = {number}" for number in range(120)), "```", "End."]
    text = "\n".join(lines)

    async def script(line: Line) -> None:
        await line.greet()
        response_id = await line.accept()
        await line.begin(response_id)
        offset = 0
        for number, part in enumerate(lines):
            await line.delta(response_id, number + 4, part + "\n", offset)
            offset += len(part) + 1
            await asyncio.sleep(0.01)
        await line.done(response_id, len(lines) + 4, text + "\n")
        await stay(line)

    def talk(url: str) -> str:
        chat = terminal.chat("--url", url, NO_COLOR="1")
        try:
            chat.until("> ")
            chat.type("hello\n")
            chat.until(r"line = 50\b")  # in the midst: the block is one although it began above
            chat.until(r"End\.")
            chat.until("> ")
            chat.type("/quit\n")
            assert chat.end() == 0
            return chat.shown
        finally:
            chat.close()

    async def main() -> str:
        async with scripted(script) as server:
            return await asyncio.to_thread(talk, server.url)

    shown = asyncio.run(main())
    whole = shown[shown.rindex("Title") :]
    numbers = [int(word) for word in re.findall(r"line = (\d+)", whole)]
    assert numbers[-120:] == list(range(120))
    assert "`" not in shown


# --- in a pipe ---


def test_a_prompt_prints_its_answer_and_nothing_else(fake: ServeProcess) -> None:
    text = "".join(words(5)) + "\n"
    for done in (
        piped("--url", fake.url, "stop 5"),
        piped("--url", fake.ws_url, text="stop 5\n"),
        piped("--url", fake.url, text="stop 5", NO_COLOR="1", TERM="dumb"),
    ):
        assert (done.returncode, done.stdout, done.stderr) == (0, text, "")


def test_a_thought_is_no_part_of_the_output(fake: ServeProcess) -> None:
    text = "".join(words(3)) + "\n"
    done = piped("--url", fake.url, "think 4 stop 3")
    assert (done.returncode, done.stdout, done.stderr) == (0, text, "")
    done = piped("--url", fake.url, "--reasoning", "think 4 stop 3")
    assert (done.returncode, done.stdout, done.stderr) == (0, text, thoughts(4) + "\n")
    done = piped("--url", fake.url, "--reasoning", "--reasoning-effort", "none", "think 4 stop 3")
    assert (done.returncode, done.stdout, done.stderr) == (0, text, "")


def test_an_empty_answer_is_said_beside_the_output(fake: ServeProcess) -> None:
    done = piped("stop 0", "--url", fake.url)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "The model wrote nothing.\n"


def test_what_goes_wrong_goes_to_stderr(fake: ServeProcess) -> None:
    failed = piped("--url", fake.url, "fail 2")
    assert failed.returncode == 1
    assert failed.stdout == "w0 w1 \n"
    assert "The fake engine failed as asked. (engine_error)" in failed.stderr

    cut = piped("--url", fake.url, "--max-tokens", "2", "more")
    assert (cut.returncode, cut.stdout) == (0, "w0 w1 \n")
    assert "token limit" in cut.stderr

    for args, said in (
        (("--url", f"127.0.0.1:{free_port()}", "hi"), "cannot be reached"),
        (("--url", fake.url, "--api-key", "cs-wrong", "hi"), "(login_required)"),
        (("--url", f"{fake.url}/elsewhere/", "hi"), "403"),
        (("--url", fake.url, "--temperature", "-1", "hi"), "greater than or equal to 0"),
        (("--url", fake.url, " "), "There is no prompt."),
        (("--url", fake.url), "There is no prompt."),
    ):
        refused = piped(*args)
        assert refused.returncode == 1, args
        assert refused.stdout == ""
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr


def test_the_key_may_come_from_the_environment(fake: ServeProcess) -> None:
    refused = piped("--url", fake.url, "hi", CHATSTREAM_API_KEY="cs-wrong")
    assert "login_required" in refused.stderr


def test_an_interrupt_stops_the_answer(fake: ServeProcess) -> None:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "chat", "--url", fake.url, "stop 100000"],
        cwd=ROOT,
        env=clean_environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.read(30).startswith(b"w0 w1 ")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out.endswith(b"\n")
    assert err == b"Stopped.\n"


def test_a_reader_that_has_enough(fake: ServeProcess) -> None:
    command = f"{sys.executable} manage.py chat --url {fake.url} 'stop 400' | head -c 12"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "w0 w1 w2 w3 "
    assert done.stderr == ""


def test_neither_model_nor_database_is_needed(fake: ServeProcess, tmp_path: Path) -> None:
    probe = (
        "import sys, django.core.management as m\n"
        "try: m.execute_from_command_line(sys.argv)\n"
        "finally: print(sorted(set(sys.modules) & {'torch', 'transformers'}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, "chat", "--url", fake.url, "stop 1"],
        cwd=ROOT,
        env=clean_environ(
            DJANGO_SETTINGS_MODULE="chatsite.settings",
            DATABASE_URL=f"sqlite:///{tmp_path}/no/folder/db.sqlite3",
            PYTHONPATH=os.fspath(ROOT),
        ),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "w0 \n"
    assert done.stderr == "[]\n"


async def test_a_conversation_goes_on(fake: ServeProcess) -> None:
    async with ChatClient(fake.ws_url) as chat:
        first = await chat.ask("stop 2")
        second = await first.reply("stop 3")
        await second.done()
        assert second.text == "w0 w1 w2 "
        assert second.conversation_id == first.conversation_id
        assert (await second.done()).usage.input_tokens == 3
