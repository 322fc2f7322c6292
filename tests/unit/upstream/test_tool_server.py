"""The server that our tests stand before, asked by OpenAI's own client in both dialects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.tool_server.process import ToolServer

HEART = "data:image/gif;base64,R0lGODlhAwACAIAAAAAAAP///ywAAAAAAwACAAACAoRdADs="
WEATHER = {
    "type": "object",
    "properties": {"location": {"type": "string"}},
    "required": ["location"],
}
NESTED = {"name": "get_weather", "parameters": WEATHER}


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    server = ToolServer().start()
    try:
        with openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as client:
            yield client
    finally:
        server.kill()


def test_it_calls_a_tool_and_answers_with_its_result(client: openai.OpenAI) -> None:
    ask: Any = {"model": "m", "tools": [{"type": "function", "function": NESTED}]}
    messages: list[Any] = [{"role": "user", "content": "The weather in Paris and in Rome?"}]
    said = client.chat.completions.create(messages=messages, **ask).choices[0]
    assert said.finish_reason == "tool_calls"
    calls = said.message.tool_calls or []
    assert [json.loads(call.function.arguments) for call in calls] == [
        {"location": "Paris"},
        {"location": "Rome"},
    ]
    messages.append(said.message)
    messages += [{"role": "tool", "tool_call_id": c.id, "content": "sunny"} for c in calls]
    said = client.chat.completions.create(messages=messages, **ask).choices[0]
    assert said.message.content == " ".join(["The result of get_weather is: sunny"] * 2)


def test_the_same_in_items(client: openai.OpenAI) -> None:
    ask: Any = {"model": "m", "tools": [{"type": "function", **NESTED}], "store": False}
    question: list[Any] = [{"role": "user", "content": "The weather in Paris?"}]
    with client.responses.stream(input=question, reasoning={"effort": "low"}, **ask) as stream:
        kinds = [event.type for event in stream]
        said = stream.get_final_response()
    assert kinds[-1] == "response.completed"
    assert "response.reasoning_text.delta" in kinds
    thought, call = said.output
    assert (thought.type, call.type) == ("reasoning", "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    said = client.responses.create(input=[*question, *said.output, result], **ask)
    assert said.output_text == "The result of get_weather is: sunny"
    assert said.usage
    assert said.usage.input_tokens_details.cached_tokens


def test_it_sees_and_keeps_to_a_form(client: openai.OpenAI) -> None:
    parts: Any = [
        {"type": "input_text", "text": "What?"},
        {"type": "input_image", "image_url": HEART},
    ]
    seen = client.responses.create(model="m", input=[{"role": "user", "content": parts}])
    assert seen.output_text == "I see a GIF image of 3 x 2 pixels."
    broken: Any = [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="m", input=[{"role": "user", "content": broken}])
    form: Any = {"format": {"type": "json_schema", "name": "w", "schema": WEATHER}}
    assert client.responses.create(model="m", input="x", text=form).output_text == (
        '{"location": "answer"}'
    )
