"""Events of Responses, as a server says them that does as it is told."""

from __future__ import annotations

from typing import Any

from tests.support.fake_upstream import Act, Exchange


def text(delta: str, index: int = 0, **more: Any) -> dict[str, Any]:
    place = {"output_index": index, "content_index": 0}
    return {"type": "response.output_text.delta", **place, "delta": delta, **more}


def thought(delta: str, index: int = 0, kind: str = "reasoning_text") -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "output_index": index, "delta": delta}


def call(index: int = 0, name: str = "weather", **item: Any) -> dict[str, Any]:
    whole = {"type": "function_call", "call_id": f"call_{index}", "name": name, "arguments": ""}
    return {"type": "response.output_item.added", "output_index": index, "item": {**whole, **item}}


def arguments(delta: str, index: int = 0) -> dict[str, Any]:
    name = "response.function_call_arguments.delta"
    return {"type": name, "output_index": index, "delta": delta}


def completed(*output: dict[str, Any], **response: Any) -> dict[str, Any]:
    usage = {"input_tokens": 11, "output_tokens": 3}
    whole = {"status": "completed", "output": [*output], "usage": usage, **response}
    return {"type": f"response.{whole['status']}", "response": whole}


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [*parts]}


def events(*said: dict[str, Any], cut: bool = False, waits: bool = False) -> Act:
    """These events, and the end of the stream, or a break, or silence until `go_on`."""

    async def act(exchange: Exchange) -> None:
        await exchange.begin(first=False)
        await exchange.chunk({"type": "response.created", "response": {"status": "in_progress"}})
        for event in said:
            await exchange.chunk(event)
        if waits:
            await exchange.go_on.wait()
        if cut:
            exchange.cut()
        else:
            await exchange.close()

    return act
