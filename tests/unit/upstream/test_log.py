"""What the log tells of a server: our own words; what it said itself only in short, at DEBUG."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from streaming.engine.base import FinishReason
from streaming.engine.upstream.error_responses import of_event, of_status
from streaming.engine.upstream.faults import UpstreamFault
from tests.support.fake_upstream import Act, Exchange, FakeUpstream, refusal
from tests.unit.engine.gathered import Gathered
from tests.unit.upstream.test_faults import then

Start = Callable[..., Gathered]

FORGED = (
    "all is lost\n2026-01-01 ERROR streaming.worker.queue_worker \x1b[2J\u2028\u202e" + "\ud83d"
)
PROMPT = "What is the secret of quaggas?"
SAID = f"{FORGED} {PROMPT} " + "x" * 5000


def raw(head: str, body: str = "") -> Act:
    async def act(exchange: Exchange) -> None:
        exchange._writer.write(f"{head}\r\n\r\n{body}".encode("utf-8", "surrogatepass"))
        await exchange._writer.drain()
        exchange._writer.close()

    return act


ACTS: dict[str, Act] = {
    "an error": refusal(400, {"error": {"message": SAID, "code": SAID, "type": SAID}}),
    "a text": refusal(400, SAID.encode("ascii", "replace").decode()),
    "faults": refusal(422, {"detail": [{"loc": [SAID], "msg": SAID}]}),
    "a name": refusal(404, {"error": SAID}),
    "it broke": refusal(500, {"message": SAID}),
    "busy": refusal(429, {"error": SAID}, Retry_After="1000"),
    "an event": then("w", end=lambda exchange: exchange.chunk({"error": {"message": SAID}})),
    "a code": then(
        "w", end=lambda exchange: exchange.chunk({"error": {"message": SAID, "code": 10**4000}})
    ),
    "a reason": then("w", end=lambda exchange: exchange.end(SAID)),
    "no JSON": then("w", end=lambda exchange: exchange.data(f"{{{PROMPT}")),
    "a redirect": raw(f"HTTP/1.1 301 x\r\nLocation: http://x/{PROMPT}\r\nContent-Length: 0"),
    "a content type": raw(f"HTTP/1.1 200 x\r\nContent-Type: {PROMPT}\r\nContent-Length: 0"),
    "no HTTP": raw(f"{PROMPT} all is lost"),
    "a phrase": raw(f"HTTP/1.1 500 {PROMPT}\r\nContent-Length: 0"),
    "an encoding": raw(
        f"HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\nContent-Encoding: {PROMPT}"
    ),
}


def lines_of(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [
        f"{record.getMessage()} {record.exc_text or ''}"
        for record in caplog.records
        if record.levelno >= level and record.name.startswith("streaming")
    ]


@pytest.mark.parametrize("kind", ACTS)
def test_a_servers_words_are_not_in_the_log(
    start: Start, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    upstream.acts.extend([ACTS[kind]] * 6)
    with caplog.at_level(logging.DEBUG, "streaming"):
        done = start(patience_seconds=0.01).ask("r", PROMPT)
    assert done.reason is FinishReason.ERROR
    told = lines_of(caplog, logging.INFO)
    assert any("Response r failed" in line for line in told)
    for line in told:
        assert "quaggas" not in line
        assert "all is lost" not in line
        assert line.isprintable()
    for line in lines_of(caplog, logging.DEBUG):
        assert line.isprintable(), line
        assert len(line) < 700
    for said in ("quaggas", "all is lost", "xxx"):
        assert said not in done.error_message
    assert done.error_message.isprintable()
    assert len(done.error_message) < 200


def test_the_excerpt_is_there_for_who_asks_for_it(
    start: Start, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.acts.append(refusal(404, {"error": "no such model: it\n"}))
    with caplog.at_level(logging.DEBUG, "streaming"):
        start().ask("r", PROMPT)
    assert r"'no such model: it\n'" in caplog.text
    assert "HTTP 404" in caplog.text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, {"error": SAID}),
        (401, SAID.encode("ascii", "replace").decode()),
        (200, SAID.encode("ascii", "replace").decode()),
        (200, {"data": [{"id": SAID}]}),
        (200, {"data": [{"id": "m", "owned_by": SAID}]}),
        (503, {"message": SAID}),
        (301, {"message": SAID}),
    ],
)
def test_nor_are_they_where_it_is_looked_after(
    start: Start, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture, status: int, said: Any
) -> None:
    upstream.models, upstream.models_status = said, status
    with caplog.at_level(logging.INFO, "streaming"):
        engine = start().engine
    for text in (engine.unavailable_reason, engine.info.name, *lines_of(caplog, logging.INFO)):
        assert "all is lost" not in text
        assert text.isprintable()
        assert len(text) < 300


@pytest.mark.parametrize("code", [10**4000, -1, 0, 99, True, "500", None, [], 600])
def test_a_code_that_is_none_is_a_failure_like_others(code: Any) -> None:
    fault = of_event({"code": code, "message": SAID})
    assert "HTTP 500" in fault.detail
    assert isinstance(fault, UpstreamFault)


@pytest.mark.parametrize("body", [b"\xff" * 9, b"[" * 100_000, b"9" * 10_000, b"{" * 10, b""])
def test_an_errors_body_of_any_bytes(body: bytes) -> None:
    fault = of_status(400, {}, body)
    assert fault.detail.isprintable()
    assert len(fault.said) <= 300
