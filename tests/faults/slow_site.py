"""Our server around an application that takes its time: `python -m tests.faults.slow_site` prints
the address of its WebSocket."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import django

ACCEPT_SECONDS = 7.0


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Accept late, greet, and say that all is accepted that comes."""
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await asyncio.sleep(ACCEPT_SECONDS)
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": '{"type":"chatstream:session"}'})
        else:
            await send({"type": "websocket.send", "text": '{"type":"response.queued"}'})


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")
    django.setup()
    from streaming.deployment.server import ChatServer

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"tcp:port={port}:interface=127.0.0.1"
    server = ChatServer(
        application=application, endpoints=[endpoint], embedded_worker=False, verbosity=0
    )
    print(f"ws://127.0.0.1:{port}/ws/chat/", flush=True)
    server.run()


if __name__ == "__main__":
    main()
