"""Serves until it is ended: `python -m tests.support.tool_server --port 9000`."""

from __future__ import annotations

import argparse
import json
import time
import traceback
import uuid
from collections import deque
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.tool_server import chat, responses
from tests.support.tool_server.asked import Asked, BadRequest
from tests.support.tool_server.mind import answer
from tests.support.tool_server.spoken import Spoken

_SLOWLY = 0.1  # seconds between two pieces


class Server(ThreadingHTTPServer):
    """`spoken`: the APIs it has, `chat` and `responses`; `asked`: the last requests for answers."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, apis: Iterable[str], owner: str, context: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.apis = {*apis}
        self.asked: deque[dict[str, Any]] = deque(maxlen=200)
        self.model = {"id": "rules/model", "object": "model", "created": 0, "owned_by": owner,
                      "max_model_len": context}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        """Answer with the models, or (`/asked`) with the last requests."""
        match self.path:
            case "/v1/models":
                self._say({"object": "list", "data": [self.server.model]})
            case "/asked":
                self._say([*self.server.asked])
            case _:
                self._refuse(404, "Not Found")

    def do_POST(self) -> None:
        """Answer a request."""
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        api = {"/v1/chat/completions": "chat", "/v1/responses": "responses"}.get(self.path, "")
        if api not in self.server.apis:
            return self._refuse(404, "Not Found")
        try:
            body = json.loads(data)
            self.server.asked.append({"path": self.path, **body})
            asked = (chat if api == "chat" else responses).asked_of(body)
            spoken = Spoken(asked, answer(asked))
            if spoken.prompt_tokens > self.server.model["max_model_len"]:
                length = self.server.model["max_model_len"]
                raise BadRequest(
                    f"This model's maximum context length is {length} tokens. However, your "
                    f"messages resulted in {spoken.prompt_tokens} tokens.",
                    "messages", "context_length_exceeded",
                )  # fmt: skip
        except BadRequest as error:
            return self._refuse(400, str(error), error.param, error.code)
        except (LookupError, TypeError, ValueError, AttributeError):
            return self._refuse(400, traceback.format_exc(limit=-1))
        name = uuid.uuid4().hex
        if api == "chat":
            if body.get("stream"):
                return self._stream(chat.events(body, spoken, f"chatcmpl-{name}"), asked, "chat")
            return self._say(chat.whole(body, spoken, f"chatcmpl-{name}"))
        said = responses.Answer(body, spoken, f"resp_{name}")
        if body.get("stream"):
            return self._stream(said.events(), asked, "responses")
        for _ in said.events():
            pass
        self._say(said.resource)

    def _say(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(
        self, status: int, message: str, param: str | None = None, code: str | None = None
    ) -> None:
        kind = "invalid_request_error"
        error = {"message": message, "type": kind, "param": param, "code": code}
        self._say({"error": error}, status)

    def _stream(self, events: Iterable[dict[str, Any]], asked: Asked, api: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pause = _SLOWLY if "slowly" in asked.turns[-1].text else 0
        try:
            for event in events:
                name = f"event: {event['type']}\n" if api == "responses" else ""
                self._chunk(f"{name}data: {json.dumps(event)}\n\n")
                time.sleep(pause)
            if api == "chat":
                self._chunk("data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True  # the client has gone

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="tool_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--apis", default="chat,responses", help="chat, responses, or both")
    parser.add_argument("--owner", default="vllm", help="which kind of server it says it is")
    parser.add_argument("--context", type=int, default=8192, help="tokens")
    given = parser.parse_args()
    server = Server(given.port, given.apis.split(","), given.owner, given.context)
    print(f"Serving on http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
