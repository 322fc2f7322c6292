"""Frames of the live queue's socket that the tests speak for, and what the page shows of them."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Page, WebSocketRoute, expect

from tests.e2e.operators import QUEUE
from tests.support.processes import ServeProcess


def name(kind: str, number: int) -> str:
    """An id that tells what it is of: `aaaaaaaa` for responses, in its first eight digits."""
    return f"{kind}{number:07x}-0000-4000-8000-000000000000"


def worker(number: int = 1, **changes: Any) -> dict[str, Any]:
    details = {
        "host": "gpu",
        "model": "SmolLM2-135M-Instruct",
        "device": "cpu",
        "dtype": "bfloat16",
        "rows": 8,
        "tokens_per_second": 41.7,
        "kv_bytes": 3 << 29,
        "kv_bytes_used": 300 << 20,
    }
    row = {
        "worker_id": f"gpu:{number}:abc",
        "capacity": 4,
        "state": "ready",
        "running": 2,
        "age": 1.2,
        "details": details,
        "paused": False,
        "orders": {"capacity": None, "drain": False},
    }
    return {**row, **changes}


def entry(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "response_id": name("a", number),
        "owner": f"visitor:{number:022}",
        "conversation_id": name("c", number),
        "state": "waiting",
        "position": number,
        "worker_id": "",
        "attempt": 0,
        "since": 2.0,
        "tokens": 0,
        "max_tokens": 400,
        "asked": 12.5,
        "eta": None,
    }
    return {**row, **changes}


def running(number: int, **changes: Any) -> dict[str, Any]:
    state = {"state": "running", "position": None, "worker_id": "gpu:1:abc", "attempt": 1}
    return entry(number, **{**state, "prompt_tokens": 37, "tokens": 20, **changes})


class Frames:
    """The server's side of a page's socket."""

    def __init__(self, page: Page, server: ServeProcess) -> None:
        self._page = page
        self._sockets: list[WebSocketRoute] = []
        page.route_web_socket(re.compile("/ws/queue/$"), lambda one: self._sockets.append(one))
        page.goto(server.url + QUEUE)

    def send(self, **parts: Any) -> None:
        self._sockets[-1].send(json.dumps({"type": "queue.snapshot", **parts}))

    def open(self, **parts: Any) -> None:
        """The first frame of a connection has everything."""
        nothing = {"workers": [], "running": [], "waiting": [], "paused": False, "closed": None}
        self.send(**{**nothing, **parts})
        expect(self._page.locator("#live")).to_have_attribute("data-state", "open")


def cell(row: Any, part: str) -> Any:
    return row.locator(f"[data-part={part}]")


def keys(page: Page, table: str) -> list[str]:
    rows = page.locator(f"#{table} tr")
    found: list[str] = rows.evaluate_all("rows => rows.map((row) => row.dataset.key)")
    return found
