"""OpenAI's client, unchanged, before ChatStream, before a server that calls tools, sees and thinks:
what it asks and what comes back goes through whole, by whichever API the server has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.processes import ServeProcess
from tests.support.tool_server.process import ToolServer

LOCATION = {
    "type": "object",
    "properties": {"location": {"type": "string"}},
    "required": ["location"],
    "additionalProperties": False,
}
FLAT: Any = {"type": "function", "name": "get_weather", "parameters": LOCATION, "strict": True}
NESTED: Any = {"type": "function", "function": {"name": "get_weather", "parameters": LOCATION}}
GIF = "data:image/gif;base64,R0lGODlhAwACAIAAAAAAAP///ywAAAAAAwACAAACAoRdADs="


@pytest.fixture(scope="module", params=["chat", "responses"])
def upstream(request: pytest.FixtureRequest) -> Iterator[ToolServer]:
    """A server that has one of the two APIs, which nobody has told ChatStream."""
    server = ToolServer(apis=request.param).start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def front(
    upstream: ToolServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[openai.OpenAI]:
    env = {"CHATSTREAM_UPSTREAM_URL": upstream.url, "CHATSTREAM_MAX_RUNNING": "4"}
    process = ServeProcess(tmp_path_factory.mktemp("front"), env=env)
    try:
        process.wait_until_ready()
        with openai.OpenAI(
            base_url=f"{process.url}/v1", api_key="anonymous", max_retries=0
        ) as client:
            yield client
    finally:
        process.stop()


def test_a_tool_is_called_and_its_result_answered(
    front: openai.OpenAI, upstream: ToolServer
) -> None:
    question = "say first: what is the weather in Paris and in Rome?"
    with front.responses.stream(
        model="default", input=question, tools=[FLAT], reasoning={"effort": "low"}
    ) as stream:
        kinds = [event.type for event in stream]
        first = stream.get_final_response()
    assert "response.function_call_arguments.delta" in kinds
    assert "response.reasoning_text.delta" in kinds
    assert [item.type for item in first.output] == [
        "reasoning", "message", "function_call", "function_call",
    ]  # fmt: skip
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments)["location"] for call in calls] == ["Paris", "Rome"]
    assert first.usage
    assert first.usage.input_tokens_details.cached_tokens
    assert first.usage.output_tokens_details.reasoning_tokens
    results: Any = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        for call in calls
    ]
    second = front.responses.create(
        model="default", input=results, tools=[FLAT], previous_response_id=first.id
    )
    sunny = "The result of get_weather is: sunny"
    assert second.output_text == f"{sunny} {sunny}"
    sent = json.dumps(upstream.asked[-1])
    assert "I can answer that." in sent  # what it thought before the calls


def test_the_same_by_chat_completions(front: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    ask: Any = {"model": "default", "tools": [NESTED]}
    (choice,) = front.chat.completions.create(messages=messages, **ask).choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls or []
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    (choice,) = front.chat.completions.create(messages=messages, **ask).choices
    assert choice.message.content == "The result of get_weather is: rain"


def test_an_image_is_seen(front: openai.OpenAI) -> None:
    parts: Any = [{"type": "input_text", "text": "What is it?"},
                  {"type": "input_image", "image_url": GIF}]  # fmt: skip
    seen = front.responses.create(model="default", input=[{"role": "user", "content": parts}])
    assert seen.output_text == "I see a GIF image of 3 x 2 pixels."


def test_a_form_is_kept_to(front: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "name": "w", "schema": LOCATION, "strict": True}
    said = front.responses.create(model="default", input="x", text={"format": form})
    assert json.loads(said.output_text) == {"location": "answer"}


def test_a_refusal_and_probabilities(front: openai.OpenAI) -> None:
    said = front.responses.create(model="default", input="Please refuse.")
    (item,) = said.output
    assert item.type == "message"
    assert item.content[0].type == "refusal"
    told = front.responses.create(
        model="default", input="Hello", include=["message.output_text.logprobs"], top_logprobs=1
    )
    (message,) = told.output
    assert message.type == "message"
    assert message.content[0].type == "output_text"


def test_how_it_is_to_be_served_goes_along(front: openai.OpenAI, upstream: ToolServer) -> None:
    front.responses.create(
        model="default", input="Hello", prompt_cache_key="k", safety_identifier="s"
    )
    sent = upstream.asked[-1]
    assert (sent["prompt_cache_key"], sent["safety_identifier"]) == ("k", "s")


def test_a_tool_of_the_servers_own_is_refused(front: openai.OpenAI) -> None:
    search: Any = {"type": "web_search"}
    with pytest.raises(openai.BadRequestError) as caught:
        front.responses.create(model="default", input="x", tools=[search])
    assert "tools" in str(caught.value.param or caught.value.message)
