"""People, faults and the reckoning, whatever the deployment."""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tests.faults.cluster import Row, Step
from tests.faults.reader import Garbled, Reader
from tests.faults.storm import people
from tests.faults.storm.people import Ask
from tests.faults.storm.plan import Plan, Report

SETTLE_SECONDS = 30.0
"""Patience for the last leases and places to be given back."""

STRAGGLE_SECONDS = 5.0
"""A worker may be this late to hear of a cancellation while everything around it is dying."""

BURST_PER_SECOND = 400


class Storm(ABC):
    """One deployment's. `run` once, when it has been started."""

    urls: Sequence[str]
    places: int
    """How many run at once, all workers together;"""
    cap: int
    """and in one worker."""
    forgets = False
    """Whether it loses the events of ended answers with a process: whoever comes back then is told
    the end alone, with the whole text."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.report = Report()
        self.plan = plan
        self.say = say
        self.chance = random.Random(plan.seed)
        self.asks = people.make(plan, self.urls, self.chance)
        self._done_faults: Counter[str] = Counter()

    def broken(self, sentence: str) -> None:
        self.report.broken.append(sentence)

    # --- what a deployment knows and can be done to ---

    @abstractmethod
    def rows(self) -> dict[str, Row]:
        """The record, by response id in plain hex."""

    @abstractmethod
    def steps(self) -> dict[int, list[Step]]:
        """Every step of every engine there was, by process id."""

    @abstractmethod
    def strike(self, fault: str) -> None:
        """Do it, and mend what it broke. Blocks."""

    @abstractmethod
    async def running(self) -> set[str]:
        """The ids of the responses that run now."""

    @abstractmethod
    async def settled(self) -> str:
        """What still runs or waits, or which worker is missing; empty if all is quiet."""

    async def sample_on(self) -> None:
        """Look at what is promised at every moment, until cancelled."""
        await asyncio.Event().wait()

    async def check_leftovers(self) -> None:
        """Look for what nobody needs any more."""
        return

    # --- the whole of it ---

    async def run(self) -> Report:
        began = time.monotonic()
        await people.meet(self.asks, self.plan.owners, self.urls, self.chance)
        sampling = asyncio.create_task(self.sample_on())
        striking = asyncio.create_task(self._strike_on())
        try:
            async with asyncio.timeout(self.plan.hang_seconds):
                await asyncio.gather(*self._people())
                await striking
        except TimeoutError:
            hung = [ask.id for ask in self.asks if ask.done is None]
            self.broken(f"{len(hung)} responses never ended: {', '.join(hung[:10])}")
        finally:
            striking.cancel()
            sampling.cancel()
            await asyncio.gather(striking, sampling, return_exceptions=True)
        seconds = time.monotonic() - began
        await self._check_places()
        await self.check_leftovers()
        self._check_ends()
        await self._check_replays()
        self._check_steps()
        self._count(seconds)
        return self.report

    def _people(self) -> list[Coroutine[Any, Any, None]]:
        gate = asyncio.Semaphore(self.plan.at_once)

        async def live(ask: Ask) -> None:
            try:
                await people.live(ask)
                ask.done_at = time.time()
            except Garbled as error:
                self.broken(f"{ask.id}: {error}")

        async def come(number: int, ask: Ask) -> None:
            if number < self.plan.burst:
                await asyncio.sleep(number / BURST_PER_SECOND)
                await live(ask)
            else:
                async with gate:
                    await live(ask)

        return [come(number, ask) for number, ask in enumerate(self.asks)]

    async def _strike_on(self) -> None:
        """Spread evenly over the answers: so the storm is as hard on a slow machine."""
        plan = self.plan
        faults = [fault for fault, count in plan.faults.items() for _ in range(count)]
        self.chance.shuffle(faults)
        for number, fault in enumerate(faults, 1):
            while sum(ask.done is not None for ask in self.asks) < (
                plan.responses * number / (len(faults) + 1)
            ):
                await asyncio.sleep(0.05)
            await asyncio.to_thread(self.strike, fault)
            self._done_faults[fault] += 1
            self.say(f"fault {number} of {len(faults)}: {fault}")

    # --- the reckoning ---

    async def _check_places(self) -> None:
        """Nothing runs, nothing waits, and every place can be had."""
        until = time.monotonic() + SETTLE_SECONDS
        while (left := await self.settled()) and time.monotonic() < until:
            await asyncio.sleep(0.2)
        if left:
            self.broken(f"after the end, {left}")
        probes = [Reader(self.urls, "stop 400").start() for _ in range(self.places)]
        ids = {probe.id for probe in probes}
        most = 0
        until = time.monotonic() + SETTLE_SECONDS
        while most < len(probes) and time.monotonic() < until:
            most = max(most, len(await self.running() & ids))
            await asyncio.sleep(0.1)
        self.report.counts["places free afterwards"] = f"{most} of {len(probes)}"
        if most < len(probes):
            self.broken(f"only {most} of {len(probes)} places can be had")
        for probe in probes:
            await probe.cancel()
        await asyncio.gather(*(probe.end() for probe in probes))

    def _check_ends(self) -> None:
        """What the record says, what the reader was told, and the text that is known."""
        rows = self.rows()
        statuses: Counter[str] = Counter()
        disagree = garbled = 0
        for ask in self.asks:
            row = rows.get(ask.id.replace("-", ""))
            done = ask.done
            if row is None or done is None:
                self.broken(f"{ask.id}: record {row}, told {done}")
                continue
            statuses[row.status] += 1
            if (done["status"], done["text"]) != (row.status, row.text):
                disagree += 1
                self.broken(
                    f"{ask.id}: told {done['status']} {done['text'][-20:]!r}, "
                    f"the record says {row.status} {row.text[-20:]!r}"
                )
            if not self._is_right(ask, row.status, row.error_code):
                garbled += 1
                self.broken(
                    f"{ask.id}: {row.status} {row.error_code}, read {ask.text[-30:]!r}, told "
                    f"{done['text'][-30:]!r}, of {ask.prompt[:50]!r}"
                )
        for name, row in rows.items():
            if row.status in ("accepting", "queued", "in_progress"):
                self.broken(f"{name} is still {row.status}")
        self.report.counts |= {
            "responses accepted": sum(ask.accepted.is_set() for ask in self.asks),
            "ended exactly once": sum(statuses.values()),
            "    of them": dict(sorted(statuses.items())),
            "record and reader disagree": disagree,
            "items with a repeated or missing character": garbled,
        }

    def _is_right(self, ask: Ask, status: str, error_code: str) -> bool:
        assert ask.done is not None
        text = ask.done["text"]
        thought = ask.done["reasoning"]
        if not self._is_read(ask, ask) or not ask.whole.startswith(text):
            return False
        if not ask.thought.startswith(thought) or (text and thought != ask.thought):
            return False
        if status == "failed" and error_code == "worker_lost":  # three of its workers were lost
            return True
        if ask.html and ask.shown != ask.to_be_shown:
            return False
        if status == "cancelled":
            return ask.cancels
        return status == ("failed" if ask.fails else "completed") and text == ask.whole

    def _is_read(self, reader: Reader, ask: Ask) -> bool:
        """Whether somebody was told what the answer's end says: every item, to the letter; the
        reader has seen to it, but for what the list may have forgotten."""
        assert ask.done is not None
        text, thought = ask.done["text"], ask.done["reasoning"]
        if self.forgets:
            return text.startswith(reader.text) and thought.startswith(reader.reasoning)
        return not reader.missed and (text, thought) == (reader.text, reader.reasoning)

    async def _check_replays(self) -> None:
        """Whoever comes back after the end reads the same answer, with one end."""
        replayed = 0

        async def replay(asks: Sequence[Ask]) -> None:
            nonlocal replayed
            for ask in asks:
                if ask.done is None:
                    continue
                again = Reader(self.urls, ask.prompt, token=ask.token)
                again.id = ask.id
                again.accepted.set()
                try:
                    done = await asyncio.wait_for(again.answer(), SETTLE_SECONDS)
                except (Garbled, TimeoutError) as error:
                    self.broken(f"{ask.id} replayed: {error!r}")
                    continue
                replayed += 1
                if (done["status"], done["items"]) != (ask.done["status"], ask.done["items"]):
                    self.broken(f"{ask.id} replayed: {done}, first told: {ask.done}")
                if not self._is_read(again, ask):
                    self.broken(f"{ask.id} replayed: {again.text!r}, first read: {ask.text!r}")

        await asyncio.gather(*(replay(self.asks[start::8]) for start in range(8)))
        self.report.counts["replayed from the first event, and the same"] = replayed

    def _check_steps(self) -> None:
        """What the engines did: never more than the cap, and nothing for the cancelled."""
        cancelled = {
            ask.id: ask.done_at
            for ask in self.asks
            if ask.done and ask.done["status"] == "cancelled"
        }
        most = ran_on = steps = 0
        late = 0.0
        for pid, taken in self.steps().items():
            for step in taken:
                steps += 1
                most = max(most, len(step.ids))
                for name in step.ids:
                    if name in cancelled:
                        late = max(late, step.at - cancelled[name])
                        if step.at > cancelled[name] + STRAGGLE_SECONDS:
                            ran_on += 1
                            self.broken(f"{name} was cancelled and ran on in process {pid}")
            if len(taken) and taken[-1].ids and taken[-1].at > time.time() - 0.5:
                self.broken(f"the engine of process {pid} still runs {taken[-1].ids}")
        if most > self.cap:
            self.broken(f"an engine ran {most} at once")
        self.report.counts |= {
            "engine steps": steps,
            "most in one step of an engine (cap)": f"{most} ({self.cap})",
            "cancelled and ran on": ran_on,
            "latest step after a told cancellation": f"{late:.2f} s",
        }

    def _count(self, seconds: float) -> None:
        asks = self.asks
        self.report.counts |= {
            "owners": self.plan.owners,
            "faults": dict(sorted(self._done_faults.items())),
            "cancels asked": sum(ask.cancels for ask in asks),
            "people who left and came back": sum(ask.leaves for ask in asks),
            "connections in all": sum(ask.connections for ask in asks),
            "read as HTML, hostile, failing, slow": [
                sum(bool(getattr(ask, what)) for ask in asks)
                for what in ("html", "code", "fails", "slow")
            ],
            "answers that began anew": sum(ask.begun > 1 and not ask.html for ask in asks),
            "errors told, to be tried again": dict(Counter(e for ask in asks for e in ask.errors)),
            "taken up by another worker": sum(row.attempt > 1 for row in self.rows().values()),
            "seconds": round(seconds, 1),
        }
