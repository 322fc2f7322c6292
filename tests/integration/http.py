"""An HTTP client of the whole Django application, in process: it reads a stream as it comes, and
can go away in the middle."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from channels.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application

from tests.integration.conftest import PATIENCE

CHAT = "/v1/chat/completions"


class HttpRequest(ApplicationCommunicator):
    """One request, sent as soon as it is awaited by `send`."""

    def __init__(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        key: str | None = None,
        address: str = "127.0.0.1",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"host": "localhost", "content-type": "application/json", **(headers or {})}
        if key is not None:
            fields["authorization"] = f"Bearer {key}"
        if body is None:
            self.body = b""
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "scheme": "http",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields.items()],
            "client": [address, 50000],
            "server": ["localhost", 80],
            "root_path": "",
        }
        super().__init__(get_asgi_application(), scope)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = False

    async def send(self) -> HttpRequest:
        await self.send_input({"type": "http.request", "body": self.body})
        return self

    async def start(self) -> HttpRequest:
        """Until the status is there."""
        message = await self.receive_output(PATIENCE)
        assert message["type"] == "http.response.start"
        self.status = message["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        return self

    async def part(self) -> str:
        message = await self.receive_output(PATIENCE)
        self.ended = not message.get("more_body", False)
        return message.get("body", b"").decode()

    async def rest(self) -> str:
        text = ""
        while not self.ended:
            text += await self.part()
        await self.wait(PATIENCE)
        return text

    async def until(self, needle: str) -> str:
        """Read on until the text so far contains this."""
        text = ""
        while needle not in text:
            assert not self.ended, text
            text += await self.part()
        return text

    async def leave(self) -> None:
        """Close the connection, and let the application end as it will."""
        await self.send_input({"type": "http.disconnect"})
        with contextlib.suppress(TimeoutError):
            await self.wait(PATIENCE)


async def call(method: str, path: str, **options: Any) -> tuple[HttpRequest, Any]:
    """A whole request: itself, and its JSON."""
    request = await (await HttpRequest(method, path, **options).send()).start()
    text = await request.rest()
    return request, json.loads(text)


def asking(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "default", "messages": [{"role": "user", "content": text}], **fields}


async def complete(text: str, **fields: Any) -> Any:
    """A plain completion, which must succeed."""
    request, answer = await call("POST", CHAT, body=asking(text, **fields))
    assert request.status == 200, answer
    return answer


async def open_chat(
    text: str, *, key: str | None = None, address: str = "127.0.0.1", **fields: Any
) -> HttpRequest:
    """Ask, and return at once."""
    request = HttpRequest("POST", CHAT, body=asking(text, **fields), key=key, address=address)
    return await request.send()


async def open_stream(text: str, **fields: Any) -> HttpRequest:
    """A stream whose status is there and right."""
    request = await (await open_chat(text, stream=True, **fields)).start()
    assert request.status == 200, await request.rest()
    return request


def chunks_of(stream: str) -> list[dict[str, Any]]:
    """The `data:` of a stream in order, but for `[DONE]`."""
    data = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data:")]
    return [json.loads(text) for text in data if text != "[DONE]"]


def text_of(chunks: list[dict[str, Any]]) -> str:
    """What an ordinary client makes of it."""
    return "".join(
        chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]
    )
