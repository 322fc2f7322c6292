"""How long a socket takes to answer, seen from a process of its own:

    python -m benchmarks.probe ws://127.0.0.1:8000/ws/chat/ 10

Two ways: a WebSocket ping, which the server's event loop answers itself, without a thread or a
queue in between; and an invalid event, which takes the whole way of a client's event to its
`error`. Both are sent by the clock, whether or not those before are answered: one long lag delays
many. Both include the network and this process's own delays, so the lag is less than what is
printed: milliseconds, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from select import select

from tests.support.raw_websocket import CLOSE, PATIENCE, PING, PONG, RawSocket, frame

EVERY_SECONDS = 0.1

Lags = dict[str, list[float]]
"""Milliseconds, of `pings` and of `events`."""


def probe(url: str, seconds: float) -> Lags:
    """Measure for so many seconds how long a server takes to answer pings, and events that it
    refuses."""
    with ThreadPoolExecutor(2) as pool:
        pings = pool.submit(send_and_time, url, seconds, lambda sent: frame(sent, PING))
        events = pool.submit(
            send_and_time, url, seconds, lambda sent: frame(f'{{"type":"","event_id":"{sent}"}}')
        )
        return {"pings": pings.result(), "events": events.result()}


def send_and_time(url: str, seconds: float, make: Callable[[str], bytes]) -> list[float]:
    """Send frames that carry the time, and read it from what comes back."""
    socket = RawSocket(url)
    socket.until("chatstream:session")
    took: list[float] = []
    began, sent = time.monotonic(), 0
    while (more := sent * EVERY_SECONDS < seconds) or len(took) < sent:
        due = began + sent * EVERY_SECONDS
        wait = due - time.monotonic() if more else PATIENCE
        if more and wait <= 0:
            socket.send(make(str(due)))
            sent += 1
            continue
        if not select([socket.socket], [], [], wait)[0]:
            if not more:
                raise RuntimeError(f"the server left {sent - len(took)} unanswered")
            continue
        for opcode, payload in socket.frames_there():
            if opcode == CLOSE:
                raise RuntimeError("the probe was closed")
            if opcode == PING:
                socket.send(frame(payload, PONG))
                continue
            came = payload.decode() if opcode == PONG else json.loads(payload)["event_id"]
            took.append((time.monotonic() - float(came)) * 1000)
    socket.close()
    return took


async def probing(url: str, seconds: float) -> Lags:
    """`probe` in its own process. Raises RuntimeError if that fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.probe", url, str(seconds)), stdout=subprocess.PIPE
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        raise RuntimeError(f"the probe ended with status {process.returncode}")
    found: Lags = json.loads(output)
    return found


if __name__ == "__main__":
    print(json.dumps(probe(sys.argv[1], float(sys.argv[2]))))
