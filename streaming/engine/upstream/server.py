"""The server at its address: its models and its answers, over HTTP."""

from __future__ import annotations

import asyncio
import json
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from streaming.engine.upstream import bounds, error_responses, faults
from streaming.engine.upstream.bounds import Allowance
from streaming.engine.upstream.faults import UpstreamFault

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 300.0
"""A stream that says nothing for so long has died; the server may have a queue of its own."""

_ERROR_SECONDS = 10.0
"""Time for the body of an error, which is read as far as it comes."""
_MOST_CONTEXT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that the server lists. `server` is its `owned_by`, which tells the kind of server;
    `context_tokens` 0: it does not say."""

    name: str
    server: str = ""
    context_tokens: int = 0


class UpstreamServer:
    """The server at `url`, with the bearer token `key`. From `async with` on it belongs to one
    event loop.

    Each answer is read once in `rhythm()` seconds; 0: as soon as there is something to read.
    """

    def __init__(
        self, url: str, key: str, probe_seconds: float, rhythm: Callable[[], float]
    ) -> None:
        self._url = url
        self._probe_seconds = probe_seconds
        self._rhythm = rhythm
        # Nothing compressed: what a few bytes become cannot be told before they are unpacked.
        self._headers = {"Accept-Encoding": "identity"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
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
        """Return the models that the server lists; None if it is there and cannot list them, as
        `transformers serve` without a Hub cache. Raises UpstreamFault."""
        url = f"{self._url}/models"
        try:
            async with (
                asyncio.timeout(self._probe_seconds),
                self._client.stream("GET", url) as response,
            ):
                if response.status_code in (404, 405, 500, 501):
                    return None
                body = await _read(response, bounds.LIST_BYTES)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise faults.away(f"no answer within {self._probe_seconds:g} s") from error
        except httpx2.HTTPError as error:
            fault = error_responses.of_transport(error)
            raise faults.away(fault.detail, said=fault.said) from error
        if response.status_code != 200:
            raise error_responses.of_status(response.status_code, response.headers, body)
        return _models(body)

    @asynccontextmanager
    async def answer(
        self, body: dict[str, Any], allowance: Allowance
    ) -> AsyncIterator[httpx2.EventSource]:
        """Ask for a streamed answer to `body`; yield its events, as far as the allowance goes.
        Raises UpstreamFault if there is none."""
        try:
            async with self._client.sse(
                f"{self._url}/chat/completions",
                method="POST",
                json=body,
                max_event_size=bounds.EVENT_BYTES,
            ) as source:
                response = source.response
                if response.status_code != 200:
                    said = await _read_error(response)
                    raise error_responses.of_status(response.status_code, response.headers, said)
                _refuse_compressed(response)
                kind = response.headers.get("content-type", "").partition(";")[0].strip()
                if kind.lower() != "text/event-stream":
                    raise faults.misconfigured("it answers with something else than a stream", kind)
                response.stream = _Body(response.stream, allowance, self._rhythm)
                yield source
        except httpx2.HTTPError as error:
            raise error_responses.of_transport(error) from error


class _Body(httpx2.AsyncByteStream):
    """A response's body without a byte order mark, whose bytes are taken from an allowance.

    With `rhythm`, all answers wait for the same moment after each read: what came meanwhile costs
    one read, and is published together.
    """

    def __init__(self, stream: Any, allowance: Allowance, rhythm: Callable[[], float]) -> None:
        self._stream = stream
        self._allowance = allowance
        self._rhythm = rhythm

    async def __aiter__(self) -> AsyncIterator[bytes]:
        beginning = b""  # held back while it may be a byte order mark, which is no part of a line
        begun = False
        async for part in self._stream:
            self._allowance.take_bytes(len(part))
            if not begun:
                beginning += part
                if len(beginning) < len(BOM_UTF8) and BOM_UTF8.startswith(beginning):
                    continue
                part, begun = beginning.removeprefix(BOM_UTF8), True
            yield part
            if seconds := self._rhythm():
                await asyncio.sleep(seconds - asyncio.get_running_loop().time() % seconds)
        if not begun:
            yield beginning

    async def aclose(self) -> None:
        await self._stream.aclose()


def _refuse_compressed(response: httpx2.Response) -> None:
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise faults.misconfigured("it answers compressed, without being asked to", encoding)


async def _read(response: httpx2.Response, most: int) -> bytes:
    """Return the body, or its beginning of at least `most` bytes. Raises UpstreamFault if it is
    compressed."""
    _refuse_compressed(response)
    body = bytearray()
    async with aclosing(response.aiter_raw()) as parts:
        async for part in parts:
            body += part
            if len(body) > most:
                break
    return bytes(body)


async def _read_error(response: httpx2.Response) -> bytes:
    """Return what came of the body of an error; empty if it cannot be had."""
    body = bytearray()
    try:
        _refuse_compressed(response)
        async with asyncio.timeout(_ERROR_SECONDS), aclosing(response.aiter_raw()) as parts:
            async for part in parts:
                body += part
                if len(body) > bounds.ERROR_BYTES:
                    break
    except (TimeoutError, httpx2.HTTPError, UpstreamFault):
        pass
    return bytes(body[: bounds.ERROR_BYTES])


def _models(body: bytes) -> list[ServedModel]:
    """Return the first 1,000 models of the answer to `GET /models`, without those that have no
    printable name. Raises UpstreamFault if it is no list of models."""
    if len(body) > bounds.LIST_BYTES:
        raise faults.misconfigured("GET /models answers with more than can be a list of models")
    try:
        rows = (json.loads(body)["data"] or [])[: bounds.LISTED_MODELS]
        models = [_model(row) for row in rows]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise faults.misconfigured("GET /models answers with no list of models") from None
    return [model for model in models if _is_name(model.name)]


def _model(row: dict[str, Any]) -> ServedModel:
    meta = row.get("meta")
    # vLLM and SGLang; llama.cpp
    contexts = (row.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None)
    context = next((n for n in contexts if isinstance(n, int) and 0 < n <= _MOST_CONTEXT), 0)
    server = row.get("owned_by")
    known = isinstance(server, str) and _is_name(server)
    return ServedModel(str(row["id"]), str(server) if known else "", context)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= bounds.NAME_CHARS and text.isprintable()
