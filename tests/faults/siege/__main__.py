"""Lay siege to a server of our own, and print what it cost."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from tests.faults.siege.attacks import ATTACKS
from tests.faults.siege.watch import Seen, Watch
from tests.support.processes import ROOT, ServeProcess
from tests.support.raw_websocket import address_of

PROBE_P99_MS = 250.0
LONGEST_GAP_SECONDS = 1.0
GROWTH = 1.1
"""The memory at the end, as a part of that after half of the last attack, at most."""

REST_SECONDS = 20.0

OPEN = ("accepting", "queued", "in_progress")

ABANDONED_SECONDS = 180.0
"""Within it even those have ended whose reader has left, and who waited behind others."""


class Siege:
    """One server, its watchers, and what was found."""

    def __init__(self, server: ServeProcess, database: Path) -> None:
        self._host, self._port = address_of(server.url)
        self._server = server
        self._database = database
        self._watch = Watch(self._host, self._port, server.process.pid)
        self.slow: list[str] = []
        """Promises of time and memory that were broken, a sentence each;"""
        self.lost: list[str] = []
        """and those that hold however busy the machine is."""

    async def run(self, each: float, together: float) -> None:
        watching = [
            asyncio.create_task(work) for work in (self._watch.probe_on(), self._watch.read_on())
        ]
        try:
            await self._stretch("nobody attacks", [], min(each, 30.0))
            for name in ATTACKS:
                await self._stretch(name, [name], each)
            # All rows of the engine are as long as they can be after a while; then nothing grows.
            at_rest = []
            for half in ("first half", "second half"):
                await self._stretch(f"all together, {half}", list(ATTACKS), together / 2)
                await self._stretch(f"after the {half}", [], min(together, REST_SECONDS))
                at_rest.append(self._watch.memory())
            before, after = at_rest
            print(f"memory at rest: {before:.0f} MiB after the first half, {after:.0f} at the end")
            if after > before * GROWTH:
                self.slow.append(f"memory grew from {before:.0f} to {after:.0f} MiB")
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _stretch(self, title: str, names: Sequence[str], seconds: float) -> None:
        self._watch.look_anew()
        counts = "{}"
        if names:
            attacking = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.siege.attacks"),
                *(self._host, str(self._port), str(seconds), *names),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await attacking.communicate()
            counts = out.decode()
        else:
            await asyncio.sleep(seconds)
        seen = self._watch.look_anew()
        print(f"{title}: {seen}")
        print(f"    memory {self._watch.memory():.0f} MiB; attackers {counts.strip()}")
        self._judge(title, seen)

    def _judge(self, title: str, seen: Seen) -> None:
        if seen.probe_p99 > PROBE_P99_MS:
            self.slow.append(f"{title}: healthz p99 {seen.probe_p99:.0f} ms")
        if seen.longest_gap > LONGEST_GAP_SECONDS:
            self.slow.append(f"{title}: an answer paused for {seen.longest_gap:.2f} s")
        if seen.probes_failed:
            self.lost.append(f"{title}: {seen.probes_failed} probes of healthz failed")
        if not seen.gaps:
            self.lost.append(f"{title}: nothing was answered")
        if ends := seen.answers.keys() - {"completed", "incomplete"}:
            self.lost.append(f"{title}: the visitor was told {', '.join(ends)}")

    async def account(self) -> None:
        """Nothing stays open, and what was told is what the record says."""
        try:
            async with asyncio.timeout(ABANDONED_SECONDS):
                while any(status in OPEN for _, status, _ in self._rows()):
                    await asyncio.sleep(1)
        except TimeoutError:
            left = [name for name, status, _ in self._rows() if status in OPEN]
            self.lost.append(f"{len(left)} responses are still open: {', '.join(left[:10])}")
        told = {UUID(done["response_id"]).hex: done for done in self._watch.done}
        rows = self._rows()
        for name, status, text in rows:
            done = told.pop(name, None)
            if done and (done["status"], done["text"]) != (status, text):
                self.lost.append(f"{name}: told {done['status']}, recorded {status}")
        self.lost += [f"{name}: told, and not in the record" for name in told]
        statuses = Counter(status for _, status, _ in rows)
        print(f"responses: {dict(statuses)}; of them told to the visitor: {len(self._watch.done)}")

    def _rows(self) -> list[tuple[str, str, str]]:
        with contextlib.closing(sqlite3.connect(self._database, timeout=30)) as connection:
            query = "SELECT id, status, text FROM streaming_response"
            return connection.execute(query).fetchall()


async def lay(each: float, together: float, folder: Path) -> Siege:
    """A siege of a new server, whose database and output are in the folder afterwards."""
    engine = {"CHATSTREAM_ENGINE": "tests.faults.siege.obedient.ObedientEngine"}
    server = await asyncio.to_thread(ServeProcess, folder, env=engine)
    try:
        await asyncio.to_thread(server.wait_until_ready)
        siege = Siege(server, folder / "db.sqlite3")
        await siege.run(each, together)
        await siege.account()
        return siege
    finally:
        try:
            status = await asyncio.to_thread(server.stop)
            print(f"the server ended with status {status}")
        finally:
            (folder / "server.log").write_text(server.output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.faults.siege")
    parser.add_argument("--each", type=float, default=60, help="seconds of each attack alone")
    parser.add_argument("--together", type=float, default=600, help="seconds of all together")
    parser.add_argument("--folder", type=Path, help="keep the database and the output here")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="siege-"))
    folder.mkdir(exist_ok=True, parents=True)
    siege = asyncio.run(lay(options.each, options.together, folder))
    broken = siege.lost + siege.slow
    print("\n".join(f"BROKEN: {sentence}" for sentence in broken) or "every promise was kept")
    print(f"folder {folder}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
