"""Accepting responses into the waiting list in Redis, withdrawing and restoring them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from streaming.waiting_list import rules
from streaming.waiting_list.interface import (
    Accepting,
    AdmissionLimits,
    Entry,
    ListLost,
    Place,
    QueueClosed,
    Remembered,
    Slot,
    State,
    Withdrawal,
)
from streaming.waiting_list.redis.store import RedisStore, milliseconds, nonce, text

_RESTORED_AT_ONCE = 500
"""Maximum responses that one call of the script restores, so that others need not wait long."""


class RedisAccepting(RedisStore, Accepting):
    """The role `Accepting` of the list in Redis."""

    async def enqueue(
        self, entry: Entry, limits: AdmissionLimits, *, readmit: bool = False, said: int = 0
    ) -> Place:
        """Accept a response and return its place, or raise the refusal."""
        rules.check_entry(entry)
        answer = await self._run(
            "enqueue",
            nonce(),
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

    async def withdraw(self, response_id: str, event: str) -> Withdrawal:
        """End a waiting or held response with `event`, or set a running one's cancel flag."""
        rules.check_event(event)
        answer = await self._run("withdraw", nonce(), response_id, event, self._done_log_ms)
        return Withdrawal(answer)

    async def flag(self, response_id: str) -> bool:
        """Set a running response's cancel flag; False if it does not run."""
        return bool(await self._run("flag", response_id))

    async def is_restored(self) -> bool:
        """Return whether the list was restored since Redis last lost its memory."""
        return bool(await self._run("restored"))

    async def restore(
        self, forgotten: Sequence[Remembered], *, whole: bool, patience: float = 0
    ) -> None:
        """Put back what Redis has lost, each where it stood, in calls of limited size."""
        rows = rules.in_order(forgotten)
        for start in range(0, len(rows), _RESTORED_AT_ONCE):
            await self._restore(rows[start : start + _RESTORED_AT_ONCE], False, patience)
        if whole:
            await self._restore([], True, patience)

    async def _restore(self, rows: Sequence[Remembered], whole: bool, patience: float) -> None:
        await self._run("restore", int(whole), milliseconds(patience), *map(_restored, rows))

    async def unsaved(self) -> dict[str, Slot]:
        """Return the slots that the record does not know yet, by response id."""
        slots = await self._client().hgetall(f"{self._base}unsaved")
        parsed = {text(name): Slot.parse(text(slot)) for name, slot in slots.items()}
        return {name: slot for name, slot in parsed.items() if slot}

    async def saved(self, slots: Mapping[str, Slot]) -> None:
        """Note that the record has these slots, where they are still the present ones."""
        if slots:
            pairs = ((name, slot.text) for name, slot in slots.items())
            await self._run("saved", *(part for pair in pairs for part in pair))


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
