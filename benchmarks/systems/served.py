"""Our server as people run it: `manage.py serve` with the embedded worker, over WebSockets."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from picows.websockets.asyncio.client import ClientConnection, connect

from benchmarks.options import Options
from benchmarks.systems.base import Stream, System
from tests.support.processes import ServeProcess

OPEN_SECONDS = 120


class Served(System):
    """A server in a process of its own; `settings` are added to its environment."""

    name = "ChatStream"

    def __init__(self, options: Options, max_running: int, **settings: str) -> None:
        self._settings = {
            **options.server_settings,
            "CHATSTREAM_MAX_RUNNING": str(max_running),
            "CHATSTREAM_MAX_WAITING": "10000",
            **settings,
        }
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: ServeProcess | None = None

    @property
    def url(self) -> str:
        """Return the URL of the WebSocket."""
        assert self._server is not None
        return self._server.ws_url

    @property
    def pid(self) -> int:
        """Return the process id of the server."""
        assert self._server is not None
        return self._server.process.pid

    def manage(self, *args: str) -> str:
        """Run another command with the server's settings and database; return its output."""
        assert self._server is not None
        return self._server.manage(*args)

    def start(self) -> None:
        """Start the server with a database of its own, and wait until it is ready."""
        self._folder = tempfile.TemporaryDirectory(prefix="chatstream-benchmark-")
        self._server = ServeProcess(Path(self._folder.name), env=self._settings)
        self._server.wait_until_ready()

    def close(self) -> None:
        """Stop the server and remove its folder."""
        server, self._server = self._server, None
        folder, self._folder = self._folder, None
        try:
            if server:
                server.stop()
        finally:
            if folder:
                folder.cleanup()

    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        """Answer all prompts at once, by greedy decoding. Raises RuntimeError if one is not
        answered."""
        return asyncio.run(self.answer_all(prompts, max_tokens))

    async def answer_all(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        """Answer each prompt on a socket of its own; all are opened before the first prompt is
        sent."""
        sockets = await asyncio.gather(*(self.open() for _ in prompts))
        try:
            params = {"max_tokens": max_tokens, "temperature": 0, "ignore_eos": True}
            asked = (ask(s, p, params) for s, p in zip(sockets, prompts, strict=True))
            streams = await asyncio.gather(*asked)
        finally:
            await asyncio.gather(*(socket.close() for socket in sockets))
        for stream in streams:
            if stream.status not in ("completed", "incomplete"):
                raise RuntimeError(f"An answer ended as {stream.status}.")
        return streams

    async def open(self) -> ClientConnection:
        """Open a socket as a new visitor, and wait for the greeting."""
        return (await self.open_greeted())[0]

    async def open_greeted(self) -> tuple[ClientConnection, dict[str, Any]]:
        """Open a socket as `open`; return it with the greeting."""
        socket = await connect(
            self.url, open_timeout=OPEN_SECONDS, compression=None, ping_interval=None
        )
        return socket, json.loads(await socket.recv())


async def ask(
    socket: ClientConnection,
    prompt: str,
    params: dict[str, Any],
    reached: Callable[[], None] = lambda: None,
    after: int = 1,
    **fields: Any,
) -> Stream:
    """Send one prompt, and note what comes until the answer's end. `reached` is called when `after`
    texts have come. An error becomes the stream's `status`, by its code."""
    event = {"type": "response.create", "input": prompt, "params": params, **fields}
    stream = Stream()
    await socket.send(json.dumps(event))
    while True:
        frame = await socket.recv()
        now = time.perf_counter()
        event = json.loads(frame)
        match event["type"]:
            case "response.output_text.delta":
                stream.moments.append(now)
                if len(stream.moments) == after:
                    reached()
            case "response.queued":
                stream.eta = event.get("eta_seconds")
                stream.conversation = event["conversation_id"]
            case "response.in_progress":
                stream.started = now
            case "response.completed" | "response.incomplete" | "response.failed":
                response = event["response"]
                stream.ended, stream.status = now, response["status"]
                stream.tokens = response["usage"]["output_tokens"]
                stream.prompt_tokens = response["usage"]["input_tokens"]
                waited = response["chatstream"]["timings"]["queue_ms"]
                stream.queue_seconds = waited / 1000 if waited is not None else float("nan")
                return stream
            case "error":
                stream.ended, stream.status = now, event["code"]
                return stream
