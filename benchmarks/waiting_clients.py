"""What do a thousand people who wait cost one web process?

Starts Valkey, one web process and one worker with the fake engine of the tests. Every client
waits with one prompt; whose answer is done asks again, so that the line stays as long as it is
and moves all the time:

    python -m benchmarks.waiting_clients --clients 1000 --seconds 30

The web process's event-loop lag is measured from outside, by one more socket in a process of its
own: a WebSocket ping, which the server's event loop answers itself, without a thread or a queue in
between; and an invalid event, which takes the whole way of a client's event to its `error`. Both
include the network and the prober's own delays, so the lag itself is less than what is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from typing import Any

import psutil

from tests.processes import ManagedProcess, ServeProcess
from tests.raw_websocket import (
    CLOSE,
    PATIENCE,
    PING,
    PONG,
    TEXT,
    FrameReader,
    RawSocket,
    address_of,
    frame,
    handshake,
)
from tests.valkey import Valkey

RUNNING = 8
ANSWER_TOKENS = 40
PROBE_SECONDS = 0.02
LAG_GOAL_MS = 100


@dataclass
class Tally:
    """What all clients received since the last reset."""

    messages: int = 0
    bytes: int = 0
    positions: int = 0
    etas: int = 0
    done: int = 0
    errors: list[str] = field(default_factory=list)
    lost: int = 0


class WaitingClient(asyncio.Protocol):
    """Asks, reads, and asks again when answered; as little work as can be for each message."""

    def __init__(self, url: str, tally: list[Tally], opened: asyncio.Event) -> None:
        self.told_position = 0
        self.told_eta = 0
        self.queued = False
        self._url = url
        self._tally = tally
        self._opened = opened
        self._reader = FrameReader()
        self._head: bytearray | None = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(handshake(self._url))

    def data_received(self, data: bytes) -> None:
        tally = self._tally[0]
        tally.bytes += len(data)
        if self._head is not None:
            self._head += data
            _, separator, data = bytes(self._head).partition(b"\r\n\r\n")
            if not separator:
                return
            self._head = None
        for opcode, payload in self._reader.feed(data):
            if opcode == TEXT:
                self.take(payload, tally)
            elif opcode == PING:
                self.transport.write(frame(payload, PONG))
            elif opcode == CLOSE:
                tally.errors.append(f"closed with {int.from_bytes(payload[:2], 'big')}")

    def take(self, payload: bytes, tally: Tally) -> None:
        tally.messages += 1
        if b'"type":"response.queue' in payload:
            self.queued = True
            event = json.loads(payload)
            if event["position"] is not None:
                self.told_position += 1
                tally.positions += 1
            if event["eta_seconds"] is not None:
                self.told_eta += 1
                tally.etas += 1
        elif b'"type":"response.done"' in payload:
            tally.done += 1
            self.ask()
        elif b'"type":"session.created"' in payload:
            self._opened.set()
        elif b'"type":"error"' in payload:
            tally.errors.append(payload.decode())

    def connection_lost(self, error: Exception | None) -> None:
        self._tally[0].lost += 1
        self._opened.set()

    def ask(self) -> None:
        event = {
            "type": "response.create",
            "input": "hello",
            "params": {"max_tokens": ANSWER_TOKENS},
        }
        self.transport.write(frame(json.dumps(event)))


def probe(url: str, seconds: float) -> None:
    """Print how long pings and refused events took, in milliseconds; our own process runs it.

    They are sent by the clock, whether or not those before are answered: one long lag delays many.
    """
    with ThreadPoolExecutor(2) as pool:
        pings = pool.submit(send_and_time, url, seconds, lambda sent: frame(sent, PING))
        errors = pool.submit(
            send_and_time, url, seconds, lambda sent: frame(f'{{"type":"","event_id":"{sent}"}}')
        )
        print(json.dumps({"pings": pings.result(), "errors": errors.result()}))


def send_and_time(url: str, seconds: float, make: Callable[[str], bytes]) -> list[float]:
    """Send frames that carry the time, and read it from what comes back."""
    socket = RawSocket(url)
    socket.until("session.created")
    began, sent, took = time.monotonic(), 0, []
    while sent * PROBE_SECONDS < seconds or len(took) < sent:
        due = began + sent * PROBE_SECONDS
        if sent * PROBE_SECONDS < seconds and time.monotonic() >= due:
            socket.send(make(str(due)))
            sent += 1
            continue
        wait = due - time.monotonic() if sent * PROBE_SECONDS < seconds else PATIENCE
        if select([socket.socket], [], [], max(0.0, wait))[0]:
            for opcode, payload in socket.frames_there():
                assert opcode != CLOSE, "the probe was closed"
                if opcode == PING:
                    socket.send(frame(payload, PONG))
                    continue
                came = payload.decode() if opcode == PONG else json.loads(payload)["event_id"]
                took.append((time.monotonic() - float(came)) * 1000)
    socket.close()
    return took


async def probing(url: str, seconds: float) -> tuple[list[float], list[float]]:
    """`probe` in its own process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.waiting_clients", "--probe", url),
        *("--seconds", str(seconds)),
        stdout=subprocess.PIPE,
    )
    output, _ = await process.communicate()
    found = json.loads(output)
    return found["pings"], found["errors"]


