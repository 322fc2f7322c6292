"""Asks whether the server is there, and which model it serves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import httpx2

from streaming.engine.upstream.faults import FaultKind, UpstreamFault
from streaming.engine.upstream.served_model import ServedModel
from streaming.engine.upstream.server import UpstreamServer

logger = logging.getLogger("streaming.engine.upstream")


class Health:
    """Asks for the models every `probe_seconds`. Any thread may read `unavailable_reason` and
    `model`.

    `model` is the one to be served, or empty for the first that the server lists.
    """

    def __init__(self, server: UpstreamServer, model: str, probe_seconds: float) -> None:
        self.unavailable_reason = "The model's server has not been asked yet."
        self.is_refused = False
        self.model = ServedModel(model)
        self._server = server
        self._wanted = model
        self._seconds = probe_seconds
        self._hurry = asyncio.Event()
        self._heard_at = float("-inf")
        self._warned = ""

    def heard(self) -> None:
        """Take note that the server has just said something to somebody."""
        self._heard_at = time.monotonic()

    def hurry(self) -> None:
        """Ask now, not when the next probe is due."""
        self._hurry.set()

    async def watch(self, on_look: Callable[[], None]) -> None:
        """Ask every `probe_seconds`, for ever; call `on_look` after each time."""
        while True:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._hurry.wait()
                    # A crowd whose connections have all broken needs one look, not one each.
                    await asyncio.sleep(min(1.0, self._seconds / 5))
            except TimeoutError:
                pass
            self._hurry.clear()
            await self.look()
            on_look()

    async def look(self) -> None:
        """Ask once. Raises nothing: what is wrong becomes the `unavailable_reason`."""
        try:
            listed = await self._server.models()
        except UpstreamFault as fault:
            is_busy = isinstance(fault.__cause__, TimeoutError | httpx2.TimeoutException)
            if is_busy and time.monotonic() - self._heard_at < 3 * self._seconds:
                return  # it streams, and is too busy for this
            self.is_refused = (
                fault.kind is not FaultKind.AWAY and fault.kind is not FaultKind.BROKEN
            )
            if fault.said:
                logger.debug("The model's server said: %.300r", fault.said)
            self._be_away(f"The model's server does not answer as it should: {fault.detail}.")
        except Exception as error:
            logger.exception("The model's server could not be asked.")
            self._be_away(f"The model's server could not be asked: {type(error).__name__}.")
        else:
            self._choose(listed)

    def _choose(self, listed: list[ServedModel] | None) -> None:
        self.is_refused = False
        if not listed and not self._wanted:
            self._be_away(
                "The model's server lists no model: name one with CHATSTREAM_UPSTREAM_MODEL."
            )
            return
        named = [model for model in listed or () if model.name == self._wanted or not self._wanted]
        if listed and not named:
            # It may serve it all the same, under an alias.
            self._warn(f"The model's server does not list {self._wanted!r}.")
        like = (listed or [ServedModel("")])[0].server
        self.model = named[0] if named else ServedModel(self._wanted, like)
        if self.unavailable_reason:
            logger.info("The model's server is there, with %s.", self.model.name)
        self.unavailable_reason = ""

    def _be_away(self, why: str) -> None:
        if why != self.unavailable_reason:
            logger.warning("%s", why)
        self.unavailable_reason = why

    def _warn(self, text: str) -> None:
        if text != self._warned:
            logger.warning("%s", text)
        self._warned = text
