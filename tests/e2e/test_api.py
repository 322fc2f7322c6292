"""The official `openai` client, unchanged, against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from streaming.client import ChatClient
from tests.support.processes import ServeProcess

FRANCE: Any = [{"role": "user", "content": "What is the capital of France?"}]
PATIENCE = 120.0


def client_of(server: ServeProcess, key: str = "anonymous") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=PATIENCE)


@pytest.fixture
def client(server: ServeProcess) -> Iterator[openai.OpenAI]:
    with client_of(server) as client:
        yield client


def test_the_models(client: openai.OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert ids == ["SmolLM2-135M-Instruct"]
    assert client.models.retrieve(ids[0]).id == ids[0]
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-4o")
    assert caught.value.code == "model_not_found"


def test_a_plain_call(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="default", messages=FRANCE, temperature=0, max_tokens=30
    )
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.model == "SmolLM2-135M-Instruct"
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert 0 < answer.usage.completion_tokens <= 30
    assert answer._request_id
    assert answer.id == f"chatcmpl-{answer._request_id}"


def test_a_stream_says_the_same(client: openai.OpenAI) -> None:
    fixed: Any = {"model": "default", "messages": FRANCE, "temperature": 0, "max_tokens": 30}
    whole = client.chat.completions.create(**fixed)
    stream = client.chat.completions.create(**fixed, stream=True)
    text, reasons = "", []
    for chunk in stream:  # as the client's own examples do it
        text += chunk.choices[0].delta.content or ""
        reasons.append(chunk.choices[0].finish_reason)
    assert text == whole.choices[0].message.content
    assert reasons[-1] == whole.choices[0].finish_reason
    assert set(reasons[:-1]) == {None}


def test_usage_of_a_stream(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="default",
            messages=FRANCE,
            max_tokens=5,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 5
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_clients_own_stream_helper(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="default", messages=FRANCE, temperature=0, max_tokens=30
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content
    assert "Paris" in "".join(deltas)


def test_sampling_is_repeatable(client: openai.OpenAI) -> None:
    fixed: Any = {"model": "default", "messages": FRANCE, "seed": 5, "max_tokens": 20}
    texts = {client.chat.completions.create(**fixed).choices[0].message.content for _ in range(2)}
    assert len(texts) == 1


def test_a_stop_text(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="default", messages=FRANCE, temperature=0, max_tokens=30, stop=["Paris"]
    )
    assert "Paris" not in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"


async def test_the_async_client(server: ServeProcess) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{server.url}/v1", api_key="anonymous", max_retries=0, timeout=PATIENCE
    ) as client:
        stream = await client.chat.completions.create(
            model="default", messages=FRANCE, temperature=0, max_tokens=30, stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        answer = await client.chat.completions.create(
            model="default", messages=FRANCE, temperature=0, max_tokens=30
        )
    assert "Paris" in text
    assert answer.choices[0].message.content == text


def test_a_begun_answer_is_continued(client: openai.OpenAI) -> None:
    begun: Any = [*FRANCE, {"role": "assistant", "content": "The capital of France is"}]
    answer = client.chat.completions.create(
        model="default", messages=begun, temperature=0, max_tokens=10
    )
    assert (answer.choices[0].message.content or "").startswith(" Paris")


def test_a_bare_text_goes_on(client: openai.OpenAI) -> None:
    """Without a chat template: the model has been given no question, and writes no answer."""
    fixed: Any = {"model": "default", "prompt": "The capital of France is", "temperature": 0}
    answer = client.completions.create(**fixed, max_tokens=8)
    (choice,) = answer.choices
    assert choice.text.startswith(" Paris")
    assert (answer.object, choice.finish_reason) == ("text_completion", "length")
    assert answer.usage
    assert answer.usage.prompt_tokens == 5
    stream = client.completions.create(
        **fixed, max_tokens=8, stream=True, stream_options={"include_usage": True}, echo=True
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == (
        fixed["prompt"] + choice.text
    )
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 8
    with pytest.raises(openai.BadRequestError) as tail:
        client.completions.create(**fixed, suffix="!")
    assert tail.value.param == "suffix"


def test_errors_by_the_clients_names(server: ServeProcess, client: openai.OpenAI) -> None:
    with client_of(server, "cs-wrong") as stranger, pytest.raises(openai.AuthenticationError) as no:
        stranger.chat.completions.create(model="default", messages=FRANCE)
    assert (no.value.code, no.value.status_code) == ("invalid_api_key", 401)
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-4o", messages=FRANCE)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as hot:
        client.chat.completions.create(model="default", messages=FRANCE, temperature=-1)
    assert hot.value.param == "temperature"
    tools: Any = [{"type": "function", "function": {"name": "f"}}]
    with pytest.raises(openai.BadRequestError) as tool:
        client.chat.completions.create(model="default", messages=FRANCE, tools=tools)
    assert (tool.value.param, tool.value.code) == ("tools", "unsupported_parameter")


def test_a_conversation_too_long_for_the_model(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "word " * 6000}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="default", messages=messages)
    assert caught.value.code == "context_length_exceeded"
    assert "maximum context length is 4096 tokens, and the messages take 60" in caught.value.message
    with pytest.raises(openai.BadRequestError) as streamed:
        client.chat.completions.create(model="default", messages=messages, stream=True)
    assert streamed.value.code == "context_length_exceeded"
    assert streamed.value.request_id
    # A short answer where little room is left, and none of the question is left out.
    messages = [{"role": "user", "content": "word " * 4055}]
    answer = client.chat.completions.create(model="default", messages=messages, max_tokens=100_000)
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert answer.usage is not None
    assert 4055 < answer.usage.prompt_tokens <= 4095
    begun = [{"role": "user", "content": "word " * 4200}, {"role": "assistant", "content": "Ok."}]
    trimmed = client.chat.completions.create(
        model="default",
        messages=[*begun, *FRANCE],  # type: ignore[list-item]
        extra_body={"truncation": "auto"},
        max_tokens=20,
    )
    assert trimmed.chatstream["trimmed_messages"] == 2  # type: ignore[attr-defined]


def test_any_word_is_a_visitor_wherever_a_key_is_asked_for(server: ServeProcess) -> None:
    for word in ("anonymous", "EMPTY", "sk-1"):
        with client_of(server, word) as client:
            assert client.models.list().data
    options = ("--temperature", "0", "--max-tokens", "20", "--url", server.url)
    said = server.manage("chat", "The capital of France?", "--api-key", "anonymous", *options)
    assert said.strip()

    async def ask() -> str:
        async with ChatClient(server.ws_url, "anonymous") as chat:
            assert chat.session_token
            answer = await chat.ask("Hi", max_tokens=5)
            await answer.done()
            return answer.text

    assert asyncio.run(ask())


def test_a_key_from_the_command_line(server: ServeProcess) -> None:
    server.manage(
        "createsuperuser",
        "--noinput",
        DJANGO_SUPERUSER_USERNAME="ada",
        DJANGO_SUPERUSER_EMAIL="a@example.org",
        DJANGO_SUPERUSER_PASSWORD="x",
    )
    secret = server.manage("createapikey", "ada", "--name", "test").strip()
    with client_of(server, secret) as client:
        answer = client.chat.completions.create(model="default", messages=FRANCE, max_tokens=1)
    assert answer.usage
    with pytest.raises(AssertionError, match="There is no account 'bob'"):
        server.manage("createapikey", "bob")


# --- the queue ---

CAP, WAITING, CALLS = 2, 10, 30


@contextlib.contextmanager
def full(folder: Path, **env: str) -> Iterator[ServeProcess]:
    """A server with a known cap, whose answers go on for a while."""
    server = ServeProcess(
        folder,
        env={
            "CHATSTREAM_ENGINE": "tests.support.fake_engine.ProcessEngine",
            "FAKE_STEP_SECONDS": "0.05",
            "CHATSTREAM_MAX_RUNNING": str(CAP),
            "CHATSTREAM_MAX_WAITING": str(WAITING),
            "CHATSTREAM_MAX_PER_OWNER": "0",
            "CHATSTREAM_MAX_PER_ADDRESS": "0",
            **env,
        },
    )
    try:
        server.wait_until_ready()
        yield server
    finally:
        assert server.stop() == 0
        assert "Traceback" not in server.output, server.output


@pytest.mark.parametrize("stream", [False, True])
async def test_thirty_at_once(tmp_path: Path, stream: bool) -> None:
    """Exactly as many are answered as have a place, all others are told when to come again."""
    refused, decided = 0, asyncio.Event()
    words, gate = 20, tmp_path / "gate"

    async def ask(client: openai.AsyncOpenAI) -> str:
        nonlocal refused
        fixed: Any = {"model": "default", "messages": [{"role": "user", "content": "go"}]}
        try:
            if not stream:
                answer = await client.chat.completions.create(**fixed, max_tokens=words)
                assert decided.is_set(), "an answer ended before the last decision"
                return answer.choices[0].message.content or ""
            text = ""
            chunks = await client.chat.completions.create(**fixed, max_tokens=words, stream=True)
            async for chunk in chunks:
                text += chunk.choices[0].delta.content or ""
            assert decided.is_set(), "an answer ended before the last decision"
            return text
        except openai.RateLimitError as error:
            refused += 1
            if refused == CALLS - CAP - WAITING:
                decided.set()
                gate.touch()
            assert error.code == "rate_limit_exceeded"
            assert error.body["chatstream"]["code"] == "queue_full"  # type: ignore[index]
            assert error.type == "rate_limit_error"
            assert error.response.headers["content-type"] == "application/json"
            assert 1 <= int(error.response.headers["retry-after"]) <= 60
            return "refused"

    with full(tmp_path, FAKE_GATE=str(gate), FAKE_STEP_SECONDS="0.02") as server:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="anonymous", max_retries=0, timeout=PATIENCE
        ) as client:
            ends = Counter(await asyncio.gather(*(ask(client) for _ in range(CALLS))))
    answer = "".join(f"w{number} " for number in range(words))
    assert ends == {answer: CAP + WAITING, "refused": CALLS - CAP - WAITING}


def test_the_clients_own_retries_get_through(tmp_path: Path) -> None:
    """With its usual settings the client comes again after `Retry-After`."""
    message: Any = [{"role": "user", "content": "go"}]
    with (
        full(tmp_path, CHATSTREAM_MAX_WAITING="0", CHATSTREAM_MAX_RUNNING="1") as server,
        client_of(server) as client,
    ):
        stream = client.chat.completions.create(
            model="default", messages=message, max_tokens=40, stream=True
        )
        next(iter(stream))
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="default", messages=message)
        answer = client.with_options(max_retries=5).chat.completions.create(
            model="default", messages=message, max_tokens=2
        )
        assert answer.choices[0].message.content == "w0 w1 "
        stream.close()


def test_the_place_is_told_while_waiting(tmp_path: Path) -> None:
    with full(tmp_path, CHATSTREAM_MAX_RUNNING="1") as server, client_of(server) as client:
        message: Any = [{"role": "user", "content": "go"}]
        running = client.chat.completions.create(
            model="default", messages=message, max_tokens=60, stream=True
        )
        next(iter(running))
        waiting = client.chat.completions.create(
            model="default", messages=message, max_tokens=3, stream=True
        )
        first = next(iter(waiting))
        assert first.chatstream["position"] == 1  # type: ignore[attr-defined]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in waiting) == "w0 w1 w2 "


def test_a_server_that_ends_leaves_no_traceback(tmp_path: Path) -> None:
    body = {"model": "default", "messages": [{"role": "user", "content": "go"}], "stream": True}
    with full(tmp_path, CHATSTREAM_MAX_RUNNING="1") as server, contextlib.ExitStack() as stack:
        http = stack.enter_context(httpx.Client(base_url=server.url, timeout=PATIENCE))
        for _ in range(3):
            response = stack.enter_context(http.stream("POST", "/v1/chat/completions", json=body))
            assert response.status_code == 200
            assert next(response.iter_text())
        assert server.stop() == 0
        with contextlib.closing(sqlite3.connect(tmp_path / "db.sqlite3")) as database:
            rows = database.execute("SELECT status FROM streaming_response").fetchall()
        print(rows)
        assert rows.count(("cancelled",)) >= 2  # those that waited
