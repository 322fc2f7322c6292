"""The storm: many people ask, leave, come back and cancel, while processes are killed at random.

`python -m tests.faults.storm --full` runs the full one and prints what it counted; it exits
with 1 if a promise was broken. `docs/faults.md` says what is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from tests.fake_engine import words
from tests.faults.cluster import Cluster
from tests.faults.reader import Garbled, Reader
from tests.valkey import Valkey

WORKERS = 3
SETTLE_SECONDS = 30.0
"""Patience for the last leases and places to be given back."""

STRAGGLE_SECONDS = 5.0
"""A worker may be this late to hear of a cancellation while everything around it is dying."""


@dataclass(frozen=True)
class Plan:
    responses: int
    owners: int
    kills: int
    cancels: int
    reconnects: int
    at_once: int
    longest: int
    seed: int = 1
    hang_seconds: float = 900.0


FULL = Plan(2000, 50, 20, 300, 300, at_once=120, longest=60)
REDUCED = Plan(150, 10, 5, 30, 30, at_once=40, longest=80, hang_seconds=150)


@dataclass
class Report:
    """What was counted, and every broken promise in a sentence."""

    counts: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{name:<44} {value}" for name, value in self.counts.items()]
        lines += [f"BROKEN: {sentence}" for sentence in self.broken[:50]]
        lines.append("every promise was kept" if not self.broken else f"{len(self.broken)} broken")
        return "\n".join(lines)


class Ask(Reader):
    """A reader with intentions."""

    length = 0
    cancels = False
    leaves = False
    done_at = 0.0

    @property
    def whole(self) -> str:
        return "".join(words(self.length))


class Storm:
    def __init__(self, cluster: Cluster, plan: Plan, say: Callable[[str], None] = print) -> None:
        self._cluster = cluster
        self._plan = plan
        self._say = say
        self._chance = random.Random(plan.seed)
        self._report = Report()
        self._asks = self._make_asks()
        self._killed: Counter[str] = Counter()
        self._most_running = 0
        self._samples = 0

    def _make_asks(self) -> list[Ask]:
        plan, chance = self._plan, self._chance
        asks = []
        for _ in range(plan.responses):
            length = chance.randint(1, plan.longest)
            ask = Ask(self._cluster.urls, f"stop {length}", seed=chance.getrandbits(32))
            ask.length = length
            asks.append(ask)
        for ask in chance.sample(asks, plan.cancels):
            ask.cancels = True
        for ask in chance.sample(asks, plan.reconnects):
            ask.leaves = True
        return asks

    def _break(self, sentence: str) -> None:
        self._report.broken.append(sentence)

    async def run(self) -> Report:
        """The whole of it. The cluster is started already, with its workers."""
        began = time.monotonic()
        await self._meet_owners()
        sampling = asyncio.create_task(self._sample_on())
        killing = asyncio.create_task(self._kill_on())
        try:
            async with asyncio.timeout(self._plan.hang_seconds):
                await asyncio.gather(*self._people())
                await killing
        except TimeoutError:
            hung = [ask.id for ask in self._asks if ask.done is None]
            self._break(f"{len(hung)} responses never ended: {', '.join(hung[:10])}")
        finally:
            killing.cancel()
            sampling.cancel()
            await asyncio.gather(killing, sampling, return_exceptions=True)
        seconds = time.monotonic() - began
        await self._check_places()
        self._check_ends()
        await self._check_replays()
        self._check_steps()
        self._count(seconds)
        return self._report

    # --- people ---

    async def _meet_owners(self) -> None:
        """Each owner's first word gives the token by which its later sockets are the same one."""
        tokens = []
        for _ in range(self._plan.owners):
            first = Reader(self._cluster.urls, "stop 1")
            await first.answer()
            tokens.append(first.token)
        for ask in self._asks:
            ask.token = self._chance.choice(tokens)

    def _people(self) -> list[Any]:
        gate = asyncio.Semaphore(self._plan.at_once)

        async def live(ask: Ask) -> None:
            async with gate:
                try:
                    await self._live(ask)
                except Garbled as error:
                    self._break(f"{ask.id}: {error}")

        return [live(ask) for ask in self._asks]

    async def _live(self, ask: Ask) -> None:
        whims = [asyncio.create_task(self._whims(ask))]
        try:
            await ask.answer()
            ask.done_at = time.time()
        finally:
            for whim in whims:
                whim.cancel()
            await asyncio.gather(*whims, return_exceptions=True)

    async def _whims(self, ask: Ask) -> None:
        chance = random.Random(ask.id)
        await ask.accepted.wait()
        if ask.leaves:
            await self._moment(ask, chance)
            ask.leave()
            await asyncio.sleep(chance.uniform(0, 1))
            ask.come_back()
        if ask.cancels:
            await self._moment(ask, chance)
            await ask.cancel()

    async def _moment(self, ask: Ask, chance: random.Random) -> None:
        """In the queue, at about the claim, or mid-answer."""
        if chance.random() < 0.4:
            await asyncio.sleep(chance.uniform(0, 2))
        else:
            await ask.words(chance.randint(0, ask.length))

    # --- fate ---

    async def _kill_on(self) -> None:
        """Spread evenly over the answers: so the storm is as hard on a slow machine."""
        plan = self._plan
        victims = [("worker", "web", "valkey")[number % 3] for number in range(plan.kills)]
        self._chance.shuffle(victims)
        for number, victim in enumerate(victims, 1):
            while sum(ask.done is not None for ask in self._asks) < (
                plan.responses * number / (plan.kills + 1)
            ):
                await asyncio.sleep(0.05)
            await asyncio.to_thread(self._kill, victim, self._chance.uniform(0, 1.5))
            self._killed[victim] += 1
            self._say(f"kill {number} of {plan.kills}: {victim}")

    def _kill(self, victim: str, pause: float) -> None:
        cluster = self._cluster
        if victim == "worker":
            cluster.kill_worker(self._chance.choice(cluster.workers))
            time.sleep(pause)
            cluster.start_worker()
        elif victim == "web":
            number = self._chance.randrange(len(cluster.webs))
            cluster.kill_web(number)
            time.sleep(pause)
            cluster.start_web(number)
        else:
            cluster.valkey.kill()
            time.sleep(pause)
            cluster.valkey.start()

    async def _sample_on(self) -> None:
        async with self._cluster.waiting_list() as waiting_list:
            while True:
                try:
                    snapshot = await waiting_list.snapshot()
                except (RedisError, OSError):
                    await asyncio.sleep(0.2)
                    continue
                self._samples += 1
                held = Counter(entry.worker_id for entry in snapshot.running)
                for worker, count in held.items():
                    self._most_running = max(self._most_running, count)
                    if count > self._cap:
                        self._break(f"worker {worker} held {count} leases")
                await asyncio.sleep(0.1)

    # --- the reckoning ---

    @property
    def _cap(self) -> int:
        return self._cluster.cap

    async def _check_places(self) -> None:
        """Nothing runs, nothing waits, nothing is left behind, and every place can be had."""
        async with self._cluster.waiting_list() as waiting_list:
            until = time.monotonic() + SETTLE_SECONDS
            while time.monotonic() < until:
                snapshot = await waiting_list.snapshot()
                if (
                    not snapshot.running
                    and not snapshot.waiting
                    and (len(snapshot.workers) == WORKERS)
                ):
                    break
                await asyncio.sleep(0.2)
            else:
                self._break(
                    f"{len(snapshot.running)} run and {len(snapshot.waiting)} wait after the end; "
                    f"{len(snapshot.workers)} workers"
                )
            probes = [
                Reader(self._cluster.urls, "stop 400").start() for _ in range(self._cap * WORKERS)
            ]
            ids = {probe.id for probe in probes}
            most = 0
            until = time.monotonic() + SETTLE_SECONDS
            while most < len(probes) and time.monotonic() < until:
                running = {entry.response_id for entry in (await waiting_list.snapshot()).running}
                most = max(most, len(running & ids))
                await asyncio.sleep(0.1)
            self._report.counts["places free afterwards"] = f"{most} of {len(probes)}"
            if most < len(probes):
                self._break(f"only {most} of {len(probes)} places can be had")
            for probe in probes:
                await probe.cancel()
            await asyncio.gather(*(probe.end() for probe in probes))
        leaks = await self._cluster.leaks()
        self._report.counts["keys left in Valkey (not logs)"] = len(leaks)
        for key in leaks:
            self._break(f"left in Valkey: {key}")

    def _check_ends(self) -> None:
        """What the record says, what the reader was told, and the text that is known."""
        rows = self._cluster.rows()
        statuses: Counter[str] = Counter()
        disagree = garbled = 0
        for ask in self._asks:
            row = rows.get(ask.id.replace("-", ""))
            done = ask.done
            if row is None or done is None:
                self._break(f"{ask.id}: record {row}, told {done}")
                continue
            statuses[row.status] += 1
            if (done["status"], done["text"]) != (row.status, row.text):
                disagree += 1
                self._break(
                    f"{ask.id}: told {done['status']} {done['text'][-20:]!r}, "
                    f"the record says {row.status} {row.text[-20:]!r}"
                )
            if not self._is_right(ask, row.status, row.error_code):
                garbled += 1
                self._break(
                    f"{ask.id}: {row.status} {row.error_code}, read {ask.text[-30:]!r}, told "
                    f"{done['text'][-30:]!r}, of {ask.length} words"
                )
        for name, row in rows.items():
            if row.status in ("accepting", "queued", "in_progress"):
                self._break(f"{name} is still {row.status}")
        self._report.counts |= {
            "responses accepted": sum(ask.accepted.is_set() for ask in self._asks),
            "ended exactly once": sum(statuses.values()),
            "    of them": dict(sorted(statuses.items())),
            "record and reader disagree": disagree,
            "texts with a repeated or missing character": garbled,
        }

    def _is_right(self, ask: Ask, status: str, error_code: str) -> bool:
        assert ask.done is not None
        if ask.text != ask.done["text"] or not ask.whole.startswith(ask.text):
            return False
        if status == "cancelled":
            return ask.cancels
        if status == "failed":
            return error_code == "worker_lost"  # three of its workers were killed
        return status == "completed" and ask.text == ask.whole

    async def _check_replays(self) -> None:
        """Whoever comes back after the end reads the same answer, with one end."""
        replayed = 0

        async def replay(asks: Sequence[Ask]) -> None:
            nonlocal replayed
            for ask in asks:
                if ask.done is None:
                    continue
                again = Reader(self._cluster.urls, ask.prompt, token=ask.token)
                again.id = ask.id
                again.accepted.set()
                try:
                    done = await asyncio.wait_for(again.answer(), SETTLE_SECONDS)
                except (Garbled, TimeoutError) as error:
                    self._break(f"{ask.id} replayed: {error!r}")
                    continue
                replayed += 1
                if (done["status"], done["text"]) != (ask.done["status"], ask.done["text"]):
                    self._break(f"{ask.id} replayed: {done}, first told: {ask.done}")
                if again.text != ask.text:
                    self._break(f"{ask.id} replayed: {again.text!r}, first read: {ask.text!r}")

        await asyncio.gather(*(replay(self._asks[start::8]) for start in range(8)))
        self._report.counts["replayed from the first event, and the same"] = replayed

    def _check_steps(self) -> None:
        """What the engines did: never more than the cap, and nothing for the cancelled."""
        cancelled = {
            ask.id: ask.done_at
            for ask in self._asks
            if ask.done and ask.done["status"] == "cancelled"
        }
        most = ran_on = steps = 0
        late = 0.0
        for pid, taken in self._cluster.steps().items():
            for step in taken:
                steps += 1
                most = max(most, len(step.ids))
                for name in step.ids:
                    if name in cancelled:
                        late = max(late, step.at - cancelled[name])
                        if step.at > cancelled[name] + STRAGGLE_SECONDS:
                            ran_on += 1
                            self._break(f"{name} was cancelled and ran on in process {pid}")
            if len(taken) and taken[-1].ids and taken[-1].at > time.time() - 0.5:
                self._break(f"the engine of process {pid} still runs {taken[-1].ids}")
        if most > self._cap:
            self._break(f"an engine ran {most} at once")
        self._report.counts |= {
            "engine steps": steps,
            "most in one step of an engine (cap)": f"{most} ({self._cap})",
            "most leases of a worker (cap)": f"{self._most_running} ({self._cap})",
            "snapshots taken": self._samples,
            "cancelled and ran on": ran_on,
            "latest step after a told cancellation": f"{late:.2f} s",
        }

    def _count(self, seconds: float) -> None:
        asks = self._asks
        self._report.counts |= {
            "owners": self._plan.owners,
            "killed": dict(sorted(self._killed.items())),
            "cancels asked": sum(ask.cancels for ask in asks),
            "people who left and came back": sum(ask.leaves for ask in asks),
            "connections in all": sum(ask.connections for ask in asks),
            "answers that began anew": sum(ask.begun > 1 for ask in asks),
            "errors told, to be tried again": dict(Counter(e for ask in asks for e in ask.errors)),
            "taken up by another worker": sum(
                row.attempt > 1 for row in self._cluster.rows().values()
            ),
            "seconds": round(seconds, 1),
        }


async def run_storm(folder: Path, valkey: Valkey, plan: Plan, say: Callable[[str], None]) -> Report:
    cluster = Cluster(folder, valkey, webs=2)
    try:
        await asyncio.to_thread(cluster.start, WORKERS)
        return await Storm(cluster, plan, say).run()
    finally:
        await asyncio.to_thread(cluster.stop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.faults.storm")
    parser.add_argument("--full", action="store_true", help="the full storm, some minutes long")
    parser.add_argument("--seed", type=int, default=1, help="of what happens (not of when)")
    parser.add_argument("--folder", type=Path, help="keep database, steps and outputs here")
    options = parser.parse_args()
    shape = FULL if options.full else REDUCED
    plan = Plan(**{**vars(shape), "seed": options.seed})
    valkey = Valkey(durable=True).start()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="storm-"))
    folder.mkdir(exist_ok=True, parents=True)
    try:
        report = asyncio.run(run_storm(folder, valkey, plan, print))
    finally:
        valkey.stop()
    print(report)
    sys.exit(1 if report.broken else 0)


if __name__ == "__main__":
    main()
