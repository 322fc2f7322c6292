"""A chat page whose server says what a test wants it to say."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from playwright.sync_api import Locator, Page, WebSocketRoute

from tests.e2e import wire
from tests.e2e.page import ask, expect_connected, expect_status

GREETING = {
    "type": "chatstream:session",
    "protocol_version": 2,
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
        self.say("response.in_progress", **wire.begun())

    def think(self, text: str, ms: int = 0, item: int = 0) -> None:
        extension = {"offset": 0, "reasoning_ms": ms}
        fields = {"delta": text, "output_index": item, "chatstream": extension}
        self.say("response.reasoning_text.delta", **fields)

    def write(self, text: str) -> None:
        """Without any HTML, as a server that renders nothing."""
        self.say("response.output_text.delta", delta=text, chatstream={"offset": 0})

    def end(
        self,
        status: str = "completed",
        text: str = "",
        reasoning: str = "",
        ms: int = 0,
        items: Sequence[wire.Item] | None = None,
    ) -> None:
        error = {"code": "engine_error", "message": ""} if status == "failed" else None
        facts: dict[str, Any] = {"tokens": 9, "total_ms": 12_000, "reasoning_ms": ms}
        type_, fields = wire.ended(status, text, reasoning, items=items, error=error, **facts)
        self.say(type_, **fields)

    def load(self, **greeting: Any) -> None:
        """The workers are ready now; the next socket is greeted with these fields."""
        self._greeting |= greeting
        none = {"waiting": 0, "running": 0, "capacity": 1, "eta_seconds": None}
        self._send("chatstream:load", service="ready", load=none)

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
        self._send("response.queued", sequence_number=0, conversation_id=conversation, **place)
        self.begin()

    def say(self, type_: str, **fields: Any) -> None:
        """Any numbered event."""
        self._number += 1
        self._send(type_, sequence_number=self._number, **fields)

    def _send(self, type_: str, **fields: Any) -> None:
        assert self._socket is not None
        event = {"type": type_, "response_id": self._response_id, **fields}
        self._socket.send(json.dumps(event))
