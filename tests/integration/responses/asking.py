"""Requests to `/v1/responses`, and what comes back."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.http import HttpRequest, call

RESPONSES = "/v1/responses"


async def create(given: Any, *, key: str | None = None, **fields: Any) -> Any:
    """Return a response, which must succeed."""
    request, answer = await post(given, key=key, **fields)
    assert request.status == 200, answer
    return answer


async def post(given: Any, *, key: str | None = None, **fields: Any) -> tuple[HttpRequest, Any]:
    """Ask, and return the request and its JSON."""
    body = {"model": "default", "input": given, **fields}
    return await call("POST", RESPONSES, body=body, key=key)


async def open_stream(given: Any, *, key: str | None = None, **fields: Any) -> HttpRequest:
    """Return a stream whose status is there and right."""
    body = {"model": "default", "input": given, "stream": True, **fields}
    request = await (await HttpRequest("POST", RESPONSES, body=body, key=key).send()).start()
    assert request.status == 200, await request.rest()
    return request


async def stream(given: Any, *, key: str | None = None, **fields: Any) -> list[dict[str, Any]]:
    """Return the events of a stream that is read to its end."""
    return events_of(await (await open_stream(given, key=key, **fields)).rest())


def events_of(text: str) -> list[dict[str, Any]]:
    """Return the events in a stream's text; each is named as its type says."""
    found = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        if not data or data == ["[DONE]"]:
            continue
        event = json.loads(data[0])
        assert lines[0] == f"event: {event['type']}"
        found.append(event)
    return found


def text_of(response: dict[str, Any]) -> str:
    """Return the text of a response."""
    return "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
    )


async def get(path: str, *, key: str | None = None, method: str = "GET") -> tuple[int, Any]:
    """Return the status and the JSON of an address below `/v1/responses`."""
    request, answer = await call(method, f"{RESPONSES}/{path}", key=key)
    return request.status, answer
