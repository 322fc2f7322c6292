"""Those who watch a siege: a probe, a visitor who reads an answer, and the server's memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psutil
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.support.endings import ending, is_end

PROBE_SECONDS = 0.1
PROMPT = "Write a long story about a lighthouse keeper and the sea."
_BROKEN = (OSError, WebSocketException, TimeoutError, EOFError, ValueError)


@dataclass
class Seen:
    """Milliseconds that `/healthz` took, and seconds between two pieces of an answer."""

    probes: list[float] = field(default_factory=list)
    probes_failed: int = 0
    gaps: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def probe_p99(self) -> float:
        return _percentile(self.probes, 99)

    @property
    def longest_gap(self) -> float:
        return max(self.gaps, default=0.0)

    def __str__(self) -> str:
        return (
            f"healthz ms p50 {_percentile(self.probes, 50):.1f} p99 {self.probe_p99:.1f} "
            f"max {max(self.probes, default=0):.1f} of {len(self.probes)}, "
            f"failed {self.probes_failed}; gap s p99 {_percentile(self.gaps, 99):.2f} "
            f"max {self.longest_gap:.2f} of {len(self.gaps)}; answers {dict(self.answers)}"
        )


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else 0.0


class Watch:
    """Watches one server from addresses of its own; `seen` is what it saw since `look_anew`."""

    def __init__(self, host: str, port: int, pid: int) -> None:
        self._host, self._port = host, port
        self._process = psutil.Process(pid)
        self.seen = Seen()
        self.done: list[dict[str, Any]] = []
        """The `ending` of every answer that the visitor was told."""

    def look_anew(self) -> Seen:
        """What was seen until now; the next stretch begins."""
        seen, self.seen = self.seen, Seen()
        return seen

    def memory(self) -> float:
        """Of the server and its processes, in MiB; what several share is counted once (PSS)."""
        total = 0
        for process in [self._process, *self._process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
        return total / 2**20

    async def probe_on(self) -> None:
        """Ask for `/healthz` again and again, on a connection of its own each time."""
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout(30):
                    await self._probe()
                self.seen.probes.append((time.monotonic() - began) * 1000)
            except _BROKEN:
                self.seen.probes_failed += 1
            await asyncio.sleep(max(0.0, PROBE_SECONDS - (time.monotonic() - began)))

    async def _probe(self) -> None:
        reader, writer = await asyncio.open_connection(
            self._host, self._port, local_addr=("127.0.0.9", 0)
        )
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            if b" 200 " not in answer[:20]:
                raise ValueError(answer[:100])
        finally:
            writer.close()

    async def read_on(self) -> None:
        """Ask for one answer after the other, and time the pieces of each."""
        while True:
            try:
                await self._read()
            except _BROKEN as error:
                self.seen.answers[type(error).__name__] += 1
                await asyncio.sleep(0.5)

    async def _read(self) -> None:
        url = f"ws://{self._host}:{self._port}/ws/chat/"
        async with connect(url, local_addr=("127.0.0.8", 0), open_timeout=60) as socket:
            while True:
                asked = {"type": "response.create", "input": PROMPT, "params": {"max_tokens": 300}}
                await socket.send(json.dumps(asked))
                last = 0.0
                async for text in socket:
                    event, now = json.loads(text), time.monotonic()
                    if event["type"] == "response.output_text.delta":
                        if last:
                            self.seen.gaps.append(now - last)
                        last = now
                    elif is_end(event) or event["type"] == "error":
                        how = event["response"]["status"] if is_end(event) else event["code"]
                        self.seen.answers[how] += 1
                        break
                if is_end(event):
                    self.done.append(ending(event))
                else:
                    await asyncio.sleep(1)
