"""Sends one response's rendered events to a socket, in their order, and lets nobody else wait."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from streaming.markup.html_renderer import HtmlRenderer, RenderedEvent

logger = logging.getLogger(__name__)

Send = Callable[[str], Awaitable[None]]

_REPLAYED = 100
"""So many events of a replay may wait for their turn here; then the replay waits."""


class HtmlSender:
    """Between a viewer and its socket: `send` returns at once, `replay` waits for the reader.

    An event whose HTML is there goes out directly. One that has to wait for it is taken over by
    a task, with all that comes behind it.
    """

    def __init__(self, renderer: HtmlRenderer, send: Send, replay: Send) -> None:
        self._renderer = renderer
        self._send = send
        self._replay = replay
        self._waiting: deque[tuple[str, Send]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()

    async def send(self, event: str) -> None:
        """Pass a live event on, after those that are still being rendered; returns at once."""
        await self._send_in_order(event, self._send)

    async def replay(self, event: str) -> None:
        """Pass a replayed event on; wait while too many before it are still being rendered."""
        await self._send_in_order(event, self._replay)
        while len(self._waiting) >= _REPLAYED:
            self._moved.clear()
            await self._moved.wait()

    def cancel(self) -> None:
        """The socket is gone, or the response is shown on it from its beginning again."""
        self._waiting.clear()
        self._moved.set()
        if self._task:
            self._task.cancel()

    async def _send_in_order(self, event: str, send: Send) -> None:
        if self._task:
            self._waiting.append((event, send))
            return
        rendered = self._renderer.take(event)
        if rendered.is_ready:
            await send(rendered.text())
        else:
            self._task = asyncio.create_task(self._work(rendered, send))

    async def _work(self, rendered: RenderedEvent, send: Send) -> None:
        try:
            await self._send_when_ready(rendered, send)
            while self._waiting:
                event, send = self._waiting.popleft()
                self._moved.set()
                await self._send_when_ready(self._renderer.take(event), send)
        finally:
            self._task = None

    async def _send_when_ready(self, rendered: RenderedEvent, send: Send) -> None:
        await rendered.wait()
        try:
            await send(rendered.text())
        except Exception:
            logger.exception("An event of an answer could not be sent.")
