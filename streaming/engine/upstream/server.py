"""The server's address, and what is said to it over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from streaming.engine.upstream import faults

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 300.0
"""Of a stream: it may have a queue of its own, but one that says nothing for so long has died."""

_EVENT_BYTES = 1_048_576
_BODY_BYTES = 4_194_304


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One of those that the server lists. `context_tokens` 0: it does not say."""

    name: str
    server: str = ""
    context_tokens: int = 0


class UpstreamServer:
    """Belongs to one event loop, from `async with` on."""

    def __init__(self, url: str, key: str, probe_seconds: float) -> None:
        self._url = url
        self._probe_seconds = probe_seconds
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client: httpx2.AsyncClient

    async def __aenter__(self) -> UpstreamServer:
        self._client = httpx2.AsyncClient(
            headers=self._headers,
            timeout=httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=None),
            # As many as run, and none kept: one that the server has closed would look like a break.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    async def models(self) -> list[ServedModel] | None:
        """The models that it lists; None if it is there and cannot list them, as `transformers
        serve` without a Hub cache. Raises UpstreamFault."""
        url = f"{self._url}/models"
        try:
            async with (
                asyncio.timeout(self._probe_seconds),
                self._client.stream("GET", url) as response,
            ):
                if response.status_code in (404, 405, 500, 501):
                    return None
                body = await _read(response)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise faults.away(f"no answer within {self._probe_seconds:g} s") from error
        except httpx2.HTTPError as error:
            raise faults.away(f"{type(error).__name__}: {error}") from error
        if response.status_code != 200:
            raise faults.of_status(response.status_code, response.headers, body)
        return _models(body)

    @asynccontextmanager
    async def answer(self, body: dict[str, Any]) -> AsyncIterator[httpx2.EventSource]:
        """Ask, and read the events of the answer. Raises UpstreamFault if there is none."""
        try:
            async with self._client.sse(
                f"{self._url}/chat/completions",
                method="POST",
                json=body,
                max_event_size=_EVENT_BYTES,
            ) as source:
                response = source.response
                if response.status_code != 200:
                    raise faults.of_status(
                        response.status_code, response.headers, await _read(response)
                    )
                kind = response.headers.get("content-type", "").partition(";")[0].strip()
                if kind.lower() != "text/event-stream":
                    raise faults.misconfigured(f"it answers with {kind[:50]!r}, not with a stream")
                yield source
        except httpx2.HTTPError as error:
            raise faults.of_transport(error) from error


async def _read(response: httpx2.Response) -> bytes:
    """The body, or its beginning if it is huge."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > _BODY_BYTES:
            break
    return b"".join(parts)


def _models(body: bytes) -> list[ServedModel]:
    """What `GET /models` says. Raises UpstreamFault if that is no list of models."""
    try:
        return [_model(row) for row in json.loads(body)["data"] or []]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise faults.misconfigured("GET /models answers with no list of models") from None


def _model(row: dict[str, Any]) -> ServedModel:
    meta = row.get("meta") or {}
    # vLLM and SGLang; llama.cpp
    context = row.get("max_model_len") or meta.get("n_ctx") or 0
    return ServedModel(str(row["id"]), str(row.get("owned_by") or ""), int(context))
