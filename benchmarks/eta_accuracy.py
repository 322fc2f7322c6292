"""How right is the ETA that people are told when their prompt is accepted?

Starts `manage.py serve` with the default model, sends prompts at random moments (Poisson
arrivals, a little more than the server can serve), each from a visitor of its own, and compares
`eta_seconds` of `response.queued` with the time until `response.in_progress`:

    python -m benchmarks.eta_accuracy --prompts mt_bench_questions.jsonl --minutes 10

The file has one JSON object a line, its prompt the first of `turns`; without one, `--synthetic N`
prompts of our own are sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle, islice, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from websockets.asyncio.client import connect

from streaming.forecast import forecast
from tests.processes import ServeProcess

LONG_WAIT = 5.0
"""Shorter waits are not judged: nobody minds a second more or less."""

SUBJECTS = ["a lighthouse", "a violin", "winter in the mountains", "a bakery", "the moon", "chess"]
TASKS = [
    "Write a short story about {}.",
    "Name three facts about {}.",
    "Explain {} to a child.",
    "In one sentence: what comes to mind about {}?",
    "Write a poem about {} with four lines.",
    "Give advice to somebody who knows nothing about {}.",
]


@dataclass
class Outcome:
    """One response, as its reader saw it; times are seconds on this process's clock."""

    number: int
    max_tokens: int
    queued: float | None = None
    started: float | None = None
    position: int | None = None
    eta: float | None = None
    tokens: int | None = None
    fault: str = ""

    @property
    def wait(self) -> float | None:
        if self.queued is None or self.started is None:
            return None
        return self.started - self.queued

    @property
    def error(self) -> float | None:
        """The ETA's relative error; None if it cannot be judged."""
        if self.eta is None or not self.wait:
            return None
        return abs(self.eta - self.wait) / self.wait

    def __str__(self) -> str:
        parts = [f"#{self.number:<4}"]
        if self.position is not None:
            parts.append(f"position {self.position:<3}")
        parts.append("no ETA      " if self.eta is None else f"ETA {self.eta:6.1f} s")
        parts.append("never started" if self.wait is None else f"waited {self.wait:6.1f} s")
        if self.error is not None and self.wait is not None and self.wait >= LONG_WAIT:
            parts.append(f"error {self.error:4.0%}")
        if self.tokens is not None:
            parts.append(f"({self.tokens} of at most {self.max_tokens} tokens)")
        if self.fault:
            parts.append(self.fault)
        return "  ".join(parts)


async def ask(url: str, prompt: str, outcome: Outcome) -> None:
    """Send one prompt on a socket of its own and note what happens to it."""
    params = {"max_tokens": outcome.max_tokens, "seed": outcome.number}
    async with connect(url, open_timeout=60) as socket:
        await socket.send(
            json.dumps({"type": "response.create", "input": prompt, "params": params})
        )
        async for frame in socket:
            event = json.loads(frame)
            match event["type"]:
                case "response.queued":
                    outcome.queued = time.monotonic()
                    outcome.position = event["position"]
                    outcome.eta = event.get("eta_seconds")
                case "response.in_progress" if outcome.started is None:
                    outcome.started = time.monotonic()
                case "response.done":
                    outcome.tokens = event["usage"]["completion_tokens"]
                    if event["status"] not in ("completed", "incomplete"):
                        outcome.fault = event["status"]
                    return
                case "error":
                    outcome.fault = f"{event['code']}: {event['message']}"
                    return


async def ask_and_tell(url: str, prompt: str, outcome: Outcome) -> None:
    try:
        await ask(url, prompt, outcome)
    except asyncio.CancelledError:
        outcome.fault = "the time was over"
    except Exception as error:  # one reader's trouble is a line of the report, not its end
        outcome.fault = f"{type(error).__name__}: {error}"
    print(outcome, flush=True)


async def measure(url: str, options: argparse.Namespace, prompts: list[str]) -> list[Outcome]:
    """All responses but those of the warm-up."""
    chance = random.Random(options.seed)
    chance.shuffle(prompts)
    supply = cycle(prompts)
    numbers = count(1)
    ends_at = time.monotonic() + 60 * options.minutes

    def next_outcome() -> Outcome:
        return Outcome(next(numbers), chance.randint(*options.max_tokens))

    between = options.every
    if between is None:
        between = await time_between_ends(url, options, supply, next_outcome) / options.load
    print(f"A prompt about every {between:.1f} s, until {options.minutes:g} minutes are over.")
    last_sent_at = time.monotonic() + 0.75 * (ends_at - time.monotonic())
    outcomes: list[Outcome] = []
    tasks: list[asyncio.Task[None]] = []
    for prompt in islice(supply, options.count or len(prompts)):
        pause = chance.expovariate(1 / between)
        if time.monotonic() + pause > last_sent_at:
            print("No more prompts are sent: what is left of the time is for those that wait.")
            break
        await asyncio.sleep(pause)
        outcomes.append(next_outcome())
        tasks.append(asyncio.create_task(ask_and_tell(url, prompt, outcomes[-1])))
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=max(0.0, ends_at - time.monotonic()))
        for task in late:
            task.cancel()
        await asyncio.gather(*late)
    return outcomes


