"""The changes of one waiting prompt: sent one after the other, in the order of their calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from streaming.client.errors import ChatError
from streaming.protocol.client_events import ResponseUpdate


@dataclass(eq=False)
class _Edit:
    event: ResponseUpdate
    end: asyncio.Future[None]


class Edits:
    """Edits that the server has not acknowledged; the first of them has been sent."""

    def __init__(self, say: Callable[[ResponseUpdate], None]) -> None:
        """`say` sends an event now, or drops it while there is no connection."""
        self._say = say
        self._edits: list[_Edit] = []

    def __bool__(self) -> bool:
        return bool(self._edits)

    async def add(self, event: ResponseUpdate) -> None:
        """Send an edit after those before it, and wait until the server has acknowledged it.

        Raises the error of `end_first` or `end_all`.
        """
        edit = _Edit(event, asyncio.get_running_loop().create_future())
        self._edits.append(edit)
        if len(self._edits) == 1:
            self._say(event)
        await edit.end

    def say_first(self) -> None:
        """Send the first edit again, if there is one."""
        if self._edits:
            self._say(self._edits[0].event)

    def take(self, text: str) -> None:
        """End the first edit if this text, which the server has taken, is the edit's."""
        if self._edits and self._edits[0].event.input == text:
            self.end_first()

    def end_first(self, error: ChatError | None = None) -> None:
        """End the first edit, with success or this error, and send the next one."""
        if not self._edits:
            return
        end = self._edits.pop(0).end
        if not end.done():
            if error:
                end.set_exception(error)
            else:
                end.set_result(None)
        self.say_first()

    def end_all(self, error: ChatError) -> None:
        """End all edits with this error."""
        while self._edits:
            self.end_first(error)
