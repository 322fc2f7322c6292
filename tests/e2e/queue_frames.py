"""Frames of the live queue's socket that the tests speak for, and what the page shows of them."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, WebSocketRoute, expect

from streaming.live_queue.board import Board, Boards
from streaming.live_queue.moments import Moments
from streaming.live_queue.pages import completed
from streaming.live_queue.rates import Rates
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
    """The server's side of a page's socket: it says what the server's own boards say."""

    def __init__(self, page: Page, server: ServeProcess, language: str = "en") -> None:
        self._page = page
        self._sockets: list[WebSocketRoute] = []
        self._language = language
        address = re.compile(r"/ws/queue/\?words=")
        page.route_web_socket(address, lambda one: self._sockets.append(one))
        self._begin()
        page.goto(server.url + QUEUE)

    def _begin(self) -> None:
        self._rates, self._moments = Rates(), Moments()
        self._boards, self._sent = Boards(self._language), None
        self._parts: dict[str, tuple[float, Any]] = {}

    def send(self, **parts: Any) -> None:
        """Parts of `LiveQueue.look`; what is left out is as before, so much later."""
        now = self._page.evaluate("Date.now()") / 1000
        self._parts |= {name: (now, value) for name, value in parts.items()}
        look = {name: later(value, now - at) for name, (at, value) in self._parts.items()}
        self._rates.count(look["running"], now)
        look = self._moments.date(completed(look, self._rates, {}), now)
        board = self._boards.make(look, now)
        frame = board.frame(self._sent)
        self._sent: Board | None = board
        if frame:
            self._sockets[-1].send(frame)

    def open(self, **parts: Any) -> None:
        """The first frame of a connection has everything."""
        nothing = {"workers": [], "running": [], "waiting": [], "paused": False, "closed": None}
        self._begin()
        self.send(**{**nothing, **parts})
        expect(self._page.locator("#live")).to_have_attribute("data-state", "open")


def later(part: Any, seconds: float) -> Any:
    """A part of a look as it would be so much later, if nothing happened."""
    if not isinstance(part, list):
        return part
    signs = {"age": 1, "since": 1, "asked": 1, "eta": -1}
    return [
        row | {n: row[n] + sign * seconds for n, sign in signs.items() if row.get(n) is not None}
        for row in part
    ]


def cell(row: Any, part: str) -> Any:
    return row.locator(f"[data-part={part}]")


def keys(page: Page, table: str) -> list[str]:
    rows = page.locator(f"#{table} tr")
    found: list[str] = rows.evaluate_all("rows => rows.map((row) => row.dataset.key)")
    return found
