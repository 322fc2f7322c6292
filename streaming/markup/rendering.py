"""The HTML of one segment, as far as it is known, and waiting for the rest of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent import futures

PATIENCE_SECONDS = 2.0
"""How long the end of an answer, or a page, waits for what is not rendered yet."""


class Rendering:
    """A segment's HTML as far as it is known: None, without colours, or complete."""

    __slots__ = ("_wrapped", "ended", "html")

    def __init__(self, html: str | None = None, *, complete: bool = False) -> None:
        self.html = html
        self.ended: futures.Future[None] = _ENDED if complete else futures.Future()
        self._wrapped: asyncio.Future[None] | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether nothing better will come: it is rendered, or was given up."""
        return self.ended.done()

    def awaited(self) -> asyncio.Future[None]:
        """`ended` for the running event loop; one for all of its readers."""
        loop = asyncio.get_running_loop()
        if self._wrapped is None or self._wrapped.get_loop() is not loop:
            self._wrapped = asyncio.wrap_future(self.ended, loop=loop)
        return self._wrapped


_ENDED: futures.Future[None] = futures.Future()
_ENDED.set_result(None)


def wait(renderings: Iterable[Rendering], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until they are complete. Blocks, for `seconds` at most."""
    futures.wait([r.ended for r in renderings if not r.is_complete], seconds)


async def await_all(renderings: Iterable[Rendering], seconds: float = PATIENCE_SECONDS) -> None:
    """`wait` for an event loop."""
    if open_ones := {r.awaited() for r in renderings if not r.is_complete}:
        await asyncio.wait(open_ones, timeout=seconds)
