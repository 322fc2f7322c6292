"""A TCP proxy whose lines a test cuts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


class Proxy:
    """`url` leads to the server's; `cut` breaks all connections at once, without a goodbye. `stall`
    forwards nothing more on those that are there, and closes none of them."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._path = parts.path
        self._writers: set[asyncio.StreamWriter] = set()
        self._stalled: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.connections = 0
        self.passed = 0
        self.bound: int | None = None
        """Cut each connection after so many bytes of the server's."""

    def stall(self) -> None:
        self._stalled |= self._writers

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            self._writers |= {writer, far_writer}
            try:
                up = asyncio.create_task(self._pass(reader, far_writer, None))
                await self._pass(far_reader, writer, self.bound)
                up.cancel()
                await asyncio.wait([up])
            finally:
                self._writers -= {writer, far_writer}
                self._stalled -= {writer, far_writer}
                far_writer.transport.abort()
        writer.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bound: int | None
    ) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                if writer in self._stalled:
                    continue
                writer.write(data if bound is None else data[: bound - passed])
                await writer.drain()
                passed += len(data)
                if bound is not None and passed >= bound:
                    return


@contextlib.asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """A proxy on a free port before a WebSocket's address."""
    line = Proxy(target)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    line.url = f"ws://127.0.0.1:{port}{line._path}"
    async with server:
        yield line
        server.close()
        line.cut()
