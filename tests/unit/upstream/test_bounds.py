"""A server that says more than an answer can be: it fills no memory, and it is told so."""

from __future__ import annotations

import gzip
import json
import logging
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from streaming.engine.base import Finished, FinishReason, PassedDelta, Started, TextDelta
from streaming.engine.upstream import bounds
from tests.support.fake_upstream import MODEL, Act, Exchange, FakeUpstream, words
from tests.unit.engine.gathered import Gathered
from tests.unit.upstream.test_answers import request
from tests.unit.upstream.test_faults import wait_until

Start = Callable[..., Gathered]

MOST_TOKENS = 20
CHARS = bounds.answer_chars(MOST_TOKENS)
ENDLESS = 2**40


@contextmanager
def memory(most_bytes: int) -> Iterator[None]:
    """Both sides of the connection together."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most_bytes


def again(data: bytes, times: int = ENDLESS, *before: str) -> Act:
    """Say the same for ever, or until the client leaves; how often, in `exchange.times`."""

    async def act(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say(*before)
        exchange.times = 0  # type: ignore[attr-defined]
        for _ in range(times):
            await exchange.raw(data)
            exchange.times += 1  # type: ignore[attr-defined]
        await exchange.end()

    return act


def event(**delta: Any) -> bytes:
    return f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n".encode()


def ask(gathered: Gathered, **params: Any) -> Finished:
    gathered.engine.submit(request(("user", "x"), **{"max_tokens": MOST_TOKENS, **params}))
    done = gathered.wait("r")
    assert isinstance(done, Finished)
    return done


def deltas(gathered: Gathered) -> list[TextDelta]:
    return [said for said in gathered.of("r") if isinstance(said, TextDelta)]


@pytest.mark.parametrize("size", [100, 5_000, 200_000])
def test_an_answer_is_no_longer_than_its_tokens_can_be(
    start: Start, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    upstream.acts.append(again(event(content="x" * size)))
    gathered = start()
    with memory(32_000_000):
        done = ask(gathered)
    assert done.reason is FinishReason.LENGTH
    assert gathered.text("r") == "x" * min(CHARS, size * (8 * MOST_TOKENS + 1))
    assert "does not stop" in caplog.text
    assert upstream.exchange(0).left.wait(30)


def test_a_long_answer_at_once_is_passed_on_in_parts(start: Start, upstream: FakeUpstream) -> None:
    """By a server or a proxy that gathers."""
    text = "".join(f"word {number} " for number in range(20_000))
    assert len(text) < bounds.EVENT_BYTES
    upstream.acts.append(words(text, completion=5_000))
    gathered = start()
    done = ask(gathered, max_tokens=6_000)
    assert done == Finished("r", FinishReason.STOP, 11, 5_000)
    assert gathered.text("r") == text
    assert all(len(said.text) <= bounds.DELTA_CHARS for said in deltas(gathered))
    assert sum(len(said.tokens) for said in deltas(gathered)) == 5_000


NOTHING = {
    "comments": b": still here\n\n",
    "bare lines": b"\n\n",
    "empty objects": b"data: {}\n\n" * 100,
    "empty deltas": event() * 100,
    "empty texts": event(content="") * 100,
    "roles": event(role="assistant") * 100,
    "other fields": event(tool_calls=[{"x": "y" * 500}], audio="z" * 500) * 10,
    "names": b"event: ping\ndata: \n\n" * 100,
    "ids": b"id: 1\n\n" * 100,
    "usage of nothing": b'data: {"usage": {"prompt_tokens": 1, "completion_tokens": 0}}\n\n' * 100,
}


@pytest.mark.parametrize("before", [(), ("some", " text")])
@pytest.mark.parametrize("kind", NOTHING)
def test_a_stream_that_says_nothing_for_ever_ends(
    start: Start, upstream: FakeUpstream, kind: str, before: tuple[str, ...]
) -> None:
    data = NOTHING[kind]
    upstream.acts.append(again(data * (1 + 2_000 // len(data)), ENDLESS, *before))
    gathered = start()
    with memory(32_000_000):
        done = ask(gathered)
    assert (done.reason, done.error_code) == (FinishReason.ERROR, "engine_error")
    assert done.error_message == "The model's server sent more than an answer can be."
    assert gathered.text("r") == "".join(before)
    assert upstream.exchange(0).left.wait(30)


def test_a_server_that_is_alive_for_long_is_borne(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(again(b": still here\n\n" + event(), 5_000, "all"))
    gathered = start()
    assert ask(gathered, max_tokens=1).reason is FinishReason.STOP
    assert gathered.text("r") == "all"


def test_no_call_has_a_gap(start: Start, upstream: FakeUpstream) -> None:
    def part(arguments: str) -> bytes:
        return event(tool_calls=[{"index": 0, "function": {"arguments": arguments}}])

    async def act(exchange: Exchange) -> None:
        await exchange.begin()
        for arguments in ('{"path": "/', "x" * CHARS, '"}'):
            await exchange.raw(part(arguments))
        await exchange.end()

    upstream.acts.append(act)
    gathered = start()
    done = ask(gathered, passed={"tools": [{"type": "function"}]})
    assert done.reason is FinishReason.LENGTH
    said = [each.fields for each in gathered.of("r") if isinstance(each, PassedDelta)]
    assert [call["function"]["arguments"] for each in said for call in each["tool_calls"]] == [
        '{"path": "/'
    ]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_endless_reasoning_ends_with_the_tokens(
    start: Start, upstream: FakeUpstream, field: str
) -> None:
    upstream.acts.append(again(event(**{field: "hm" * 1000})))
    gathered = start()
    with memory(32_000_000):
        assert ask(gathered).reason is FinishReason.LENGTH
    assert gathered.text("r") == ""
    assert sum(len(said.tokens) for said in deltas(gathered)) <= 9 * MOST_TOKENS


@pytest.mark.parametrize(
    "line",
    [b"data: ", b"data: {", b"x", b": ", b"event: ", b'data: {"choices": [{"delta": {"content": "'],
)
def test_a_line_without_an_end(start: Start, upstream: FakeUpstream, line: bytes) -> None:
    async def act(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.raw(line)
        while True:
            await exchange.raw(b"x" * 50_000)

    upstream.acts.extend([act, act])
    with memory(32_000_000):
        done = ask(start())
    assert (done.reason, done.error_code) == (FinishReason.ERROR, "engine_error")


def test_an_event_without_an_end(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.extend([again(b"data: 1\n" * 1000)] * 2)
    with memory(32_000_000):
        done = ask(start())
    assert (done.reason, done.error_code) == (FinishReason.ERROR, "engine_error")


@pytest.mark.parametrize("counts", [(1, 10**8), (10**8, 1), (1, 19, 1, 19), (0, 20), (-1, True)])
def test_no_count_makes_more_tokens_than_there_are(
    start: Start, upstream: FakeUpstream, counts: tuple[Any, ...]
) -> None:
    async def act(exchange: Exchange) -> None:
        await exchange.begin()
        while True:
            for count in counts:
                usage = {"prompt_tokens": count, "completion_tokens": count}
                await exchange.say("x", usage=usage)

    upstream.acts.append(act)
    gathered = start()
    with memory(32_000_000):
        ask(gathered)
    most = 2 * (8 * MOST_TOKENS + 10_000)
    assert sum(len(said.tokens) for said in deltas(gathered)) <= most
    assert len(gathered.text("r")) <= CHARS


def test_an_answer_begins_anew_only_so_often(start: Start, upstream: FakeUpstream) -> None:
    """By an error that says `busy`, which is waited for, in the middle of each attempt."""

    async def act(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.say(*["x" * 1000] * 3)
        await exchange.chunk({"error": {"code": 503, "message": "busy"}})

    upstream.acts.extend([act] * 1000)
    gathered = start(continues=False)
    done = ask(gathered)
    assert (done.reason, done.error_code) == (FinishReason.ERROR, "engine_error")
    assert sum(len(said.text) for said in deltas(gathered)) <= 2 * CHARS
    assert len([said for said in gathered.of("r") if isinstance(said, Started)]) < 5


# --- bodies ---


def body(status: int, data: bytes, times: int = ENDLESS, **headers: str) -> Act:
    """An answer whose body is the same again and again."""

    async def act(exchange: Exchange) -> None:
        content = headers.pop("Content_Type", "application/json")
        await exchange._head(status, content, headers, "Transfer-Encoding: chunked")
        for _ in range(times):
            await exchange.raw(data)
        await exchange.close()

    return act


@pytest.mark.parametrize("data", [b"x" * 60_000, b"[" * 60_000, b'{"error":' * 6_000])
def test_an_errors_body_without_an_end(start: Start, upstream: FakeUpstream, data: bytes) -> None:
    upstream.acts.append(body(418, data))
    with memory(32_000_000):
        assert ask(start()).error_code == "upstream_refused"
    assert upstream.exchange(0).left.wait(30)


def test_an_errors_body_that_never_comes(
    start: Start, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.engine.upstream.server._ERROR_SECONDS", 0.2)

    async def act(exchange: Exchange) -> None:
        await exchange._head(418, "text/plain", {}, "Content-Length: 100")
        await exchange.go_on.wait()

    upstream.acts.append(act)
    assert ask(start()).error_code == "upstream_refused"


def bomb(size: int) -> bytes:
    """So many bytes of an answer's events, packed."""
    packer = zlib.compressobj(9, wbits=31)
    said = event(content="x" * 1000) * 1000
    parts = [packer.compress(said) for _ in range(size // len(said))]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x", "GZIP"])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_nothing_is_unpacked(
    start: Start, upstream: FakeUpstream, status: int, encoding: str
) -> None:
    packed = bomb(50_000_000)
    headers = {"Content_Encoding": encoding, "Content_Type": "text/event-stream"}
    upstream.acts.extend(body(status, packed, 1, **headers) for _ in range(6))
    with memory(16_000_000):
        done = ask(start())
    assert done.reason is FinishReason.ERROR
    assert done.error_code in ("upstream_refused", "engine_error")
    assert upstream.exchange(0).headers["accept-encoding"] == "identity"


class Listing(FakeUpstream):
    """Answers a question for its models with these bytes."""

    listed = b""
    headers: tuple[str, ...] = ()

    async def _serve_one(self, reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *self.headers, "", ""]
        writer.write("\r\n".join(head).encode())
        exchange = Exchange({}, {}, writer)
        for at in range(0, len(self.listed), 50_000):
            await exchange.raw(self.listed[at : at + 50_000])
        await exchange.close()


@pytest.mark.parametrize(
    ("listed", "headers", "found"),
    [
        (b'{"data": [' + b" " * 30_000_000, (), ""),
        (b'{"data": [' + b"{}," * 3_000_000 + b"{}]}", (), ""),
        (b"[" * 1_000_000, (), ""),
        (
            gzip.compress(json.dumps({"data": [MODEL]}).encode(), mtime=0),
            ("Content-Encoding: gzip",),
            "",
        ),
        (bomb(50_000_000), ("Content-Encoding: gzip",), ""),
        (json.dumps({"data": [{"id": f"m{n}"} for n in range(20_000)]}).encode(), (), "m0"),
        (json.dumps({"data": [{"id": "x" * 900_000}, {"id": "m0"}]}).encode(), (), "m0"),
        (json.dumps({"data": [{"id": "a\nb\x1b"}, {"id": ""}, {"id": "m0"}]}).encode(), (), "m0"),
        (b'{"data": [{"id": "m0", "max_model_len": 1e999}]}', (), "m0"),
        (b'{"data": [{"id": "m0", "max_model_len": -5}]}', (), "m0"),
        (b'{"data": [{"id": "m0", "max_model_len": "many"}]}', (), "m0"),
        (b'{"data": [{"id": "m0", "meta": "none", "owned_by": {}}]}', (), "m0"),
        (b'{"data": [{"id": "m0", "meta": {"n_ctx": 1' + b"0" * 4000 + b"}}]}", (), "m0"),
        (b'{"data": {"m0": {}}}', (), ""),
        (b'{"data": "m0"}', (), ""),
    ],
)
def test_a_list_of_models(listed: bytes, headers: tuple[str, ...], found: str) -> None:
    upstream = Listing()
    upstream.listed, upstream.headers = listed, headers
    upstream.start()
    try:
        from streaming.engine.upstream import UpstreamEngine

        gathered = Gathered(UpstreamEngine(upstream.url, probe_seconds=30))
        with memory(64_000_000):
            gathered.engine.start(gathered.sink)
        try:
            wait_until(lambda: gathered.engine.info.name == found)
            assert bool(gathered.engine.unavailable_reason) is not bool(found)
            assert gathered.engine.info.context_tokens == 0
        finally:
            gathered.engine.close()
    finally:
        upstream.stop()


def test_the_end_is_logged_in_our_words(
    start: Start, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.acts.append(again(b": a stranger's words\n\n" * 1000))
    with caplog.at_level(logging.INFO, "streaming"):
        ask(start())
    assert "more bytes than an answer can have" in caplog.text
    assert "a stranger's words" not in caplog.text
