"""Full load for a long time: does memory grow, and is every response accounted for?

More readers than places and waiting places together ask without a pause. Some stop their answer,
some leave in the middle of it and come back on another socket, some leave for good.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psutil
from picows.websockets.exceptions import WebSocketException

from benchmarks.numbers import slope
from benchmarks.options import Options, say
from benchmarks.prompts import turns
from benchmarks.report import Chart, Section, Table
from benchmarks.systems.served import Served
from streaming.waiting_list.interface import DONE_LOG_SECONDS

RUNNING, WAITING, READERS = 16, 24, 48
MAX_TOKENS = 96
SAMPLE_SECONDS = 5.0
SETTLED = DONE_LOG_SECONDS / 60 + 1
"""Minutes that do not count for the slope, of a short soak the first half: until then more and more
events of ended responses are kept."""

ENDS = ("completed", "incomplete", "cancelled", "failed")
_COUNT = (
    "import json; from django.db.models import Count; from streaming.models import Response; "
    "print('COUNTED ' + json.dumps(list("
    "Response.objects.values_list('status').annotate(n=Count('pk')))))"
)


@dataclass
class Account:
    """What the readers saw, by response ids. The readers of `left` went away for good; `twice`
    counts ends that were seen twice."""

    accepted: set[str] = field(default_factory=set)
    ended: dict[str, str] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    twice: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    broken: Counter[str] = field(default_factory=Counter)

    def end(self, response_id: str, event: dict[str, Any]) -> None:
        """Note that a response ended, by its last event."""
        self.twice += response_id in self.ended
        response = event["response"]
        self.ended[response_id] = response["status"]
        self.tokens += (response["usage"] or {}).get("output_tokens", 0)

    @property
    def lost(self) -> set[str]:
        """Return those that were accepted and whose end was never seen, though their reader
        stayed."""
        return self.accepted - self.left - set(self.ended)


async def read(socket: Any, account: Account, until: int) -> str:
    """Note what comes until the answer's end, or until `until` texts. Returns the response's id;
    empty if it has ended or was refused."""
    response_id, texts = "", 0
    while texts < until:
        event = json.loads(await socket.recv())
        match event["type"]:
            case "response.queued":
                response_id = event["response_id"]
                account.accepted.add(response_id)
            case "response.output_text.delta":
                response_id, texts = event["response_id"], texts + 1
            case "response.completed" | "response.incomplete" | "response.failed":
                account.end(event["response_id"], event)
                return ""
            case "error" if event["code"] == "already_done":
                continue  # it was stopped too late; the end is on its way
            case "error":
                account.refused[event["code"]] += 1
                return ""
    return response_id


async def visit(server: Served, prompt: str, account: Account, chance: random.Random) -> None:
    """Ask for one answer, and read, stop, leave and come back, or leave it for good, by chance."""
    way = chance.choices(("read", "stop", "return", "leave"), (80, 8, 8, 4))[0]
    few = 10**9 if way == "read" else chance.randint(1, 12)
    socket, greeting = await server.open_greeted()
    try:
        created = {"type": "response.create", "input": prompt,
                   "params": {"max_tokens": MAX_TOKENS}}  # fmt: skip
        await socket.send(json.dumps(created))
        response_id = await read(socket, account, few)
        if not response_id:
            return
        if way == "stop":
            cancel = {"type": "response.cancel", "response_id": response_id}
            await socket.send(json.dumps(cancel))
            await read(socket, account, 10**9)
        elif way == "leave":
            account.left.add(response_id)
        else:
            token = greeting["session_token"]
            await socket.close()
            socket = await server.open()
            resume = {"type": "chatstream:session", "session_token": token}
            await socket.send(json.dumps(resume))
            await socket.recv()
            again = {"type": "chatstream:resume", "response_id": response_id, "starting_after": 0}
            await socket.send(json.dumps(again))
            await read(socket, account, 10**9)
    finally:
        await socket.close()


async def reader(
    server: Served, prompts: list[str], account: Account, until: float, number: int
) -> None:
    """Ask again and again until the moment `until` (`time.monotonic`). `number` is the seed of what
    the reader does."""
    chance = random.Random(number)
    while time.monotonic() < until:
        refused = sum(account.refused.values())
        try:
            await visit(server, chance.choice(prompts), account, chance)
        except (OSError, WebSocketException) as error:
            account.broken[type(error).__name__] += 1
        if sum(account.refused.values()) > refused or account.broken:
            await asyncio.sleep(1 + chance.random())


def filled(server: Served, prompts: list[str]) -> dict[str, int]:
    """Fill every row further than any answer to come, and return the record by status.

    The cache keeps a row's memory as far as it was ever filled. That is bounded by the rows and
    the context, and would look like growth until each row has had the longest answer."""
    longest = max(prompts, key=len)
    server.answer(
        [f"{number}. {longest}\n{longest[:200]}" for number in range(RUNNING + WAITING)], MAX_TOKENS
    )
    return settled_record(server)


async def load(
    server: Served, prompts: list[str], account: Account, seconds: float
) -> list[tuple[float, float]]:
    """Let the readers ask; return samples of the server's memory (minutes, MB)."""
    process = psutil.Process(server.pid)
    began = time.monotonic()
    readers = [
        asyncio.create_task(reader(server, prompts, account, began + seconds, number))
        for number in range(READERS)
    ]
    samples, said = [], began
    while not all(task.done() for task in readers):
        await asyncio.wait(readers, timeout=SAMPLE_SECONDS)
        now = time.monotonic()
        if now - began <= seconds:
            samples.append(((now - began) / 60, process.memory_info().rss / 1e6))
        if now - said >= 60:
            said = now
            say(f"{len(account.ended)} ended, {samples[-1][1]:.0f} MB")
    await asyncio.gather(*readers)
    return samples


