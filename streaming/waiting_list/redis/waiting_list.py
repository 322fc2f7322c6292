"""The waiting list that many processes share: one Lua script per operation, by Redis's clock.

`lua/prelude.lua` names the keys. Whatever changes something and could not be done twice
carries a nonce, so that redis-py may repeat a call whose answer a broken connection swallowed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from streaming.waiting_list import rules
from streaming.waiting_list.base import (
    DONE_LOG_SECONDS,
    REFUSALS,
    SAMPLES_KEPT,
    AppendCall,
    Claim,
    Counters,
    Edge,
    Entry,
    EntryRow,
    Lease,
    Limits,
    ListLost,
    Load,
    Orders,
    Place,
    QueueClosed,
    Remembered,
    Renewal,
    Reserved,
    RunningLoad,
    Slot,
    Snapshot,
    State,
    Sweep,
    WaitingList,
    Watch,
    Watched,
    Withdrawal,
    WorkerBeat,
    WorkerRow,
    WorkerState,
    WrongNumber,
)
from streaming.waiting_list.memory.cache_affinity import RESERVED_SECONDS
from streaming.waiting_list.redis.scripts import Scripts, SiteId

_RESTORED_AT_ONCE = 500


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _nonce() -> str:
    return uuid4().hex


def _optional(number: int | None = None) -> int | str:
    return "" if number is None else number


class RedisWaitingList(WaitingList):
    """`client` gives the running event loop's client; `prefix` is the channel layer's; `site`
    gives the id of the database whose responses wait here, None: whose they are is not checked.
    """

    def __init__(
        self,
        client: Callable[[], Redis],
        prefix: str,
        *,
        site: SiteId | None = None,
        done_log_seconds: float = DONE_LOG_SECONDS,
        reserved_seconds: float = RESERVED_SECONDS,
    ) -> None:
        self._client = client
        self._base = f"{prefix}:waiting:"
        self.scripts = Scripts(client, prefix, site)
        self._run = self.scripts.run
        self._done_log_ms = _ms(done_log_seconds)
        self._reserved_ms = _ms(reserved_seconds)

    # Accepting

    async def enqueue(
        self, entry: Entry, limits: Limits, *, readmit: bool = False, said: int = 0
    ) -> Place:
        rules.check_entry(entry)
        answer = await self._run(
            "enqueue",
            _nonce(),
            entry.response_id,
            entry.owner,
            entry.conversation_id,
            entry.address,
            entry.max_tokens,
            limits.max_waiting,
            limits.max_per_owner,
            limits.max_per_address,
            int(readmit),
            said,
        )
        code = answer["code"]
        if code == "lost":
            raise ListLost
        if code == QueueClosed.code:
            raise QueueClosed(answer["message"])
        if code != "ok":
            raise rules.refusal(code, answer["present"], answer["bound"])
        return Place(
            state=State(answer["state"]),
            position=answer.get("position"),
            size=answer["size"],
            created=answer["created"],
            slot=Slot.parse(answer["slot"]),
        )

    async def is_restored(self) -> bool:
        return bool(await self._run("restored"))

    async def restore(
        self, forgotten: Sequence[Remembered], *, whole: bool, patience: float = 0
    ) -> None:
        rows = rules.in_order(forgotten)
        for start in range(0, len(rows), _RESTORED_AT_ONCE):
            await self._restore(rows[start : start + _RESTORED_AT_ONCE], False, patience)
        if whole:
            await self._restore([], True, patience)

    async def _restore(self, rows: Sequence[Remembered], whole: bool, patience: float) -> None:
        await self._run("restore", int(whole), _ms(patience), *map(_restored, rows))

    async def unsaved(self) -> dict[str, Slot]:
        slots = await self._client().hgetall(f"{self._base}unsaved")
        parsed = {_text(name): Slot.parse(_text(slot)) for name, slot in slots.items()}
        return {name: slot for name, slot in parsed.items() if slot}

    async def saved(self, slots: Mapping[str, Slot]) -> None:
        if slots:
            pairs = ((name, slot.text) for name, slot in slots.items())
            await self._run("saved", *(part for pair in pairs for part in pair))

    # A worker's side

    async def claim(self, worker_id: str, lease_seconds: float) -> Claim | Reserved | None:
        row = await self._run("claim", _nonce(), worker_id, _ms(lease_seconds), self._reserved_ms)
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
        leases = list(leases)
        if not leases:
            return Renewal(frozenset(), frozenset(), frozenset())
        args = [part for lease in leases for part in (lease.response_id, lease.token)]
        fates = await self._run("renew", worker_id, _ms(lease_seconds), *args)
        by_id = {lease.response_id: fate for lease, fate in zip(leases, fates, strict=True)}
        return Renewal(
            held=frozenset(name for name, fate in by_id.items() if fate != "lost"),
            lost=frozenset(name for name, fate in by_id.items() if fate == "lost"),
            cancelled=frozenset(name for name, fate in by_id.items() if fate == "cancelled"),
        )

    async def append(
        self, lease: Lease, event: str, tokens: Sequence[int] = (), number: int | None = None
    ) -> int | None:
        return (await self.append_many([AppendCall(lease, event, tokens, number)]))[0]

    async def append_many(self, appends: Sequence[AppendCall]) -> list[int | None]:
        if not appends:
            return []
        args: list[str | int] = []
        for call in appends:
            rules.check_event(call.event)
            tokens = "".join(f"{token}," for token in call.tokens)
            args += (call.lease.response_id, call.lease.token, call.event, tokens)
            args += (len(call.tokens), _optional(call.number))
        numbers = await self._run("append", _nonce(), *args)
        pairs = zip(appends, numbers, strict=True)
        wrong = {call.lease.response_id for call, number in pairs if number == "wrong"}
        if wrong:
            raise WrongNumber(wrong)
        return [None if number is False else number for number in numbers]

    async def rewind(self, response_id: str, seen: int, above: int) -> bool:
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
        answer = await self._run(
            "finish",
            _nonce(),
            lease.response_id,
            lease.token,
            rules.check_event(event),
            self._done_log_ms,
            _optional(number),
            int(counted),
            int(cut),
        )
        if answer == "wrong":
            raise WrongNumber([lease.response_id])
        said: int | None = answer
        return said

    async def release(self, lease: Lease, *, forgive: bool = True) -> bool:
        arguments = (_nonce(), lease.response_id, lease.token, int(forgive))
        return bool(await self._run("release", *arguments))

    # Ending

    async def withdraw(self, response_id: str, event: str) -> Withdrawal:
        rules.check_event(event)
        answer = await self._run("withdraw", _nonce(), response_id, event, self._done_log_ms)
        return Withdrawal(answer)

    async def flag(self, response_id: str) -> bool:
        return bool(await self._run("flag", response_id))

    # A viewer's side

    async def read(self, response_id: str, after: int = 0, most: int | None = None) -> list[str]:
        return list(await self._run("read", response_id, after, _optional(most)))

    async def watch(self, response_ids: Sequence[str]) -> Watch:
        return await self._look(response_ids, touch=True)

    async def place(self, response_id: str) -> Place:
        look = await self._look([response_id], touch=False)
        seen = look.responses[response_id]
        return Place(seen.state, seen.position, look.size, created=False)

    async def _look(self, response_ids: Sequence[str], *, touch: bool) -> Watch:
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

    async def known(self, response_ids: Sequence[str]) -> set[str]:
        if not response_ids:
            return set()
        touches = await self._client().zmscore(f"{self._base}open", list(response_ids))
        return {name for name, at in zip(response_ids, touches, strict=True) if at is not None}

    # An operator's side

    async def move(self, response_id: str, edge: Edge) -> bool:
        return bool(await self._run("move", _nonce(), response_id, edge))

    async def close(self, message: str) -> None:
        await self._run("close", rules.check_closing(message))

    async def reopen(self) -> None:
        await self._run("close")

    async def closed(self) -> str | None:
        message = await self._client().hget(f"{self._base}meta", "closed")
        return None if message is None else _text(message)

    async def pause(self, worker_id: str | None = None) -> bool:
        return await self._switch("1", worker_id)

    async def unpause(self, worker_id: str | None = None) -> bool:
        return await self._switch("0", worker_id)

    async def _switch(self, paused: str, worker_id: str | None) -> bool:
        return bool(await self._run("pause", paused, *([] if worker_id is None else [worker_id])))

    async def order(
        self, worker_id: str, *, capacity: int | None = None, drain: bool | None = None
    ) -> bool:
        rules.check_capacity(capacity)
        draining = "" if drain is None else int(drain)
        return bool(await self._run("order", worker_id, _optional(capacity), draining))

    async def counters(self) -> Counters:
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
        await self._run("sample", _nonce(), text)

    async def samples(self, last: int = SAMPLES_KEPT) -> list[str]:
        if last < 1:
            return []
        texts = await self._client().lrange(f"{self._base}samples", -last, -1)
        return [_text(text) for text in texts]

    # Workers and upkeep

    async def heartbeat(self, beat: WorkerBeat) -> Orders:
        details = json.dumps(beat.details)
        orders = await self._run(
            "heartbeat",
            beat.worker_id,
            beat.capacity,
            beat.state,
            _ms(beat.ttl),
            details,
            beat.prefixes,
        )
        return Orders(orders.get("capacity"), orders["drain"])

    async def retire(self, worker_id: str) -> None:
        await self._run("retire", worker_id)

    async def elect(self, name: str, holder: str, seconds: float) -> bool:
        return bool(await self._run("elect", name, holder, _ms(seconds)))

    async def snapshot(self) -> Snapshot:
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
        return _worker_rows((await self._run("snapshot", "workers"))["workers"])

    async def load(self) -> Load:
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
                for tokens, ms, limit in (text.split(":") for text in found["recent"])
            ],
        )

    async def sweep(self, viewer_grace: float, queue_timeout: float | None = None) -> Sweep:
        timeout = "" if queue_timeout is None else _ms(queue_timeout)
        found = await self._run("sweep", _ms(viewer_grace), timeout)
        return Sweep(**{name: list(ids) for name, ids in found.items()})


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _restored(known: Remembered) -> str:
    """Return the object that `lua/restore.lua` takes: numbers as texts, which stay exact."""
    entry, slot = known.entry, known.slot
    row: dict[str, str | bool] = {
        "id": entry.response_id,
        "owner": entry.owner,
        "conversation": entry.conversation_id,
        "address": entry.address,
        "max_tokens": str(entry.max_tokens),
        "said": str(known.said),
        "ran": known.ran,
    }
    if slot is not None:
        row |= {"tag": str(slot.tag), "ticket": str(slot.ticket), "moved": slot.moved}
    return json.dumps(row)


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
