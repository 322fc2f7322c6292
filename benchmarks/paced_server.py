"""A model's server that says one token after the other at a fixed pace, as vLLM words them.

`python -m benchmarks.paced_server PORT TOKENS_A_SECOND`; each answer has `max_tokens` tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

MODEL = "paced"
_ID = "chatcmpl-0123456789abcdef0123456789abcdef"


def _chunk(choices: list[dict[str, Any]], said: int) -> bytes:
    usage = {"prompt_tokens": 40, "total_tokens": 40 + said, "completion_tokens": said}
    head = {"id": _ID, "object": "chat.completion.chunk", "created": 1_790_000_000, "model": MODEL}
    return f"data: {json.dumps({**head, 'choices': choices, 'usage': usage})}\n\n".encode()


class PacedModel:
    """A server whose answers have so many tokens a second, whatever the number of answers."""

    def __init__(self, tokens_a_second: float) -> None:
        self._rate = tokens_a_second

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one HTTP request: the list of models, or a stream."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if head.startswith("get "):
                row = {"id": MODEL, "owned_by": "vllm", "max_model_len": 8192}
                self._answer(writer, json.dumps({"data": [row]}).encode())
            else:
                _, _, length = head.partition("content-length: ")
                body = await reader.readexactly(int(length.split()[0]))
                await self._say(writer, json.loads(body)["max_tokens"])
            await writer.drain()
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    async def _say(self, writer: asyncio.StreamWriter, tokens: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        began = time.perf_counter()
        for number in range(1, tokens + 1):
            delta = {"content": f" word{number}"}
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
            self._write(writer, _chunk([choice], number))
            await asyncio.sleep(max(0.0, began + number / self._rate - time.perf_counter()))
        self._write(writer, _chunk([{"index": 0, "delta": {}, "finish_reason": "length"}], tokens))
        self._write(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")

    def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))


async def serve(port: int, tokens_a_second: float) -> None:
    """Serve on a local port for ever."""
    model = PacedModel(tokens_a_second)
    server = await asyncio.start_server(model.meet, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
