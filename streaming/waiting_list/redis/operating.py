"""Operating the waiting list in Redis: steer it, look at all of it, tidy it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from streaming.waiting_list import rules
from streaming.waiting_list.interface import (
    REFUSALS,
    SAMPLES_KEPT,
    Counters,
    Edge,
    EntryRow,
    Load,
    Operating,
    Orders,
    RunningLoad,
    Slot,
    Snapshot,
    State,
    Sweep,
    WorkerRow,
    WorkerState,
)
from streaming.waiting_list.redis.store import RedisStore, milliseconds, nonce, optional, text


class RedisOperating(RedisStore, Operating):
    """The role `Operating` of the list in Redis."""

    async def move(self, response_id: str, edge: Edge) -> bool:
        """Put a response of the order before or behind all others; False if it is not in it."""
        return bool(await self._run("move", nonce(), response_id, edge))

    async def move_before(self, response_id: str, other_id: str) -> bool:
        """Put a response of the order before another one; False if either is not in it."""
        return bool(await self._run("move", nonce(), response_id, "before", other_id))

    async def close(self, message: str) -> None:
        """Accept nothing new, with the operator's message. Raises ValueError for a bad one."""
        await self._run("close", rules.check_closing(message))

    async def reopen(self) -> None:
        """Accept new responses again."""
        await self._run("close")

    async def closed(self) -> str | None:
        """Return the operator's message while the queue is closed, else None."""
        message = await self._client().hget(f"{self._base}meta", "closed")
        return None if message is None else text(message)

    async def pause(self, worker_id: str | None = None) -> bool:
        """Let one worker claim nothing, or all (None); False for an unknown worker."""
        return await self._switch("1", worker_id)

    async def unpause(self, worker_id: str | None = None) -> bool:
        """Take back a `pause` of the same worker; False for an unknown one."""
        return await self._switch("0", worker_id)

    async def _switch(self, paused: str, worker_id: str | None) -> bool:
        return bool(await self._run("pause", paused, *([] if worker_id is None else [worker_id])))

    async def order(
        self, worker_id: str, *, capacity: int | None = None, drain: bool | None = None
    ) -> bool:
        """Change a worker's orders; False for an unknown worker."""
        rules.check_capacity(capacity)
        draining = "" if drain is None else int(drain)
        return bool(await self._run("order", worker_id, optional(capacity), draining))

    async def elect(self, name: str, holder: str, seconds: float) -> bool:
        """Return whether `holder` has the duty `name` alone for `seconds` from now."""
        return bool(await self._run("elect", name, holder, milliseconds(seconds)))

    async def snapshot(self) -> Snapshot:
        """Return workers and open responses."""
        found = await self._run("snapshot", "all")
        running = sorted(map(_entry_row, found["running"]), key=lambda row: row.slot or ())
        return Snapshot(
            workers=_worker_rows(found["workers"]),
            running=running,
            waiting=[_entry_row(row) for row in found["waiting"]],
            paused=found["paused"],
            closed=found.get("closed"),
        )

    async def workers(self) -> list[WorkerRow]:
        """Return the live workers."""
        return _worker_rows((await self._run("snapshot", "workers"))["workers"])

    async def counters(self) -> Counters:
        """Return what the list has counted, and the present numbers."""
        answer = await self._run("counters", "accepted", "tokens", *REFUSALS)
        now, counts = answer["now"], answer["counts"]
        waits = [map(int, wait.split(":")) for wait in answer["waits"]]
        return Counters(
            at=now / 1000,
            running=answer["running"],
            waiting=answer["waiting"],
            workers=answer["workers"],
            capacity=answer["capacity"],
            accepted=counts.get("accepted", 0),
            rejected={code: counts.get(code, 0) for code in REFUSALS},
            tokens=counts.get("tokens", 0),
            waits=[((now - at) / 1000, waited / 1000) for at, waited in waits],
        )

    async def sample(self, text: str) -> None:
        """Keep one sample; the oldest beyond SAMPLES_KEPT are dropped."""
        await self._run("sample", nonce(), text)

    async def samples(self, last: int = SAMPLES_KEPT) -> list[str]:
        """Return the last samples, the newest last."""
        if last < 1:
            return []
        return list(map(text, await self._client().lrange(f"{self._base}samples", -last, -1)))

    async def load(self) -> Load:
        """Return what a forecast needs."""
        found = await self._run("load")
        return Load(
            running=[
                RunningLoad(
                    response_id=row["response_id"],
                    worker_id=row["worker_id"],
                    tokens=row["tokens"],
                    max_tokens=row["max_tokens"],
                    seconds=row["ms"] / 1000,
                    resumed=row["resumed"],
                )
                for row in found["running"]
            ],
            waiting=[(row["response_id"], row["max_tokens"]) for row in found["waiting"]],
            capacities=dict(sorted(found["capacities"].items())),
            recent=[
                (int(tokens), int(ms) / 1000, int(limit))
                for tokens, ms, limit in (each.split(":") for each in found["recent"])
            ],
            before_newcomer=found["before_newcomer"],
        )

    async def sweep(self, viewer_grace: float, queue_timeout: float | None = None) -> Sweep:
        """Return expired leases, drop dead workers, and name what is to be ended."""
        timeout = "" if queue_timeout is None else milliseconds(queue_timeout)
        found = await self._run("sweep", milliseconds(viewer_grace), timeout)
        return Sweep(**{name: list(ids) for name, ids in found.items()})


def _worker_rows(rows: Iterable[dict[str, Any]]) -> list[WorkerRow]:
    return sorted(map(_worker_row, rows), key=lambda row: row.worker_id)


def _worker_row(row: dict[str, Any]) -> WorkerRow:
    return WorkerRow(
        worker_id=row["worker_id"],
        capacity=row["capacity"],
        state=WorkerState(row["state"]),
        running=row["running"],
        age=row["age"] / 1000,
        details=json.loads(row["details"]),
        paused=row["paused"],
        orders=Orders(row.get("ordered"), row["drain"]),
    )


def _entry_row(row: dict[str, Any]) -> EntryRow:
    return EntryRow(
        response_id=row["response_id"],
        owner=row["owner"],
        conversation_id=row["conversation_id"],
        state=State(row["state"]),
        position=row.get("position"),
        worker_id=row["worker_id"],
        attempt=row["attempt"],
        since=row["since"] / 1000,
        tokens=row["tokens"],
        max_tokens=row["max_tokens"],
        asked=row["asked"] / 1000,
        slot=Slot.parse(row["slot"]),
    )
