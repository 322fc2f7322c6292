"""The same request by Chat Completions and by Responses, to a real server that has both: what comes
of it is the same, and in the same order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from streaming.engine.base import (
    UNKNOWN_TOKEN,
    Channel,
    ChatMessage,
    Finished,
    FinishReason,
    GenerationRequest,
    PassedDelta,
    SamplingParams,
    Started,
    TextDelta,
    Thinking,
)
from streaming.engine.passed import whole_of
from streaming.engine.upstream import UpstreamEngine
from tests.support.tool_server.process import ToolServer
from tests.unit.engine.gathered import Gathered

APIS = ["chat", "responses"]
WEATHER = {
    "type": "object",
    "properties": {"location": {"type": "string"}},
    "required": ["location"],
}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
GIF = "data:image/gif;base64,R0lGODlhAwACAIAAAAAAAP///ywAAAAAAwACAAACAoRdADs="

Ask = Callable[..., Gathered]


@pytest.fixture(scope="module")
def server() -> Iterator[ToolServer]:
    server = ToolServer().start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def engines(server: ToolServer) -> Iterator[dict[str, Gathered]]:
    found = {}
    for api in APIS:
        found[api] = gathered = Gathered(UpstreamEngine(server.url, api=api, pause_seconds=0.01))
        gathered.engine.start(gathered.sink)
    yield found
    for gathered in found.values():
        gathered.engine.close()


def asking(name: str, *messages: ChatMessage | str, **passed: Any) -> GenerationRequest:
    said = tuple(ChatMessage("user", m) if isinstance(m, str) else m for m in messages)
    params = SamplingParams(max_tokens=100, seed=7, asked=frozenset(), passed=passed)
    return GenerationRequest(name, said, params)


def run(gathered: Gathered, request: GenerationRequest) -> tuple[list[Any], Finished]:
    """What was said, as kinds and contents in order, and the end."""
    gathered.engine.submit(request)
    done = gathered.wait(request.response_id)
    assert isinstance(done, Finished)
    said: list[list[Any]] = []
    for event in gathered.of(request.response_id):
        if isinstance(event, TextDelta):
            if not said or said[-1][0] != event.channel:
                said.append([event.channel, ""])
            said[-1][1] += event.text
        elif isinstance(event, PassedDelta):
            if not said or said[-1][0] != "passed":
                said.append(["passed", {}])
            said[-1][1] = whole_of([said[-1][1], event.fields])
    return [(kind, content) for kind, content in said], done


def both(engines: dict[str, Gathered], request: GenerationRequest) -> tuple[list[Any], Finished]:
    """What both say, which is the same."""
    (said, done), (other, other_done) = (run(engines[api], request) for api in APIS)
    assert said == other
    assert done == other_done
    return said, done


def test_text_and_counts(engines: dict[str, Gathered], server: ToolServer) -> None:
    said, done = both(engines, asking("text", ChatMessage("system", "Be a pirate."), "Hello"))
    details = {
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    text, passed = said
    assert text == (Channel.TEXT, "Arr! You said: Hello")
    assert passed == ("passed", {"usage": details, "service_tier": "default"})
    assert (done.reason, done.prompt_tokens, done.completion_tokens) == (FinishReason.STOP, 10, 4)
    by_chat, by_responses = server.asked[-2:]
    assert (by_chat["path"], by_responses["path"]) == ("/v1/chat/completions", "/v1/responses")
    assert by_responses["store"] is False


def test_thought_and_calls(engines: dict[str, Gathered]) -> None:
    request = asking("calls", "say first: the weather in Paris and in Rome", tools=[TOOL])
    said, done = both(engines, replace(request, thinking=Thinking("low", asked="low")))
    kinds = [kind for kind, _ in said]
    assert kinds == [Channel.REASONING, Channel.TEXT, "passed"]
    calls = said[-1][1]["tool_calls"]
    assert [call["index"] for call in calls] == [0, 1]
    assert [json.loads(call["function"]["arguments"])["location"] for call in calls] == [
        "Paris",
        "Rome",
    ]
    assert done.reason is FinishReason.TOOL_CALLS
    assert done.reasoning_tokens == len(said[0][1].split())


def test_results_go_back(engines: dict[str, Gathered], server: ToolServer) -> None:
    """With the thought that led to the calls, which a model goes on with."""
    call = {"id": "call_1", "type": "function",
            "function": {"name": "get_weather", "arguments": '{"location": "Paris"}'}}  # fmt: skip
    turn = ChatMessage("assistant", "Let me see.", {"tool_calls": [call]}, reasoning="Hm")
    result = ChatMessage("tool", "sunny", {"tool_call_id": "call_1"})
    request = asking("result", "The weather in Paris?", turn, result, tools=[TOOL])
    params = replace(request.params, passed=None)  # nobody offers a tool any more
    for number, asked in enumerate((request, replace(request, params=params))):
        said, _ = both(engines, replace(asked, response_id=f"result-{number}"))
        assert said[0] == (Channel.TEXT, "The result of get_weather is: sunny")
        by_chat, by_responses = server.asked[-2:]
        assert by_chat["messages"][1]["reasoning_content"] == "Hm"
        assert [item["type"] for item in by_responses["input"]] == [
            "message",
            "reasoning",
            "message",
            "function_call",
            "function_call_output",
        ]


def test_images(engines: dict[str, Gathered]) -> None:
    parts = ({"type": "input_text", "text": "What is it?"},
             {"type": "input_image", "image_url": GIF, "detail": "low"})  # fmt: skip
    seen = ChatMessage("user", "What is it?", parts=parts)
    said, _ = both(engines, asking("image", seen))
    assert said[0] == (Channel.TEXT, "I see a GIF image of 3 x 2 pixels.")
    broken = ({"type": "input_image", "image_url": "data:image/png;base64,AAAA"},)
    for api in APIS:
        _, done = run(engines[api], asking("broken", ChatMessage("user", "", parts=broken)))
        assert done.error_code == "upstream_refused"
        assert engines[api].engine.info.takes_images


def test_a_form_and_a_choice(engines: dict[str, Gathered]) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER, "strict": True}}
    said, _ = both(engines, asking("form", "x", response_format=form))
    assert json.loads(said[0][1]) == {"location": "answer"}
    choice = {"type": "function", "function": {"name": "get_weather"}}
    said, done = both(engines, asking("choice", "Hello", tools=[TOOL], tool_choice=choice))
    assert done.reason is FinishReason.TOOL_CALLS
    said, done = both(engines, asking("none", "The weather?", tools=[TOOL], tool_choice="none"))
    assert done.reason is FinishReason.STOP
    two = asking("one", "weather in Oslo and in Bonn", tools=[TOOL], parallel_tool_calls=False)
    said, _ = both(engines, two)
    assert len(said[0][1]["tool_calls"]) == 1


def test_probabilities_and_refusals(engines: dict[str, Gathered]) -> None:
    said, _ = both(engines, asking("log", "Hello", logprobs=True, top_logprobs=1))
    (token, *_) = said[0][1]["logprobs"]["content"]
    assert (token["token"], token["logprob"], len(token["top_logprobs"])) == ("You", -0.25, 1)
    said, _ = both(engines, asking("refusal", "Please refuse."))
    assert said[0][1]["refusal"] == "I cannot help with that."


def test_length_and_stop(engines: dict[str, Gathered]) -> None:
    request = asking("length", "Count from 1 to 50")
    params = replace(request.params, max_tokens=3)
    said, done = both(engines, replace(request, params=params))
    assert (said[0][1], done.reason) == ("1 2 3", FinishReason.LENGTH)
    params = replace(request.params, stop=("5",))
    for api in APIS:
        said, done = run(engines[api], replace(request, response_id="stop", params=params))
        assert (said[0][1].rstrip(), done.reason) == ("1 2 3 4", FinishReason.STOP)


def test_what_another_worker_began_is_gone_on_with(
    engines: dict[str, Gathered], server: ToolServer
) -> None:
    request = replace(
        asking("on", "Count from 1 to 5"), prior_tokens=(UNKNOWN_TOKEN,) * 2, prior_text="1 2 "
    )
    said, done = both(engines, request)
    assert said[0] == (Channel.TEXT, "3 4 5")
    assert done.completion_tokens == 5
    begun = server.asked[-1]["input"][-1]
    assert (begun["status"], begun["content"][0]["text"]) == ("incomplete", "1 2")


def test_half_a_call_begins_anew(engines: dict[str, Gathered]) -> None:
    half = {"tool_calls": [{"index": 0, "id": "c", "type": "function",
                            "function": {"name": "get_weather", "arguments": '{"lo'}}]}  # fmt: skip
    request = asking("half", "The weather in Paris?", tools=[TOOL])
    for api in APIS:
        _, done = run(engines[api], replace(request, prior_passed=half))
        assert engines[api].of("half")[0] == Started("half", 0, anew=True)
        assert done.reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize("api", APIS)
def test_which_one_a_server_has_is_found_out_once(api: str) -> None:
    server = ToolServer(apis=api).start()
    gathered = Gathered(UpstreamEngine(server.url, pause_seconds=0.01))
    try:
        gathered.engine.start(gathered.sink)
        for name in ("a", "b"):
            said, _ = run(gathered, asking(name, "Hello"))
            assert said[0] == (Channel.TEXT, "You said: Hello")
        assert len(server.asked) == 2
        assert gathered.engine.dialect.api.name.lower() == api
    finally:
        gathered.engine.close()
        server.kill()