async def connect_all(url: str, count: int, tally: list[Tally]) -> list[WaitingClient]:
    host, port = address_of(url)
    loop = asyncio.get_running_loop()
    clients = []
    for start in range(0, count, 50):
        opened = []
        for _ in range(min(50, count - start)):
            event = asyncio.Event()
            _, client = await loop.create_connection(
                lambda event=event: WaitingClient(url, tally, event),  # type: ignore[misc]
                host,
                port,
            )
            clients.append(client)
            opened.append(event.wait())
        await asyncio.gather(*opened)
    return clients


async def measure(
    web: ServeProcess, count: int, seconds: float, profile: str
) -> dict[str, str | float]:
    url = web.ws_url
    process = psutil.Process(web.process.pid)
    tally = [Tally()]
    quiet_pings, quiet_errors = await probing(url, 3)
    rss_before = process.memory_info().rss
    began = time.monotonic()
    clients = await connect_all(url, count, tally)
    connected = time.monotonic() - began
    rss_connected = process.memory_info().rss
    began = time.monotonic()
    for number, client in enumerate(clients):
        client.ask()
        if number % 20 == 19:
            await asyncio.sleep(0.1)
    until = began + 120
    while not all(client.queued for client in clients) and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    asked = time.monotonic() - began
    await asyncio.sleep(3)
    rss_waiting = process.memory_info().rss
    if tally[0].errors or tally[0].lost:
        print(f"{tally[0].lost} connections lost; errors: {tally[0].errors[:3]}")
    tally[0] = Tally()
    for client in clients:
        client.told_position = client.told_eta = 0
    cpu_before, starved_before = process.cpu_times(), starved(web)
    profiler = None
    if profile:
        profiler = await asyncio.create_subprocess_exec(
            *("py-spy", "record", "-o", profile, "-f", "raw", "-r", "200"),
            *("-d", str(int(seconds)), "-p", str(web.process.pid)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    pings, errors = await probing(url, seconds)
    if profiler:
        await profiler.wait()
    seen, cpu = tally[0], process.cpu_times()
    for client in clients:
        client.transport.abort()
    if seen.errors or seen.lost:
        print(f"{seen.lost} connections lost; errors: {seen.errors[:3]}")
    used = cpu.user + cpu.system - cpu_before.user - cpu_before.system
    return {
        "clients that wait": count,
        "to connect them all, s": connected,
        "to accept their prompts, s": asked,
        "accepted": sum(client.queued for client in clients),
        "answers done in the measured time": seen.done,
        "clients told a new position": sum(client.told_position > 0 for client in clients),
        "clients told an ETA": sum(client.told_eta > 0 for client in clients),
        "position events a second": seen.positions / seconds,
        "messages a second, all kinds": seen.messages / seconds,
        "web process waited for a core, % of time": 100 * (starved(web) - starved_before) / seconds,
        "load of the machine": psutil.getloadavg()[0],
        "web process, % of a core": 100 * used / seconds,
        "memory per connected client, KiB": (rss_connected - rss_before) / count / 1024,
        "memory per waiting client, KiB": (rss_waiting - rss_before) / count / 1024,
        "ping, nobody there: p50, ms": statistics.median(quiet_pings),
        "ping, nobody there: p99, ms": percentile(quiet_pings, 99),
        "event to error, nobody there: p50, ms": statistics.median(quiet_errors),
        "ping, all wait: p50, ms": statistics.median(pings),
        "ping, all wait: p99, ms": percentile(pings, 99),
        "ping, all wait: longest, ms": max(pings),
        "event to error, all wait: p50, ms": statistics.median(errors),
        "event to error, all wait: p99, ms": percentile(errors, 99),
        "event to error, all wait: longest, ms": max(errors),
    }


def starved(web: ServeProcess) -> float:
    """Seconds that the event loop's thread was ready to run and had no core; 0 if unknown."""
    try:
        return int(Path(f"/proc/{web.process.pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def run(count: int, seconds: float, profile: str) -> bool:
    """Print the table; whether the goal is met."""
    valkey = Valkey().start()
    processes: list[ManagedProcess] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            env = {
                "REDIS_URL": valkey.url,
                "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
                "CHATSTREAM_ENGINE": "tests.fake_engine.ProcessEngine",
                "CHATSTREAM_MAX_RUNNING": str(RUNNING),
                "CHATSTREAM_MAX_WAITING": str(2 * count),
                "CHATSTREAM_MAX_PER_ADDRESS": "0",
                "CHATSTREAM_MAX_SOCKETS": str(2 * count),
                "CHATSTREAM_MAX_EVENTS_PER_SECOND": "1000",
            }
            web = ServeProcess(Path(folder), env=env)
            processes.append(web)
            worker = ManagedProcess("runworker", "generation", env=env)
            processes.append(worker)
            worker.wait_for(r"serves ")
            table = asyncio.run(measure(web, count, seconds, profile))
            for process in processes:
                process.stop()
            print("\n".join(line for process in processes for line in process.lines[-20:]))
    finally:
        for process in processes:
            process.process.kill()
        valkey.stop()
    for name, value in table.items():
        print(f"{name:40} {value:>10,.1f}" if isinstance(value, float) else f"{name:40} {value:>8}")
    good = all(
        float(table[f"{way}, all wait: p99, ms"]) < LAG_GOAL_MS
        for way in ("ping", "event to error")
    )
    print(f"Goal, p99 under {LAG_GOAL_MS} ms: {'met' if good else 'MISSED'}")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--profile", default="", help="file for py-spy's raw stacks")
    parser.add_argument("--probe", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        probe(options.probe, options.seconds)
    elif not run(options.clients, options.seconds, options.profile):
        sys.exit(1)


if __name__ == "__main__":
    main()
