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
    Left,
    Limits,
    ListLost,
    Load,
    Orders,
    Place,
    QueueClosed,
    Remembered,
    Renewal,
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
from streaming.waiting_list.cache_affinity import LEFT_SECONDS
from streaming.waiting_list.scripts import Scripts, SiteId

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
        left_seconds: float = LEFT_SECONDS,
    ) -> None:
        self._client = client
        self._base = f"{prefix}:waiting:"
        self.scripts = Scripts(client, prefix, site)
        self._run = self.scripts.run
        self._done_log_ms = _ms(done_log_seconds)
        self._left_ms = _ms(left_seconds)

    # Accepting

    async def enqueue(
        self, entry: Entry, limits: Limits, *, readmit: bool = False, said: int = 0
    ) -> Place:
        rules.check_entry(entry)
        code, *rest = await self._run(
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
        if code == "lost":
            raise ListLost
        if code == QueueClosed.code:
            raise QueueClosed(*rest)
        if code != "ok":
            raise rules.refusal(code, *rest)
        created, state, position, size, slot = rest
        return Place(State(state), position, size, created, Slot.parse(slot))

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
        args: list[str | int] = []
        for row in rows:
            entry, slot = row.entry, row.slot
            args += (entry.response_id, entry.owner, entry.conversation_id, entry.address)
            args += (entry.max_tokens, row.said, int(row.ran))
            args += ("", "", "") if slot is None else (slot.tag, slot.ticket, int(slot.moved))
        await self._run("restore", int(whole), _ms(patience), *args)

    async def unsaved(self) -> dict[str, Slot]:
        slots = await self._client().hgetall(f"{self._base}unsaved")
        parsed = {_text(name): Slot.parse(_text(slot)) for name, slot in slots.items()}
        return {name: slot for name, slot in parsed.items() if slot}

    async def saved(self, slots: Mapping[str, Slot]) -> None:
        if slots:
            pairs = ((name, slot.text) for name, slot in slots.items())
            await self._run("saved", *(part for pair in pairs for part in pair))

    # A worker's side

    async def claim(self, worker_id: str, lease_seconds: float) -> Claim | Left | None:
        row = await self._run("claim", _nonce(), worker_id, _ms(lease_seconds), self._left_ms)
        if row is None:
            return None
        if row == "lost":
            raise ListLost
        if isinstance(row, int):
            return Left(row / 1000)
        response_id, token, attempt, tail, tokens, owner, conversation, address, max_tokens = row
        return Claim(
            lease=Lease(response_id, worker_id, int(token)),
            entry=Entry(response_id, owner, conversation, address, max_tokens),
            attempt=attempt,
            tail=tail,
            tokens=tuple(map(int, tokens.split(",")[:-1])),
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
        size, workers, *rest = await self._run("look", int(touch), *response_ids)
        rows = zip(response_ids, rest[0::3], rest[1::3], rest[2::3], strict=True)
        return Watch(size, workers, {name: Watched(State(row[0]), *row[1:]) for name, *row in rows})

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
        ms, running, waiting, workers, capacity, waits, *counts = await self._run(
            "counters", "accepted", "tokens", *REFUSALS
        )
        accepted, tokens, *rejected = (int(count or 0) for count in counts)
        ages = [map(int, wait.split(":")) for wait in waits]
        return Counters(
            at=ms / 1000,
            running=running,
            waiting=waiting,
            workers=workers,
            capacity=capacity,
            accepted=accepted,
            rejected=dict(zip(REFUSALS, rejected, strict=True)),
            tokens=tokens,
            waits=[((ms - at) / 1000, waited / 1000) for at, waited in ages],
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
        capacity, drain = await self._run(
            "heartbeat",
            beat.worker_id,
            beat.capacity,
            beat.state,
            _ms(beat.ttl),
            details,
            beat.prefixes,
        )
        return Orders(capacity, drain)

    async def retire(self, worker_id: str) -> None:
        await self._run("retire", worker_id)

    async def elect(self, name: str, holder: str, seconds: float) -> bool:
        return bool(await self._run("elect", name, holder, _ms(seconds)))

    async def snapshot(self) -> Snapshot:
        workers, running, waiting, paused, closed = await self._run("snapshot", "all")
        return Snapshot(
            workers=[_worker_row(row) for row in sorted(workers)],
            running=[_entry_row(row) for row in sorted(running, key=lambda row: row[-3:-1])],
            waiting=[_entry_row(row) for row in waiting],
            paused=paused,
            closed=closed,
        )

    async def workers(self) -> list[WorkerRow]:
        workers, *_ = await self._run("snapshot", "workers")
        return [_worker_row(row) for row in sorted(workers)]

    async def load(self) -> Load:
        running, waiting, places, recent = await self._run("load")
        return Load(
            running=[
                RunningLoad(name, worker, tokens, limit, age / 1000, resumed)
                for name, worker, tokens, limit, age, resumed in running
            ],
            waiting=[(name, limit) for name, limit in waiting],
            places=dict(sorted(places)),
            recent=[
                (int(tokens), int(ms) / 1000, int(limit))
                for tokens, ms, limit in (text.split(":") for text in recent)
            ],
        )

    async def sweep(self, viewer_grace: float, queue_timeout: float | None = None) -> Sweep:
        timeout = "" if queue_timeout is None else _ms(queue_timeout)
        answer = await self._run("sweep", _ms(viewer_grace), timeout)
        return Sweep(*map(list, answer))  # cjson writes an empty list as {}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _worker_row(row: list[Any]) -> WorkerRow:
    worker_id, capacity, state, running, age, details, paused, ordered, drain = row
    return WorkerRow(
        worker_id=worker_id,
        capacity=capacity,
        state=WorkerState(state),
        running=running,
        age=age / 1000,
        details=json.loads(details),
        paused=paused,
        orders=Orders(ordered, drain),
    )


def _entry_row(row: list[Any]) -> EntryRow:
    name, owner, conversation, state, position, worker, attempt, since, tokens, limit, *rest = row
    asked, *_, slot = rest
    return EntryRow(
        response_id=name,
        owner=owner,
        conversation_id=conversation,
        state=State(state),
        position=position,
        worker_id=worker,
        attempt=attempt,
        since=since / 1000,
        tokens=tokens,
        max_tokens=limit,
        asked=asked / 1000,
        slot=Slot.parse(slot),
    )
