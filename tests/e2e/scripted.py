"""A chat page whose server says what a test wants it to say."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

from playwright.sync_api import Locator, Page, WebSocketRoute

from tests.e2e.page import ask, expect_connected, expect_status

GREETING = {
    "type": "session.created",
    "protocol_version": 1,
    "model": "scripted",
    "service": "ready",
    "limits": {"max_input_chars": 10_000, "max_tokens": 400, "context_tokens": 4096},
    "sampling": {},
    "thinks": True,
    "session_token": None,
    "notice": None,
}


class ScriptedServer:
    """Greets, accepts every prompt and begins its answer; the rest is said by the test.

    `received`: what the page has sent. `greeting`: fields that differ from `GREETING`.
    """

    def __init__(self, page: Page, **greeting: Any) -> None:
        self.page = page
        self.received: list[dict[str, Any]] = []
        self._greeting = GREETING | greeting
        self._socket: WebSocketRoute | None = None
        self._response_id = ""
        self._number = 0
        page.route_web_socket(re.compile("/ws/chat/"), self._opened)
        page.reload()
        expect_connected(page)

    def ask(self, text: str) -> Locator:
        answer = ask(self.page, text)
        expect_status(answer, "in_progress")
        return answer

    def begin(self) -> None:
        self._number = 0
        self._say("response.in_progress", trimmed_messages=0)

    def think(self, text: str, ms: int = 0) -> None:
        self._say("response.reasoning_text.delta", delta=text, offset=0, reasoning_ms=ms)

    def write(self, text: str) -> None:
        """Without any HTML, as a server that renders nothing."""
        self._say("response.output_text.delta", delta=text, offset=0)

    def end(
        self, status: str = "completed", text: str = "", reasoning: str = "", ms: int = 0
    ) -> None:
        self._say(
            "response.done",
            status=status,
            finish_reason="stop",
            text=text,
            reasoning=reasoning,
            usage={"prompt_tokens": 1, "completion_tokens": 9, "reasoning_tokens": 5},
            timings={"queue_ms": 0, "ttft_ms": 0, "total_ms": 12_000, "reasoning_ms": ms},
            error={"code": "engine_error", "message": ""} if status == "failed" else None,
        )

    def load(self, **greeting: Any) -> None:
        """The workers are ready now; the next socket is greeted with these fields."""
        self._greeting |= greeting
        none = {"waiting": 0, "running": 0, "capacity": 1, "eta_seconds": None}
        self._send("session.load", service="ready", load=none)

    def _opened(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        socket.on_message(self._heard)
        socket.send(json.dumps(self._greeting))

    def _heard(self, message: str | bytes) -> None:
        event = json.loads(message)
        self.received.append(event)
        if event["type"] != "response.create":
            return
        self._response_id, self._number = event["response_id"], 0
        place = {"position": 1, "size": 1, "eta_seconds": None, "workers": 1, "service": "ready"}
        conversation = event["conversation_id"] or str(uuid4())
        self._send("response.queued", conversation_id=conversation, **place)
        self.begin()

    def _say(self, type_: str, **fields: Any) -> None:
        self._number += 1
        self._send(type_, sequence_number=self._number, **fields)

    def _send(self, type_: str, **fields: Any) -> None:
        assert self._socket is not None
        event = {"type": type_, "response_id": self._response_id, **fields}
        self._socket.send(json.dumps(event))
