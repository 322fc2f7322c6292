"""The parts of the socket at `/v1/responses`, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from streaming.api.errors import ApiError
from streaming.engine.base import ChatMessage
from streaming.sockets.responses.local_responses import LocalResponses, Prepared
from streaming.sockets.responses.turns import MOST_WAITING, Turns


class Heard:
    """What a client is sent, and how its turns go."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str | None]] = []
        self.sent: list[Mapping[str, Any]] = []
        self.answered: list[Any] = []
        self.goes_on = asyncio.Event()
        self.is_closed = False
        self.turns = Turns(self, self.answer, self.close)

    async def send_refusal(self, error: ApiError, lane: str | None) -> None:
        self.errors.append((error.code, lane))

    async def send_json(self, fields: Mapping[str, Any]) -> None:
        self.sent.append(fields)

    async def answer(self, fields: dict[str, Any], lane: str | None) -> None:
        self.answered.append(fields["input"])
        await self.goes_on.wait()
        if fields["input"] == "bad":
            raise ApiError(400, "invalid_value", "It is bad.", "input")

    async def close(self) -> None:
        self.is_closed = True

    async def ask(self, text: str, **fields: Any) -> None:
        message = {"type": "response.create", "input": text, **fields}
        await self.turns.put(json.dumps(message), None)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_turns_wait_for_each_other() -> None:
    heard = Heard()
    heard.turns.start()
    await heard.ask("bad", stream_id="a")
    await heard.ask("good")
    await settled()
    assert heard.answered == ["bad"]
    heard.goes_on.set()
    await settled()
    assert heard.answered == ["bad", "good"]
    assert heard.errors == [("invalid_value", "a")]
    heard.turns.stop()


async def test_more_than_may_wait_is_refused_and_then_closed() -> None:
    heard = Heard()
    for number in range(MOST_WAITING + 1):
        await heard.ask(str(number))
    assert heard.errors == [("rate_limited", None)]
    for _ in range(150):
        await heard.ask("more")
    assert heard.is_closed


async def test_binary_frames_are_refused() -> None:
    heard = Heard()
    await heard.turns.put(None, b"{}")
    assert heard.errors == [("invalid_json", None)]


def test_the_oldest_is_forgotten_and_told_once() -> None:
    local = LocalResponses(2)
    first, second, third = uuid4(), uuid4(), uuid4()
    local.keep(first)
    local.keep(second)
    assert local.prepared(first) is None  # gone on with: it counts as new
    local.keep(third)
    assert (second in local, first in local, len(local)) == (False, True, 2)
    assert local.take_forgotten() == [second]
    assert local.take_forgotten() == []
    local.clear()
    assert set(local.take_forgotten()) == {first, third}


def test_what_was_only_prepared_has_no_row_to_delete() -> None:
    local = LocalResponses(1)
    warm = uuid4()
    local.keep(warm, Prepared((ChatMessage("user", "hello"),), None))
    assert local.prepared(warm)
    local.evict(warm)
    assert local.take_forgotten() == []
