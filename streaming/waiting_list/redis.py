"""The waiting list that many processes share: one Lua script per operation, by Redis's clock.

`lua/prelude.lua` names the keys. Whatever changes something and could not be done twice
carries a nonce, so that redis-py may repeat a call whose answer a broken connection swallowed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from streaming.waiting_list import rules
from streaming.waiting_list.base import (
    DONE_LOG_SECONDS,
    MAX_ATTEMPTS,
    Claim,
    Entry,
    EntryRow,
    Lease,
    Limits,
    Place,
    Renewal,
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
    group_name,
)


@cache
def _script(name: str) -> tuple[str, str]:
    """The text of a script and its hash."""
    folder = files("streaming.waiting_list") / "lua"
    prelude, body = ((folder / f"{part}.lua").read_text("utf-8") for part in ("prelude", name))
    text = f"local MAX_ATTEMPTS = {MAX_ATTEMPTS}\n{prelude}\n{body}"
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _nonce() -> str:
    return uuid4().hex


class RedisWaitingList(WaitingList):
    """`client` gives the running event loop's client; `prefix` is the channel layer's."""

    def __init__(
        self,
        client: Callable[[], Redis],
        prefix: str,
        *,
        done_log_seconds: float = DONE_LOG_SECONDS,
    ) -> None:
        self._client = client
        # Where channels_redis publishes a group's messages.
        self._keys = (f"{prefix}:waiting:", f"{prefix}__group__{group_name('')}")
        self._done_log_ms = _ms(done_log_seconds)

    async def _run(self, name: str, *args: str | int) -> Any:
        text, sha = _script(name)
        client = self._client()
        keys_and_args = (*self._keys, *args)
        try:
            reply = await client.evalsha(sha, len(self._keys), *keys_and_args)
        except NoScriptError:  # a server that has just (re)started
            reply = await client.eval(text, len(self._keys), *keys_and_args)
        return json.loads(reply)

    # Accepting

    async def enqueue(self, entry: Entry, limits: Limits, *, readmit: bool = False) -> Place:
        rules.check_entry(entry)
        code, *rest = await self._run(
            "enqueue",
            entry.response_id,
            entry.owner,
            entry.conversation_id,
            entry.address,
            entry.max_tokens,
            limits.max_waiting,
            limits.max_per_owner,
            limits.max_per_address,
            int(readmit),
        )
        if code != "ok":
            raise rules.refusal(code, *rest)
        created, state, position, size = rest
        return Place(State(state), position, size, created)

    # A worker's side

    async def claim(self, worker_id: str, lease_seconds: float) -> Claim | None:
        row = await self._run("claim", _nonce(), worker_id, _ms(lease_seconds))
        if row is None:
            return None
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

    async def append(self, lease: Lease, event: str, tokens: Sequence[int] = ()) -> int | None:
        return (await self.append_many([(lease, event, tokens)]))[0]

    async def append_many(
        self, appends: Sequence[tuple[Lease, str, Sequence[int]]]
    ) -> list[int | None]:
        if not appends:
            return []
        args: list[str | int] = []
        for lease, event, tokens in appends:
            text = "".join(f"{token}," for token in tokens)
            args += (lease.response_id, lease.token, rules.check_event(event), text, len(tokens))
        numbers = await self._run("append", _nonce(), *args)
        return [None if number is False else number for number in numbers]

    async def finish(self, lease: Lease, event: str) -> int | None:
        rules.check_event(event)
        number: int | None = await self._run(
            "finish", _nonce(), lease.response_id, lease.token, event, self._done_log_ms
        )
        return number

    async def release(self, lease: Lease) -> bool:
        return bool(await self._run("release", _nonce(), lease.response_id, lease.token))

    # Ending

    async def withdraw(self, response_id: str, event: str) -> Withdrawal:
        rules.check_event(event)
        answer = await self._run("withdraw", _nonce(), response_id, event, self._done_log_ms)
        return Withdrawal(answer)

    # A viewer's side

    async def read(self, response_id: str, after: int = 0) -> list[str]:
        log = f"{self._keys[0]}log:{response_id}"
        events = await self._client().lrange(log, max(after, 0), -1)
        return [event.decode() if isinstance(event, bytes) else event for event in events]

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
        touches = await self._client().zmscore(f"{self._keys[0]}open", list(response_ids))
        return {name for name, at in zip(response_ids, touches, strict=True) if at is not None}

    # Workers and upkeep

    async def heartbeat(self, beat: WorkerBeat) -> None:
        details = json.dumps(beat.details)
        await self._run(
            "heartbeat", beat.worker_id, beat.capacity, beat.state, _ms(beat.ttl), details
        )

    async def retire(self, worker_id: str) -> None:
        await self._run("retire", worker_id)

    async def snapshot(self) -> Snapshot:
        workers, running, waiting = await self._run("snapshot", "all")
        return Snapshot(
            workers=[_worker_row(row) for row in sorted(workers)],
            running=[_entry_row(row) for row in sorted(running, key=lambda row: row[-1])],
            waiting=[_entry_row(row) for row in waiting],
        )

    async def workers(self) -> list[WorkerRow]:
        workers, _, _ = await self._run("snapshot", "workers")
        return [_worker_row(row) for row in sorted(workers)]

    async def sweep(self, viewer_grace: float) -> Sweep:
        # cjson writes an empty list as {}.
        returned, exhausted, abandoned = map(list, await self._run("sweep", _ms(viewer_grace)))
        return Sweep(returned, exhausted, abandoned)


def _worker_row(row: list[Any]) -> WorkerRow:
    worker_id, capacity, state, running, age, details = row
    return WorkerRow(
        worker_id, capacity, WorkerState(state), running, age / 1000, json.loads(details)
    )


def _entry_row(row: list[Any]) -> EntryRow:
    name, owner, conversation, state, position, worker, attempt, since, tokens, limit, _ = row
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
    )
