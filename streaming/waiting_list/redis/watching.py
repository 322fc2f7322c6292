"""Watching responses of the waiting list in Redis: their events and positions."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.waiting_list.interface import Place, State, Watch, Watched, Watching
from streaming.waiting_list.redis.store import RedisStore, milliseconds, optional


class RedisWatching(RedisStore, Watching):
    """The role `Watching` of the list in Redis."""

    async def read(self, response_id: str, after: int = 0, most: int | None = None) -> list[str]:
        """Return the stored events with numbers greater than `after`, at most `most`."""
        return list(await self._run("read", response_id, after, optional(most)))

    async def watch(self, response_ids: Sequence[str]) -> Watch:
        """Return state, position and last number of each, and count a viewer touch for each."""
        return await self._look(response_ids, touch=True)

    async def keep(self, response_id: str, seconds: float) -> None:
        """Count an open response as viewed until `seconds` from now."""
        await self._run("keep", response_id, milliseconds(seconds))

    async def place(self, response_id: str) -> Place:
        """Return state and position of one response."""
        look = await self._look([response_id], touch=False)
        seen = look.responses[response_id]
        return Place(seen.state, seen.position, look.size, created=False)

    async def known(self, response_ids: Sequence[str]) -> set[str]:
        """Return those ids that are open."""
        if not response_ids:
            return set()
        touches = await self._client().zmscore(f"{self._base}open", list(response_ids))
        return {name for name, at in zip(response_ids, touches, strict=True) if at is not None}

    async def _look(self, response_ids: Sequence[str], *, touch: bool) -> Watch:
        """Return state, position and last number of each; `touch` counts a viewer."""
        answer = await self._run("look", int(touch), *response_ids)
        rows = zip(response_ids, answer["responses"], strict=True)
        return Watch(
            size=answer["size"],
            workers=answer["workers"],
            responses={
                name: Watched(State(row["state"]), row.get("position"), row["last_sequence"])
                for name, row in rows
            },
        )