def record(server: Served) -> dict[str, int]:
    """Return how many responses the database has by status."""
    output = server.manage("shell", "-c", _COUNT)
    line = next(line for line in output.splitlines() if line.startswith("COUNTED "))
    return dict(json.loads(line.removeprefix("COUNTED ")))


def settled_record(server: Served) -> dict[str, int]:
    """Return `record` once nothing is open any more, or after 120 s."""
    until = time.monotonic() + 120
    while True:
        found = record(server)
        if not set(found) - set(ENDS) or time.monotonic() > until:
            return found
        time.sleep(5)


def measure(options: Options) -> Section:
    """Load the server for `options.minutes`; return the section."""
    prompts = [conversation[0] for conversation in turns(options.prompts)]
    account = Account()
    limits = {"CHATSTREAM_MAX_WAITING": str(WAITING), "CHATSTREAM_DISCONNECT_GRACE": "5"}
    with Served(options, RUNNING, **limits) as server:
        before = filled(server, prompts)
        say(f"full load for {options.minutes:g} minutes")
        samples = asyncio.run(load(server, prompts, account, 60 * options.minutes))
        kept = settled_record(server)
    since = {status: number - before.get(status, 0) for status, number in kept.items()}
    return report(account, samples, since, options.minutes)


def report(
    account: Account, samples: list[tuple[float, float]], kept: dict[str, int], minutes: float
) -> Section:
    """Return the section of what was measured. `samples` are (minutes, MB), `kept` the record's
    responses by status."""
    section = Section("soak", f"{minutes:g} minutes of full load")
    settling = min(SETTLED, minutes / 2)
    settled = [(at / 60, mb) for at, mb in samples if at >= settling]
    growth = slope(settled)
    recorded = sum(kept.get(status, 0) for status in ENDS)
    unended = sum(kept.values()) - recorded
    missing = len(account.accepted) - sum(kept.values())
    lost = len(account.lost) + unended + abs(missing) + account.twice
    table = Table(["", "value"])
    table.add("accepted", len(account.accepted))
    for status, number in sorted(Counter(account.ended.values()).items()):
        table.add(f"readers saw them {status}", number)
    table.add("their reader left for good", len(account.left))
    table.add("no end was seen though the reader stayed", len(account.lost))
    table.add("an end was seen twice", account.twice)
    for status, number in sorted(kept.items()):
        table.add(f"in the record: {status}", number)
    table.add("accepted, not in the record", missing)
    for code, number in sorted(account.refused.items()):
        table.add(f"refused: {code}", number)
    for error, number in sorted(account.broken.items()):
        table.add(f"connections broken: {error}", number)
    table.add("tokens", account.tokens)
    table.add("memory at the end, MB", samples[-1][1] if samples else None)
    table.add(f"memory's slope after {settling:g} minutes, MB/h", growth)
    section.tables.append(table)
    section.figures = {
        "mb_per_hour": growth,
        "lost": float(lost),
        "accepted": float(len(account.accepted)),
    }
    section.charts.append(
        Chart("soak", "Resident memory of the server", "minutes", "MB", {"memory": samples})
    )
    return section
