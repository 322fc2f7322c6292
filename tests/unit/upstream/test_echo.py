"""An answer is gone on with: what readers have is not said again, whether the server echoes or not.

`recorded/` holds what llama.cpp's own server said (its builds 11063 and 11549, with SmolLM2-135M),
once asked as we ask it and once without `continue_final_message`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streaming.engine.upstream import echo as upstream_echo
from streaming.engine.upstream.answer import UpstreamAnswer
from streaming.engine.upstream.dialect import Dialect
from streaming.engine.upstream.echo import EchoFilter
from streaming.engine.upstream.served_model import ServedModel
from streaming.engine.upstream.stream import Piece
from tests.support.fake_upstream import Act, Exchange, FakeUpstream, refusal, words
from tests.unit.engine.gathered import Gathered
from tests.unit.upstream.test_answers import request

Start = Callable[..., Gathered]

RECORDED = {
    path.stem.removeprefix("llamacpp-"): json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "recorded").glob("llamacpp-*.json"))
}
BUILDS = sorted(RECORDED)
CONTINUE = {"continue_final_message", "add_generation_prompt"}


def answered(exchange: dict[str, Any], recorded: dict[str, Any]) -> str:
    """What that build answers to this request, which is one of those recorded."""
    for name in ("plain", "prefill", "prefill_blanks", "continued"):
        asked = recorded[name]["asked"]
        same = exchange["messages"] == asked["messages"]
        if same and CONTINUE & set(exchange) == CONTINUE & set(asked):
            return str(recorded[name]["answered"])
    raise AssertionError(f"not recorded: {exchange}")


def replay(build: str) -> Act:
    """Answer as that build did, in its own bytes."""

    async def act(exchange: Exchange) -> None:
        said = answered(exchange.body, RECORDED[build])
        await exchange.begin(first=False)
        await exchange.raw(said.encode())
        await exchange.close()

    return act


def said_by(recorded: str) -> str:
    chunks = [json.loads(line[6:]) for line in recorded.splitlines() if line.startswith("data: {")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def echoing(*said: str) -> Act:
    """Say the message that is to be continued once more, then this."""

    async def act(exchange: Exchange) -> None:
        await words(exchange.last["content"] + said[0], *said[1:])(exchange)

    return act


def test_what_was_recorded_differs() -> None:
    """Else these tests would show nothing."""
    sent = RECORDED["b11063"]["prefill"]["asked"]["messages"][-1]["content"]
    echoes = {build: said_by(RECORDED[build]["prefill"]["answered"]) for build in BUILDS}
    assert echoes == {
        "b11063": f"{sent} is Paris and the",
        "b11549": " is Paris and the",
    }


@pytest.mark.parametrize("build", BUILDS)
def test_llamacpp_says_nothing_twice(start: Start, upstream: FakeUpstream, build: str) -> None:
    upstream.models = RECORDED[build]["models"]
    upstream.acts.append(replay(build))
    gathered = start()
    messages = RECORDED[build]["prefill"]["asked"]["messages"]
    question, begun = messages[0]["content"], messages[1]["content"]
    gathered.engine.submit(request(("user", question), prior=4, prior_text=begun))
    gathered.wait("r")
    assert gathered.text("r") == " is Paris and the"


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("owner", ["llamacpp", "a-gateway"])
def test_nor_where_it_does_not_hear_that_it_is_to_go_on(
    start: Start, upstream: FakeUpstream, build: str, owner: str
) -> None:
    """As behind a gateway that passes on only what it knows."""
    models = json.loads(json.dumps(RECORDED[build]["models"]))
    models["data"][0]["owned_by"] = owner
    upstream.models = models
    is_echo = said_by(RECORDED[build]["prefill"]["answered"]) != " is Paris and the"

    async def forget(exchange: Exchange) -> None:
        if owner == "llamacpp" and CONTINUE & set(exchange.body):
            return await exchange.refuse(
                400, "unknown field continue_final_message, or another: add_generation_prompt"
            )
        body = {key: value for key, value in exchange.body.items() if key not in CONTINUE}
        if exchange.body["messages"][0]["content"] == "Repeat.":
            return await (echoing if is_echo else words)(" and", " so")(exchange)
        exchange.body = body
        return await replay(build)(exchange)

    upstream.acts.extend([forget] * 4)
    gathered = start(continues=True)
    messages = RECORDED[build]["prefill"]["asked"]["messages"]
    question, begun = messages[0]["content"], messages[1]["content"]
    gathered.engine.submit(request(("user", question), prior=4, prior_text=begun))
    gathered.wait("r")
    assert gathered.text("r") == " is Paris and the"


@pytest.mark.parametrize("begun", ["Ha", "one two three", "はい。", "  word"])
def test_a_repetition_of_the_models_own_is_kept(
    start: Start, upstream: FakeUpstream, begun: str
) -> None:
    upstream.models = {"data": [{"id": "m", "owned_by": "somebody"}]}
    upstream.acts.extend([words(" no", " echo"), words(begun, "!")])
    gathered = start(continues=True)
    gathered.engine.submit(request(("user", "x"), prior=1, prior_text=begun))
    gathered.wait("r")
    assert gathered.text("r") == begun + "!"


def test_a_server_is_asked_once(start: Start, upstream: FakeUpstream) -> None:
    upstream.models = {"data": [{"id": "m", "owned_by": "somebody"}]}
    upstream.acts.extend([echoing(" Q"), echoing(" two"), echoing(" two")])
    gathered = start(continues=True)
    for name in ("r", "s"):
        asked = request(("user", "x"), prior=1, prior_text="one")
        gathered.engine.submit(replace(asked, response_id=name))
        gathered.wait(name)
        assert gathered.text(name) == " two"
    question, *others = upstream.bodies
    assert question["messages"][0]["content"] == "Repeat."
    assert question["max_tokens"] == 2
    assert len(others) == 2


def test_a_server_that_is_busy_when_asked_is_asked_again(
    start: Start, upstream: FakeUpstream
) -> None:
    upstream.models = {"data": [{"id": "m", "owned_by": "somebody"}]}
    upstream.acts.extend([refusal(503), echoing(" Q"), echoing(" two")])
    gathered = start(continues=True)
    gathered.engine.submit(request(("user", "x"), prior=1, prior_text="one"))
    gathered.wait("r")
    assert gathered.text("r") == " two"


async def test_an_answer_goes_by_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile another one may find the server away, after which it must be asked again."""
    dialect = Dialect(continues=True)

    @asynccontextmanager
    async def answer(body: Any, allowance: Any) -> AsyncIterator[None]:
        yield
        await asyncio.sleep(0)  # while the connection is closed
        dialect.echoes = None

    async def said(source: Any, allowance: Any) -> AsyncIterator[Piece]:
        yield Piece(text="Qoph 7316 tzadi")

    monkeypatch.setattr(upstream_echo, "pieces", said)
    upstream: Any = SimpleNamespace(
        dialect=dialect,
        server=SimpleNamespace(answer=answer),
        patience_seconds=1.0,
        pause_seconds=0.01,
        context_tokens=0,
        model=ServedModel("m"),
    )
    asked = request(("user", "x"), prior=1, prior_text="one")
    one = UpstreamAnswer(asked, upstream, lambda event: None)
    allowance: Any = None
    found = await upstream_echo.repeated_text(upstream, one._query(), allowance)
    assert found == "one"


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize(
    ("echo", "blanks", "said", "expected"),
    [
        ("one two", "", "one two three", " three"),
        ("one two", " ", "one two three", "three"),
        ("  one", "", "one two", " two"),
        ("  one", "", "  one two", " two"),
        ("one two", "", "one twenty", "one twenty"),
        ("one two", "", "one", "one"),
        ("one two", "", "one two", ""),
        ("aa", "", "aaaa", "aa"),
        ("", " \n", " \nnext", "next"),
        ("", "", "one", "one"),
        ("one 😀", "", "one 😀😀", "😀"),
    ],
)
def test_the_seam(size: int, echo: str, blanks: str, said: str, expected: str) -> None:
    echo = EchoFilter(echo, blanks)
    parts = [echo.take(said[at : at + size]) for at in range(0, len(said), size)]
    assert "".join(parts) + echo.rest() == expected
