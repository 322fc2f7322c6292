"""The server at its address: its models and its answers, over HTTP."""

from __future__ import annotations

import asyncio
import json
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx2

from streaming.engine.upstream import bounds, error_responses, faults
from streaming.engine.upstream.bounds import Allowance
from streaming.engine.upstream.chat_stream import ChatReader
from streaming.engine.upstream.faults import UpstreamFault
from streaming.engine.upstream.query import Api, Query
from streaming.engine.upstream.responses_stream import ResponsesReader
from streaming.engine.upstream.served_model import ServedModel, models_of
from streaming.engine.upstream.stream import AnswerStream
from streaming.engine.upstream.text_stream import TextReader
from streaming.engine.upstream.unknown_names import UnknownNames

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 300.0
"""A stream that says nothing for so long has died; the server may have a queue of its own."""

_ERROR_SECONDS = 10.0
"""Time for the body of an error, which is read as far as it comes."""
_READERS: Mapping[Api, type[ChatReader] | type[ResponsesReader] | type[TextReader]] = {
    Api.CHAT: ChatReader,
    Api.RESPONSES: ResponsesReader,
    Api.TEXT: TextReader,
}


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
        self._unknown = UnknownNames()
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
        return models_of(body)

    @asynccontextmanager
    async def answer(self, query: Query, allowance: Allowance) -> AsyncIterator[AnswerStream]:
        """Ask for a streamed answer; yield its events, as far as the allowance goes. Raises
        UpstreamFault if there is none."""
        most, reader = bounds.EVENT_BYTES, _READERS[query.api](self._unknown)
        content = json.dumps(query.body, ensure_ascii=False, separators=(",", ":")).encode()
        if query.api is Api.RESPONSES:
            told = {name: value for name, value in query.body.items() if name != "input"}
            most = bounds.whole_response_bytes(query.max_tokens, len(json.dumps(told)))
            allowance.add_whole_responses(most)
        try:
            async with self._client.sse(
                f"{self._url}/{query.api}",
                method="POST",
                content=content,
                headers={"Content-Type": "application/json"},
                max_event_size=most,
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
                yield AnswerStream(source, reader)
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
