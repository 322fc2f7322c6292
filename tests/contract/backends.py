"""The two waiting lists behind one face, for tests that must hold for both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from streaming.waiting_list.channel_layers import MemoryChannelLayer, RedisChannelLayer
from streaming.waiting_list.interface import (
    AdmissionLimits,
    Claim,
    Entry,
    Orders,
    Place,
    State,
    WaitingList,
    WorkerBeat,
    WorkerState,
    group_name,
)
from streaming.waiting_list.memory.cache_affinity import RESERVED_SECONDS

ROOMY = AdmissionLimits(max_waiting=1000)
LONG = 60.0
"""A lease or a time to live that no test outlasts."""

DELTA = '{"type":"delta"}'
DONE = '{"type":"done"}'


class Backend:
    """One waiting list under test. The short helpers say what most tests need."""

    name = ""
    layer: Any
    capacity_needed = False
    """Whether nothing is accepted without a live worker."""

    @property
    def list(self) -> WaitingList:
        kept: WaitingList = self.layer.waiting_list
        return kept

    def another_process(self) -> Any:
        """A layer as another process would have it."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        raise NotImplementedError

    async def lapse(self) -> None:
        """Let the time be over for which entries are left to workers."""
        raise NotImplementedError

    async def remembered(self) -> int:
        """Of how many conversations it is known who holds the prefix."""
        raise NotImplementedError

    async def remains(self) -> set[str]:
        """What is still kept, but for workers, counters, times and answers to repeated calls."""
        raise NotImplementedError

    async def counted(self) -> tuple[dict[str, int], dict[str, int]]:
        """The counters of open responses by owner and by address."""
        raise NotImplementedError

    async def close(self) -> None:
        await self.layer.flush()

    async def beat(
        self,
        worker_id: str = "w1",
        capacity: int = 2,
        state: WorkerState = WorkerState.READY,
        ttl: float = LONG,
        prefixes: int = 0,
        **details: str | int | float,
    ) -> Orders:
        beat = WorkerBeat(worker_id, capacity, state, ttl, details, prefixes)
        return await self.list.heartbeat(beat)

    async def ask(
        self,
        response_id: str,
        owner: str = "",
        conversation: str = "",
        address: str = "",
        limits: AdmissionLimits = ROOMY,
        **options: bool,
    ) -> Place:
        entry = Entry(response_id, owner or f"user:{response_id}", conversation, address, 64)
        return await self.list.enqueue(entry, limits, **options)

    async def claim(self, worker_id: str = "w1", seconds: float = LONG) -> Claim:
        claim = await self.list.claim(worker_id, seconds)
        assert isinstance(claim, Claim), claim
        return claim

    async def expire(self, claim: Claim) -> None:
        """Let the lease run out, as if its worker had died."""
        lease = claim.lease
        assert (await self.list.renew(lease.worker_id, [lease], 0.001)).held
        await self.pass_time(0.01)

    async def positions(self, *response_ids: str) -> Sequence[int | None]:
        return [(await self.list.place(name)).position for name in response_ids]

    async def state(self, response_id: str) -> State:
        return (await self.list.place(response_id)).state

    async def subscribe(self, response_id: str, layer: Any = None) -> str:
        layer = layer or self.layer
        channel: str = await layer.new_channel()
        await layer.group_add(group_name(response_id), channel)
        return channel


class MemoryBackend(Backend):
    name = "memory"
    capacity_needed = True

    def __init__(self, **options: Any) -> None:
        self.now = 1000.0
        self.layer = MemoryChannelLayer(clock=lambda: self.now, **options)

    def another_process(self) -> Any:
        return self.layer

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds

    async def lapse(self) -> None:
        await self.pass_time(RESERVED_SECONDS)

    async def remembered(self) -> int:
        return len(self.list._affinity._prefixes)  # type: ignore[attr-defined]

    async def remains(self) -> set[str]:
        kept: Any = self.list
        await kept.sweep(LONG)
        names = ("order", "returned", "parked", "conversations")
        collections = {name: getattr(kept._open, name) for name in names}
        collections |= {"open": kept._open, "done": kept._done, "leases": kept._registry.leases}
        collections["queues"] = kept._open.order._by_owner
        return {name for name, kept in collections.items() if len(kept)}

    async def counted(self) -> tuple[dict[str, int], dict[str, int]]:
        bounds = self.list._open.bounds  # type: ignore[attr-defined]
        return dict(bounds.owners), dict(bounds.addresses)


class RedisBackend(Backend):
    name = "redis"

    def __init__(self, url: str, **options: Any) -> None:
        self.url = url
        # Nothing lapses by itself, however slow the machine is: see `lapse`.
        self._options = {"hosts": [url], "prefix": "test", "reserved_seconds": LONG, **options}
        self.layer = self.another_process()
        self._others: list[Any] = []

    def another_process(self) -> Any:
        return RedisChannelLayer(**self._options)

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def lapse(self) -> None:
        async with Redis.from_url(self.url, decode_responses=True) as client:
            for key in await client.keys("test:waiting:entry:*"):
                if int(await client.hget(key, "left_until") or 0):
                    await client.hset(key, "left_until", 1)

    async def remembered(self) -> int:
        async with Redis.from_url(self.url, decode_responses=True) as client:
            holders = await client.hgetall("test:waiting:holders")
            held = {
                str(name): set(await client.zrange(name, 0, -1))
                for name in await client.keys("test:waiting:prefixes:*")
            }
        for conversation, worker in holders.items():
            assert conversation in held[f"test:waiting:prefixes:{worker}"]
        assert sum(map(len, held.values())) == len(holders)
        return len(holders)

    async def keys(self) -> dict[str, int]:
        """Every key with its time to live in milliseconds (-1: for ever)."""
        async with Redis.from_url(self.url, decode_responses=True) as client:
            return {str(name): await client.pttl(name) for name in await client.keys("*")}

    async def remains(self) -> set[str]:
        keys = await self.keys()
        assert all(name.startswith("test:waiting:") for name in keys)
        short = {name.removeprefix("test:waiting:"): ttl for name, ttl in keys.items()}
        assert all(ttl > 0 for name, ttl in short.items() if name.startswith("once:"))
        return {
            name
            for name in short
            if not name.startswith(("once:", "worker:"))
            and name not in ("workers", "meta", "recent", "counters", "waits", "samples")
        }

    async def counted(self) -> tuple[dict[str, int], dict[str, int]]:
        async with Redis.from_url(self.url, decode_responses=True) as client:
            owners = await client.hgetall("test:waiting:owners")
            addresses = await client.hgetall("test:waiting:addresses")
        return (
            {str(name): int(count) for name, count in owners.items()},
            {str(name): int(count) for name, count in addresses.items()},
        )
