"""The storm over two web processes, three workers and one Valkey."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from redis.exceptions import RedisError

from tests.faults.cluster import Cluster, Row, Step
from tests.faults.storm.plan import HANG_SECONDS, Plan, Report
from tests.faults.storm.storm import Storm
from tests.support.valkey import Valkey

WORKERS = 3
LOCKED_SECONDS = 3.0


class ClusterStorm(Storm):
    """`cluster` is started already, with its workers."""

    def __init__(self, cluster: Cluster, plan: Plan, say: Callable[[str], None]) -> None:
        self._cluster = cluster
        self.urls: Sequence[str] = cluster.urls
        self.cap = cluster.cap
        self.places = cluster.cap * WORKERS
        super().__init__(plan, say)

    def rows(self) -> dict[str, Row]:
        return self._cluster.rows()

    def steps(self) -> dict[int, list[Step]]:
        return self._cluster.steps()

    def strike(self, fault: str) -> None:
        cluster, pause = self._cluster, self.chance.uniform(0, 1.5)
        match fault:
            case "worker":
                cluster.kill_worker(self.chance.choice(cluster.workers))
                time.sleep(pause)
                cluster.start_worker()
            case "hang":
                worker = self.chance.choice(cluster.workers)
                if not cluster.hang_worker(worker):
                    self.broken(f"a hung worker ended as if nothing were:\n{worker.output[-500:]}")
                cluster.start_worker()
            case "web":
                number = self.chance.randrange(len(cluster.webs))
                cluster.kill_web(number)
                time.sleep(pause)
                cluster.start_web(number)
            case "valkey":
                cluster.valkey.kill()
                time.sleep(pause)
                cluster.valkey.start()
            case "lock":
                with cluster.locked_database():
                    time.sleep(LOCKED_SECONDS)

    async def running(self) -> set[str]:
        async with self._cluster.waiting_list() as waiting_list:
            return {entry.response_id for entry in (await waiting_list.snapshot()).running}

    async def settled(self) -> str:
        async with self._cluster.waiting_list() as waiting_list:
            snapshot = await waiting_list.snapshot()
        found = (len(snapshot.running), len(snapshot.waiting), len(snapshot.workers))
        if found == (0, 0, WORKERS):
            return ""
        return "{} run and {} wait; {} workers".format(*found)

    async def sample_on(self) -> None:
        """No worker holds more leases than it has places."""
        samples, most = 0, 0
        async with self._cluster.waiting_list() as waiting_list:
            while True:
                try:
                    snapshot = await waiting_list.snapshot()
                except (RedisError, OSError):
                    await asyncio.sleep(0.2)
                    continue
                samples += 1
                held = Counter(entry.worker_id for entry in snapshot.running)
                for worker, count in held.items():
                    most = max(most, count)
                    if count > self.cap:
                        self.broken(f"worker {worker} held {count} leases")
                self.report.counts["most leases of a worker (cap)"] = f"{most} ({self.cap})"
                self.report.counts["snapshots taken"] = samples
                await asyncio.sleep(0.1)

    async def check_leftovers(self) -> None:
        leaks = await self._cluster.leaks()
        self.report.counts["keys left in Valkey (not logs)"] = len(leaks)
        for key in leaks:
            self.broken(f"left in Valkey: {key}")


async def run(folder: Path, valkey: Valkey, plan: Plan, say: Callable[[str], None]) -> Report:
    cluster = Cluster(folder, valkey, webs=2, CHATSTREAM_HANG_SECONDS=HANG_SECONDS)
    try:
        await asyncio.to_thread(cluster.start, WORKERS)
        return await ClusterStorm(cluster, plan, say).run()
    finally:
        await asyncio.to_thread(cluster.stop)