async def time_between_ends(
    url: str, options: argparse.Namespace, supply: Iterator[str], next_outcome: Any
) -> float:
    """Seconds from one answer's end to the next with all places taken, from two rounds."""
    print(f"Warming up with {2 * options.max_running} prompts, which are not judged.")
    began = time.monotonic()
    outcomes = [next_outcome() for _ in range(2 * options.max_running)]
    await asyncio.gather(*(ask_and_tell(url, next(supply), outcome) for outcome in outcomes))
    return (time.monotonic() - began) / len(outcomes)


def report(outcomes: list[Outcome]) -> None:
    waited = [outcome for outcome in outcomes if outcome.wait is not None]
    long = [outcome for outcome in waited if (outcome.wait or 0.0) >= LONG_WAIT]
    errors = sorted(outcome.error for outcome in long if outcome.error is not None)
    print(
        f"\n{len(outcomes)} prompts sent, {len(waited)} answers begun, "
        f"{sum(1 for outcome in outcomes if outcome.fault)} with a fault or not done in time."
    )
    print(
        f"{len(long)} waits of {LONG_WAIT:g} s and more; "
        f"{len(long) - len(errors)} of them had no ETA when accepted."
    )
    if not long:
        print("Nobody waited long: raise --load or --minutes.")
    elif not errors:
        print("NO ETA WAS GIVEN to any of them: there is no error to report.")
    else:
        signed = [(each.eta - each.wait) / each.wait for each in long if each.eta and each.wait]
        within = sum(1 for error in errors if error <= 0.25) / len(errors)
        print(
            f"Median relative error |eta - wait| / wait: {statistics.median(errors):.1%} "
            f"over {len(errors)} waits ({within:.0%} of them within 25 %; the median of the "
            f"signed error is {statistics.median(signed or [-1.0]):+.1%})."
        )


def report_cost() -> None:
    """What one forecast for a long queue costs."""
    chance = random.Random(0)
    running = [
        SimpleNamespace(
            response_id=f"r{n}", worker_id="w", tokens=40 * n, max_tokens=1024, seconds=n, resumed=0
        )
        for n in range(8)
    ]
    recent = [(chance.randint(1, 400), 5.0, 1024) for _ in range(128)]
    for text, limits in (("one limit", [1024] * 1000), ("1,000 limits", range(100, 1100))):
        waiting = [(f"w{n}", limit) for n, limit in enumerate(limits)]
        load: Any = SimpleNamespace(
            running=running, waiting=waiting, places={"w": 8}, recent=recent
        )
        times = []
        for _ in range(50):
            began = time.perf_counter()
            forecast(load)
            times.append(1000 * (time.perf_counter() - began))
        print(
            f"A forecast for 1,000 waiting on 8 places, {text}: median "
            f"{statistics.median(times):.2f} ms, best {min(times):.2f} ms."
        )


def read_prompts(options: argparse.Namespace) -> list[str]:
    if options.prompts:
        lines = options.prompts.read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["turns"][0] for line in lines if line.strip()]
    every = [task.format(subject) for subject, task in product(SUBJECTS, TASKS)]
    return list(islice(cycle(every), options.synthetic))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompts", type=Path, metavar="FILE", help="JSON lines with `turns`")
    source.add_argument("--synthetic", type=int, metavar="N", help="N prompts of our own instead")
    parser.add_argument("--count", type=int, help="prompts to send (default: each one once)")
    parser.add_argument("--minutes", type=float, default=10, help="all in all, once it is ready")
    parser.add_argument("--max-running", type=int, default=2, help="places of the worker")
    parser.add_argument(
        "--max-tokens", type=int, nargs=2, default=(64, 160), metavar=("LEAST", "MOST")
    )
    parser.add_argument(
        "--load", type=float, default=1.2, help="arrivals per answer that can be served"
    )
    parser.add_argument("--every", type=float, help="mean seconds between arrivals, no warm-up")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    prompts = read_prompts(options)
    report_cost()
    settings = {
        "CHATSTREAM_MAX_RUNNING": str(options.max_running),
        "CHATSTREAM_MAX_WAITING": "10000",
        "CHATSTREAM_MAX_PER_ADDRESS": "0",
    }
    with tempfile.TemporaryDirectory() as folder:
        server = ServeProcess(Path(folder), env=settings)
        try:
            server.wait_until_ready()
            report(asyncio.run(measure(server.ws_url, options, prompts)))
        finally:
            server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
