"""The official `openai` client's chat completions, unchanged, in front of a server that calls
tools, thinks, refuses, keeps to a form and looks at images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.support.processes import ServeProcess
from tests.support.tool_server.process import ToolServer

PATIENCE = 120.0
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR4nGNgAAIAAAUAAXpeqz8AAAAASUVORK5CYII="
)


class GetWeather(BaseModel):
    """The weather at a place."""

    city: str


class Colour(BaseModel):
    name: str
    parts: list[int]


TOOL = openai.pydantic_function_tool(GetWeather, name="get_weather")


@pytest.fixture(scope="module")
def behind() -> Iterator[ToolServer]:
    server = ToolServer().start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def client(behind: ToolServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    env = {"CHATSTREAM_UPSTREAM_URL": behind.url, "CHATSTREAM_MAX_RUNNING": "2"}
    server = ServeProcess(tmp_path_factory.mktemp("tools"), env=env)
    try:
        server.wait_until_ready()
        base_url = f"{server.url}/v1"
        with openai.OpenAI(
            base_url=base_url, api_key="anonymous", max_retries=0, timeout=PATIENCE
        ) as client:
            yield client
    finally:
        assert server.stop() == 0
        assert "Traceback" not in server.output, server.output


def asking(text: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "default", "messages": [{"role": "user", "content": text}], **fields}


def test_tools_are_called_and_their_results_read(client: openai.OpenAI) -> None:
    question = "What is the weather in Paris, say first what you do, and in London?"
    messages: list[Any] = [{"role": "user", "content": question}]
    answer = client.chat.completions.create(model="default", messages=messages, tools=[TOOL])
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    calls: Any = choice.message.tool_calls
    cities = [json.loads(call.function.arguments)["city"] for call in calls]
    assert cities == ["Paris", "London"]
    assert len({call.id for call in calls}) == 2
    messages.append(choice.message)
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": f"sunny in {city}"}
        for call, city in zip(calls, cities, strict=True)
    ]
    last = client.chat.completions.create(model="default", messages=messages, tools=[TOOL])
    assert "sunny in Paris" in (last.choices[0].message.content or "")
    assert "sunny in London" in (last.choices[0].message.content or "")
    assert last.usage
    assert last.usage.prompt_tokens_details is not None


def test_the_clients_own_helper_streams_calls(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        **asking("The weather in Paris and in London, say first"),
        tools=[TOOL],
        stream_options={"include_usage": True},
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [event.index for event in done] == [0, 1]
    parsed = [event.parsed_arguments for event in done]
    assert parsed == [GetWeather(city="Paris"), GetWeather(city="London")]
    deltas = [event for event in events if event.type == "tool_calls.function.arguments.delta"]
    assert len(deltas) > 2
    (choice,) = final.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "I will look that up."
    assert [call.function.name for call in choice.message.tool_calls or ()] == ["get_weather"] * 2
    assert final.usage
    assert final.usage.completion_tokens > 0


def test_a_form_is_kept_and_parsed(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(**asking("A colour"), response_format=Colour)
    assert isinstance(answer.choices[0].message.parsed, Colour)


def test_a_refusal_and_a_thought_have_their_places(client: openai.OpenAI) -> None:
    refused = client.chat.completions.create(**asking("Please refuse this.")).choices[0].message
    assert (refused.refusal, refused.content) == ("I cannot help with that.", None)
    with client.chat.completions.stream(**asking("Please refuse this.")) as stream:
        told = "".join(event.delta for event in stream if event.type == "refusal.delta")
    assert told == refused.refusal
    thought = client.chat.completions.create(
        **asking("Reply with exactly: Yes."), reasoning_effort="low"
    )
    message: Any = thought.choices[0].message
    assert message.content == "Yes"
    assert message.reasoning_content.startswith("They say")
    assert thought.usage
    details = thought.usage.completion_tokens_details
    assert details
    assert details.reasoning_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_probabilities_have_their_shape(client: openai.OpenAI, stream: bool) -> None:
    fields: Any = asking("Count from 1 to 3", logprobs=True, top_logprobs=2)
    if stream:
        chunks = list(client.chat.completions.create(**fields, stream=True))
        told = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices]
        tokens = [token for each in told if each for token in each.content or ()]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    else:
        choice = client.chat.completions.create(**fields).choices[0]
        assert choice.logprobs
        tokens, text = choice.logprobs.content or [], choice.message.content or ""
    assert "".join(token.token for token in tokens) == text
    assert all(token.logprob <= 0 and len(token.top_logprobs) <= 2 for token in tokens)


def test_an_image_is_looked_at(client: openai.OpenAI, behind: ToolServer) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    answer = client.chat.completions.create(**asking(parts))
    assert "1x1" in (answer.choices[0].message.content or "").replace(" ", "")
    assert behind.asked[-1]["messages"][0]["content"][1]["image_url"]["url"] == PIXEL


def test_a_bare_text_where_the_server_takes_conversations_only(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="conversations only"):
        client.completions.create(model="default", prompt="Once upon")
