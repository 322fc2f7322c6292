"""How long `/healthz` takes, each time on a connection of its own, seen from a process of its own:

    python -m benchmarks.health http://127.0.0.1:8000 10

Asked by the clock, whether or not the ones before are answered; milliseconds, as JSON, and how many
were not answered with 200. SIGTERM ends it early.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from urllib.parse import urlsplit

EVERY_SECONDS = 0.1
PATIENCE_SECONDS = 60.0


async def ask(url: str, due: float) -> float | None:
    """Milliseconds since `due`; None if it was not answered."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            head = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return None
    return (time.monotonic() - due) * 1000 if b" 200 " in head else None


async def watch(url: str, seconds: float) -> dict[str, object]:
    """Ask for `/healthz` every EVERY_SECONDS for so many seconds, or until SIGTERM. Returns the
    milliseconds of each answer (`took`), and how many questions were `unanswered`."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    asked: list[asyncio.Task[float | None]] = []
    began = time.monotonic()
    while not ended.is_set() and (due := began + len(asked) * EVERY_SECONDS) < began + seconds:
        wait = due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        asked.append(asyncio.create_task(ask(url, due)))
    took = await asyncio.gather(*asked)
    answered = [each for each in took if each is not None]
    return {"took": answered, "unanswered": len(took) - len(answered)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(watch(sys.argv[1], float(sys.argv[2])))))
