"""The rows of the live queue's tables: names, and cells in words.

A look's rows come as `Moments.date` makes them: their seconds are moments of Unix time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import ngettext

from streaming.live_queue import words
from streaming.live_queue.parts import Part, part
from streaming.live_queue.words import NOTHING
from streaming.waiting_list.interface import WorkerState

SHORT_ID = 8
"""Characters of a response's id by which operators know it."""

Look = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """`names` are what stands in links, buttons and titles: they stay while the row does.
    `states` are words that a search finds beside the names."""

    key: str
    names: dict[str, str]
    parts: dict[str, Part]
    states: str = ""

    @property
    def searched(self) -> str:
        """Return all that a search looks through."""
        return "\n".join([*self.names.values(), self.states]).casefold()


MARKS = {
    "response_id": "RESPONSE_ID",
    "short": "SHORT_ID",
    "owner": "OWNER",
    "conversation_id": "CONVERSATION_ID",
    "worker_id": "WORKER_ID",
}
"""What stands for the names in the rows that the script makes new ones from."""


# --- clocks ---


def _since(moment: float, now: float) -> Part:
    return part(words.duration(now - moment), data_clock="elapsed", data_moment=f"{moment:.1f}")


def _ago(moment: float, now: float) -> Part:
    return part(words.ago(now - moment), data_clock="ago", data_moment=f"{moment:.1f}")


def _until(moment: float | None, now: float) -> Part:
    if moment is None:
        return part("—", data_clock=None, data_moment=None)
    return part(words.time_left(moment - now), data_clock="left", data_moment=f"{moment:.1f}")


# --- rows ---


def worker(row: Look, all_paused: bool, now: float) -> Row:
    """Return a worker's row."""
    details, capacity, is_paused = row["details"], row["capacity"], row["paused"] or all_paused
    rows, rate = details.get("rows"), details.get("tokens_per_second")
    device = [str(details[name]) for name in ("device", "dtype") if name in details]
    states = [row["state"], words.state_word(row["state"])]
    if is_paused:
        states += ["paused", words.state_word("paused")]
    drains = row["orders"]["drain"]
    return Row(
        key=row["worker_id"],
        names={"worker_id": row["worker_id"]},
        states="\n".join(
            [*(str(details.get(name, "")) for name in ("host", "model")), *device, *states]
        ),
        parts={
            "worker": part(row["worker_id"]),
            "model": part(details.get("model", NOTHING)),
            "device": part(" · ".join(device)),
            "state": part(words.state_word(row["state"]), data_state=row["state"]),
            "paused": part(hidden=not is_paused),
            "share": part(words.share(row["running"], capacity)),
            "rows": part(words.rows_word(rows) if rows is not None and rows != capacity else ""),
            "rate": part(NOTHING if rate is None else f"{rate:.1f}"),
            "memory": part(
                words.memory(details.get("kv_bytes_used", 0), details.get("kv_bytes", 0))
            ),
            "beat": _ago(row["age"], now),
            "pause": part(hidden=row["paused"]),
            "resume": part(hidden=not row["paused"]),
            # A worker that ends by itself can be asked for neither.
            "drain": part(hidden=row["state"] == WorkerState.DRAINING),
            "undrain": part(hidden=not drains),
            "capacity": part(value=str(capacity), max=str(capacity if rows is None else rows)),
        },
    )


def running(row: Look, now: float) -> Row:
    """Return a running response's row; `rate` is in tokens per second, None if it is unknown."""
    tokens, limit, rate, prompt = (
        row["tokens"],
        row["max_tokens"],
        row["rate"],
        row["prompt_tokens"],
    )
    return _entry(
        row,
        {
            "prompt": part(NOTHING if prompt is None else prompt),
            "bar": part(value=str(tokens), max=str(limit or max(1, tokens))),
            "progress": part(f"{tokens} / {limit}" if limit else tokens),
            "rate": part(NOTHING if rate is None else f"{rate:.1f}"),
            "time": _since(row["since"], now),
            "attempt": part(row["attempt"] if row["attempt"] > 1 else ""),
        },
    )


def waiting(row: Look, now: float) -> Row:
    """Return a waiting response's row. Without `source` and `characters`, which come from the
    record a moment later, it says nothing of them: a page that knows them keeps what it shows."""
    position, state = row["position"], row["state"]
    origin = {}
    if "source" in row:
        origin["source"] = part(words.source_word(row["source"]))
        origin["size"] = part(words.characters(row["characters"]))
    return _entry(
        row,
        {
            "place": part(
                position or words.place_word(state),
                title=None if position else words.place_title(state),
                data_state=None if position else state,
            ),
            **origin,
            "waited": _since(row["asked"], now),
            "wait": _until(row.get("eta"), now),
            # What has no place has none to be moved from.
            "front": part(disabled=not position),
            "back": part(disabled=not position),
        },
    )


def _entry(row: Look, parts: dict[str, Part]) -> Row:
    conversation, state = row["conversation_id"], row["state"]
    names = {
        "response_id": row["response_id"],
        "short": row["response_id"][:SHORT_ID],
        "owner": row["owner"],
        "conversation_id": conversation,
        "worker_id": row["worker_id"],
    }
    common = {
        "short": part(names["short"]),
        "owner": part(row["owner"]),
        "conversation": part(conversation[:SHORT_ID]),
        "worker": part(row["worker_id"]),
    }
    return Row(row["response_id"], names, common | parts, f"{state}\n{words.state_word(state)}")


# --- owners ---


def owners(look: Look) -> list[Look]:
    """Return what each has open who has anything open, whoever has most of it first: `owner`,
    `running`, `waiting`, and the `total` of all."""
    counts: dict[str, list[int]] = {}
    for index, table in enumerate(("running", "waiting")):
        for row in look[table]:
            counts.setdefault(row["owner"], [0, 0])[index] += 1
    total = sum(map(sum, counts.values()))
    ranked = sorted(counts.items(), key=lambda one: (-sum(one[1]), one[0]))
    return [
        {"owner": name, "running": running, "waiting": waiting, "total": total}
        for name, (running, waiting) in ranked
    ]


def owner(row: Look) -> Row:
    """Return an owner's row."""
    count, total = row["running"] + row["waiting"], row["total"]
    return Row(
        key=row["owner"],
        names={"owner": row["owner"]},
        parts={
            "owner": part(row["owner"]),
            "running": part(row["running"]),
            "waiting": part(row["waiting"]),
            "bar": part(value=str(count), max=str(total)),
            "share": part(f"{round(100 * count / total)} %"),
        },
    )


# --- the page itself ---


def page(look: Look) -> dict[str, Part]:
    """Return the parts of the page outside its tables, by the ids of their elements with `_` for
    `-`."""
    held = sum(row["state"] == "held" for row in look["waiting"])
    capacity = sum(row["capacity"] for row in look["workers"])
    closed, paused = look["closed"], look["paused"]
    owner_count = len({row["owner"] for row in look["running"] + look["waiting"]})
    people = ngettext("%(count)d owner", "%(count)d owners", owner_count) % {"count": owner_count}
    return {
        "count_workers": part(len(look["workers"])),
        "count_running": part(words.share(len(look["running"]), capacity)),
        "count_waiting": part(len(look["waiting"]) - held),
        "count_held": part(held),
        "count_owners": part(people),
        "closed": part(hidden=closed is None),
        "closed_message": part(closed or ""),
        "paused": part(hidden=not paused),
        "pause_all": part(hidden=paused),
        "resume_all": part(hidden=not paused),
        "close_queue": part(hidden=closed is not None),
        "reopen_queue": part(hidden=closed is None),
    }
