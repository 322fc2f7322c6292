"""A WebSocket client of `/v1/responses`, of the application that a server runs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from tests.integration.conftest import PATIENCE

TERMINAL = ("response.completed", "response.incomplete", "response.failed")


class ResponsesClient:
    """A socket; a turn is what comes up to a response's end, or an error."""

    def __init__(
        self,
        key: str | None = None,
        address: str = "127.0.0.1",
        headers: dict[str, str] | None = None,
    ) -> None:
        from chatsite.asgi import application

        sent = {"host": "localhost", **(headers or {})}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        raw = [(name.encode(), value.encode()) for name, value in sent.items()]
        self._communicator = WebsocketCommunicator(application, "/v1/responses", raw)
        self._communicator.scope |= {"client": [address, 50000], "server": ["localhost", 80]}

    async def connect(self) -> bool:
        accepted, _ = await self._communicator.connect(timeout=PATIENCE)
        return bool(accepted)

    async def send(self, **fields: Any) -> None:
        await self.send_text(json.dumps(fields))

    async def send_text(self, text: str) -> None:
        await self._communicator.send_to(text_data=text)

    async def next(self) -> Any:
        return json.loads(await self._communicator.receive_from(timeout=PATIENCE))

    async def rest(self) -> list[Any]:
        """What comes up to the end of a turn."""
        events = []
        while True:
            events.append(await self.next())
            if events[-1]["type"] in (*TERMINAL, "error"):
                return events

    async def turn(self, text: Any = "stop 3", **fields: Any) -> list[Any]:
        await self.send(type="response.create", model="default", input=text, **fields)
        return await self.rest()

    async def response(self, text: Any = "stop 3", **fields: Any) -> Any:
        """The whole response of a turn that is answered."""
        last = (await self.turn(text, **fields))[-1]
        assert last["type"] in TERMINAL, last
        return last["response"]

    async def error(self, text: Any = "stop 3", **fields: Any) -> tuple[int, str, str | None]:
        """The status, code and field of a turn that is refused."""
        last = (await self.turn(text, **fields))[-1]
        assert last["type"] == "error", last
        return last["status"], last["error"]["code"], last["error"]["param"]

    async def close_code(self) -> int:
        output = await self._communicator.receive_output(timeout=PATIENCE)
        assert output["type"] == "websocket.close", output
        code: int = output["code"]
        return code

    async def leave(self) -> None:
        with contextlib.suppress(BaseException):
            await self._communicator.disconnect(timeout=PATIENCE)


@pytest.fixture
async def socket(layer: Any) -> AsyncIterator[Callable[..., Awaitable[ResponsesClient]]]:
    """Connect clients; all leave at the end."""
    clients: list[ResponsesClient] = []

    async def connect(**options: Any) -> ResponsesClient:
        client = ResponsesClient(**options)
        clients.append(client)
        assert await client.connect()
        return client

    yield connect
    for client in clients:
        await client.leave()
