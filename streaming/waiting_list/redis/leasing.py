"""Leasing responses of the waiting list in Redis to workers, which publish for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from streaming.waiting_list import rules
from streaming.waiting_list.interface import (
    AppendCall,
    Claim,
    Entry,
    Lease,
    Leasing,
    ListLost,
    Orders,
    Renewal,
    Reserved,
    WorkerBeat,
    WrongNumber,
)
from streaming.waiting_list.redis.store import RedisStore, milliseconds, nonce, optional


class RedisLeasing(RedisStore, Leasing):
    """The role `Leasing` of the list in Redis."""

    async def heartbeat(self, beat: WorkerBeat) -> Orders:
        """Note a worker's heartbeat and return its orders."""
        details = json.dumps(beat.details)
        orders = await self._run(
            "heartbeat",
            beat.worker_id,
            beat.capacity,
            beat.state,
            milliseconds(beat.ttl),
            details,
            beat.cached_prefix_capacity,
        )
        return Orders(orders.get("capacity"), orders["drain"])

    async def retire(self, worker_id: str) -> None:
        """Remove a worker that ends and return its leases."""
        await self._run("retire", worker_id)

    async def claim(self, worker_id: str, lease_seconds: float) -> Claim | Reserved | None:
        """Claim the next response for a worker that has a free place."""
        lease_ms = milliseconds(lease_seconds)
        row = await self._run("claim", nonce(), worker_id, lease_ms, self._reserved_ms)
        if row is None:
            return None
        if "lost" in row:
            raise ListLost
        if "reserved_ms" in row:
            return Reserved(row["reserved_ms"] / 1000)
        return Claim(
            lease=Lease(row["id"], worker_id, int(row["token"])),
            entry=Entry(
                row["id"], row["owner"], row["conversation"], row["address"], row["max_tokens"]
            ),
            attempt=row["attempt"],
            last_sequence=row["last_sequence"],
            tokens=tuple(map(int, row["tokens"].split(",")[:-1])),
        )

    async def renew(self, worker_id: str, leases: Iterable[Lease], lease_seconds: float) -> Renewal:
        """Extend the valid leases among these to `lease_seconds` from now."""
        leases = list(leases)
        if not leases:
            return Renewal(frozenset(), frozenset(), frozenset())
        args = [part for lease in leases for part in (lease.response_id, lease.token)]
        found = await self._run("renew", worker_id, milliseconds(lease_seconds), *args)
        by_id = {lease.response_id: each for lease, each in zip(leases, found, strict=True)}
        return Renewal(
            held=frozenset(name for name, each in by_id.items() if each != "lost"),
            lost=frozenset(name for name, each in by_id.items() if each == "lost"),
            cancelled=frozenset(name for name, each in by_id.items() if each == "cancelled"),
        )

    async def append(
        self, lease: Lease, event: str, tokens: Sequence[int] = (), number: int | None = None
    ) -> int | None:
        """Number, store and publish one event; return its number, None without a valid lease."""
        return (await self.append_many([AppendCall(lease, event, tokens, number)]))[0]

    async def append_many(self, appends: Sequence[AppendCall]) -> list[int | None]:
        """Append each event; WrongNumber is raised after all others are published."""
        if not appends:
            return []
        args: list[str | int] = []
        for call in appends:
            rules.check_event(call.event)
            tokens = "".join(f"{token}," for token in call.tokens)
            args += (call.lease.response_id, call.lease.token, call.event, tokens)
            args += (len(call.tokens), optional(call.number))
        numbers = await self._run("append", nonce(), *args)
        pairs = zip(appends, numbers, strict=True)
        wrong = {call.lease.response_id for call, number in pairs if number == "wrong"}
        if wrong:
            raise WrongNumber(wrong)
        return [None if number is False else number for number in numbers]

    async def rewind(self, response_id: str, seen: int, above: int) -> bool:
        """Let an open response begin anew if its log has lost event `seen`; whether it did."""
        return bool(await self._run("rewind", response_id, seen, above))

    async def finish(
        self,
        lease: Lease,
        event: str,
        number: int | None = None,
        *,
        counted: bool = True,
        cut: bool = False,
    ) -> int | None:
        """Publish the last event and end the response; return its number, None without a lease."""
        answer = await self._run(
            "finish",
            nonce(),
            lease.response_id,
            lease.token,
            rules.check_event(event),
            self._done_log_ms,
            optional(number),
            int(counted),
            int(cut),
        )
        if answer == "wrong":
            raise WrongNumber([lease.response_id])
        published: int | None = answer
        return published

    async def release(self, lease: Lease, *, forgive: bool = True) -> bool:
        """Return a running response to its slot; False without a valid lease."""
        arguments = (nonce(), lease.response_id, lease.token, int(forgive))
        return bool(await self._run("release", *arguments))
