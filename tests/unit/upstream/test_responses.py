"""The engine before a server that has Responses alone: what comes of its events, and what of those
that are not as they should be."""

from __future__ import annotations

import json
from collections.abc import Callable
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
    Started,
    TextDelta,
    Thinking,
)
from streaming.engine.passed import whole_of
from tests.support.fake_responses import (
    arguments,
    call,
    completed,
    events,
    message,
    text,
    thought,
)
from tests.support.fake_upstream import Act, Exchange, FakeUpstream, refusal
from tests.unit.engine.gathered import Gathered
from tests.unit.upstream.test_answers import request

Start = Callable[..., Gathered]
THOUGHT = Channel.REASONING
TOOL = {"type": "function", "function": {"name": "weather"}}


@pytest.fixture(autouse=True)
def only_responses(upstream: FakeUpstream) -> None:
    upstream.paths = {"/v1/responses"}


def run(gathered: Gathered, asked: GenerationRequest | None = None) -> Finished:
    asked = asked or request(("user", "x"))
    gathered.engine.submit(asked)
    done = gathered.wait(asked.response_id)
    assert isinstance(done, Finished)
    return done


def passed(gathered: Gathered) -> dict[str, Any]:
    return whole_of(e.fields for e in gathered.of("r") if isinstance(e, PassedDelta))


def test_everything_is_asked_for(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(events(text("Hi"), completed()))
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = request(
        ("system", "Be brief."),
        ("user", "Hi"),
        max_tokens=5,
        seed=2**62 + 5,
        temperature=0.5,
        top_p=0.8,
        top_k=0,
        repetition_penalty=1.2,
        stop=("END", "\udc00"),
        ignore_eos=True,
        passed={
            "tools": [{"type": "function", "function": {"name": "f", "strict": True}},
                      {"type": "web_search"}],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {
                "mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}},
            "parallel_tool_calls": False,
            "response_format": {"type": "json_schema", "json_schema": {"name": "w", "schema": {}}},
            "verbosity": "low",
            "logprobs": True,
            "top_logprobs": 2,
            "presence_penalty": 0.5,
            "service_tier": "flex",
            "prompt_cache_key": "k",
            "safety_identifier": "s",
        },
    )  # fmt: skip
    parts = ({"type": "input_image", "image_url": "http://x/y.png"},
             {"type": "input_file", "filename": "a.pdf", "file_data": "data:,x"})  # fmt: skip
    messages = (
        *asked.messages,
        ChatMessage("assistant", "Well", {"tool_calls": [call]}),
        ChatMessage("tool", "done", {"tool_call_id": "c"}),
        ChatMessage("user", "And this?", parts=parts),
    )
    assert run(start(), replace(asked, messages=messages)).reason is FinishReason.STOP
    assert upstream.bodies[0] == {
        "model": "fake/model",
        "input": [
            {"type": "message", "role": "system", "content": "Be brief."},
            {"type": "message", "role": "user", "content": "Hi"},
            {"type": "message", "id": "msg_2", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "Well", "annotations": []}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
            {"type": "message", "role": "user", "content": [
                {"type": "input_image", "image_url": "http://x/y.png", "detail": "auto"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:,x"},
            ]},
        ],
        "stream": True,
        "store": False,
        "max_output_tokens": 5,
        "seed": 5,
        "temperature": 0.5,
        "top_p": 0.8,
        "top_k": -1,
        "repetition_penalty": 1.2,
        "stop": ["END", "\ufffd"],
        "ignore_eos": True,
        "tools": [{"type": "function", "name": "f", "strict": True}, {"type": "web_search"}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto",
                        "tools": [{"type": "function", "name": "f"}]},
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_schema", "name": "w", "schema": {}},
                 "verbosity": "low"},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "presence_penalty": 0.5,
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["reasoning_text", "reasoning", "reasoning_summary_text"])
def test_a_thought_has_three_names(start: Start, upstream: FakeUpstream, kind: str) -> None:
    upstream.acts.append(events(thought("H", kind=kind), thought("m", kind=kind), text("4", 1),
                                completed()))  # fmt: skip
    gathered = start()
    done = run(gathered)
    assert (gathered.text("r", THOUGHT), gathered.text("r")) == ("Hm", "4")
    assert (done.prompt_tokens, done.completion_tokens) == (11, 3)
    assert gathered.engine.info.thinks


WHOLE_TEXT = message({"type": "output_text", "text": "Hello", "annotations": []})
WHOLE_CALL = {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"}
WHOLE_THOUGHT = {"type": "reasoning", "summary": [], "content": [
    {"type": "reasoning_text", "text": "Hm"}]}  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        [text("Hello"), completed(WHOLE_TEXT)],
        [text("Hel"), completed(WHOLE_TEXT)],
        [completed(WHOLE_TEXT)],
        [{"type": "response.output_item.done", "output_index": 0, "item": WHOLE_TEXT},
         completed(WHOLE_TEXT)],
        [text("He"), {"type": "response.content_part.done", "output_index": 0, "content_index": 0,
                      "part": WHOLE_TEXT["content"][0]}, completed(WHOLE_TEXT)],
        [{"type": "response.output_text.done", "output_index": 0, "content_index": 0,
          "text": "Hello"}, completed()],
        [text("Hel\ud83d"), text("\ude00"), completed()],
    ],
)  # fmt: skip
def test_what_is_said_whole_is_said_once(
    start: Start, upstream: FakeUpstream, said: list[dict[str, Any]]
) -> None:
    upstream.acts.append(events(*said))
    gathered = start()
    assert run(gathered).reason is FinishReason.STOP
    assert gathered.text("r") in ("Hello", "Hel😀")


@pytest.mark.parametrize(
    "said",
    [
        [call(), arguments('{"a'), arguments('": 1}')],
        [call(arguments='{"a": 1}')],
        [call(), {"type": "response.function_call_arguments.done", "output_index": 0,
                  "arguments": '{"a": 1}'}],
        [{"type": "response.output_item.done", "output_index": 0,
          "item": {**call()["item"], "arguments": '{"a": 1}'}}],
        [],
        [call(), arguments('{"a": 1}')],
    ],
)  # fmt: skip
def test_a_call_is_made_once(
    start: Start, upstream: FakeUpstream, said: list[dict[str, Any]]
) -> None:
    upstream.acts.append(events(*said, completed({**call()["item"], "arguments": '{"a": 1}'})))
    gathered = start()
    assert run(gathered, request(("user", "x"), passed={"tools": [TOOL]})).reason is (
        FinishReason.TOOL_CALLS
    )
    (made,) = passed(gathered)["tool_calls"]
    assert (made["id"], made["type"]) == ("call_0", "function")
    assert made["function"] == {"name": "weather", "arguments": '{"a": 1}'}


def test_items_keep_their_order(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(
        events(
            thought("Hm"), text("Let me", 1), call(2), arguments("{}", 2), thought("So", 3),
            call(4, "other"), text("Done.", 5), text("Really.", 6), completed(),
        )
    )  # fmt: skip
    gathered = start()
    run(gathered, request(("user", "x"), passed={"tools": [TOOL]}))
    said: list[str] = []
    for event in gathered.of("r"):
        if isinstance(event, TextDelta):
            said.append(f"{event.channel}: {event.text}")
        elif isinstance(event, PassedDelta):
            said += [f"call {each['index']}" for each in event.fields["tool_calls"]]
    assert said == [
        "reasoning: Hm", "text: Let me", "call 0", "call 0", "reasoning: So", "call 1",
        "text: Done.", "text: \n\nReally.",
    ]  # fmt: skip


def test_a_refusal_and_notes(start: Start, upstream: FakeUpstream) -> None:
    note = {"type": "url_citation", "url": "http://x"}
    added = {"type": "response.output_text.annotation.added", "annotation": note}
    upstream.acts.append(
        events(
            {"type": "response.refusal.delta", "output_index": 0, "delta": "N"},
            {"type": "response.refusal.done", "output_index": 0, "refusal": "No."},
            added,
            completed(service_tier="flex"),
        )
    )
    gathered = start()
    assert run(gathered).reason is FinishReason.STOP
    assert passed(gathered) == {"refusal": "No.", "annotations": [note], "service_tier": "flex"}


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        ({"reason": "max_output_tokens"}, (FinishReason.LENGTH, "")),
        ({"reason": "content_filter"}, (FinishReason.ERROR, "content_filter")),
        (None, (FinishReason.ERROR, "engine_error")),
    ],
)
def test_ends(
    start: Start, upstream: FakeUpstream, ended: Any, expected: tuple[FinishReason, str]
) -> None:
    last = completed(status="incomplete", incomplete_details=ended)
    upstream.acts.extend([events(text("a"), last)] * 2)
    done = run(start())
    assert (done.reason, done.error_code) == expected


@pytest.mark.parametrize(
    ("kind", "named"),
    [("web_search_call", "web_search_call"), ("custom_tool_call", "custom_tool_call"),
     ("all is\nlost", "unknown"), (None, "unknown")],
)  # fmt: skip
def test_an_item_that_has_no_place_is_an_error(
    start: Start, upstream: FakeUpstream, kind: Any, named: str
) -> None:
    added = {"type": "response.output_item.added", "output_index": 1, "item": {"type": kind}}
    upstream.acts.append(events(text("a"), added, completed()))
    done = run(start(), request(("user", "x"), passed={"tools": [TOOL]}))
    assert (done.reason, done.error_code) == (FinishReason.ERROR, "tool_calls")
    assert named in done.error_message.lower()
    assert len(upstream.exchanges) == 1


def test_a_tool_that_nobody_offered_is_an_error(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(events(call(), arguments("{}"), completed()))
    gathered = start()
    assert run(gathered).error_code == "tool_calls"
    assert passed(gathered) == {}


def test_unknown_events_are_named_once(
    start: Start, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    odd = [{"type": "vendor:thing", "secret": "quagga"}, {"type": "all is\nlost"}]
    upstream.acts.extend([events(*odd, text("a"), completed())] * 2)
    gathered = start()
    run(gathered)
    run(gathered, replace(request(("user", "x")), response_id="s"))
    told = [each.getMessage() for each in caplog.records if "not passed on" in each.getMessage()]
    assert told == [
        "The model's server says what is not passed on: event vendor:thing.",
        "The model's server says what is not passed on: event (with an odd name).",
    ]


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "response.output_text.delta", "delta": 7},
        {"type": "response.output_text.delta", "output_index": "x", "delta": ""},
        {"type": "response.output_item.added", "item": {"type": "message", "content": 7}},
        {"type": "response.content_part.done", "part": 5},
        {"type": "response.function_call_arguments.delta", "delta": ""},
        {"type": ["x"]},
        {},
    ],
)
def test_odd_events_count_for_nothing(
    start: Start, upstream: FakeUpstream, odd: dict[str, Any]
) -> None:
    upstream.acts.append(events(odd, text("a", 1), completed()))
    gathered = start()
    assert run(gathered).reason is FinishReason.STOP
    assert gathered.text("r") == "a"


# --- what goes wrong ---


ODD_ENDS: dict[str, Act] = {
    "a cut": events(text("Hel"), cut=True),
    "no end": events(text("Hel")),
    "a failure": events(text("Hel"), {"type": "response.failed", "response": {
        "status": "failed", "error": {"code": "server_error", "message": "x"}}}),
    "an error": events(text("Hel"), {"type": "error", "code": "server_error", "message": "x"}),
    "a wrapped error": events(text("Hel"), {"type": "error", "error": {"message": "x"}}),
    "no beginning": events(text("Hel"), arguments("{}", 5)),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD_ENDS)
def test_a_break_is_gone_on_with(start: Start, upstream: FakeUpstream, kind: str) -> None:
    upstream.acts.extend([ODD_ENDS[kind], events(text("lo"), completed())])
    gathered = start()
    assert run(gathered).reason is FinishReason.STOP
    assert gathered.text("r") == "Hello"
    assert upstream.bodies[1]["input"][-1]["status"] == "incomplete"
    assert upstream.bodies[1]["max_output_tokens"] == 23


def test_where_it_cannot_go_on_it_begins_anew(start: Start, upstream: FakeUpstream) -> None:
    """Only vLLM is known to go on by this API."""
    upstream.models = {"data": [{"id": "m", "owned_by": "sglang"}]}
    upstream.acts.extend([ODD_ENDS["a cut"], events(text("Hello"), completed())])
    gathered = start()
    run(gathered)
    assert [e.anew for e in gathered.of("r") if isinstance(e, Started)] == [False, True]
    assert [item["role"] for item in upstream.bodies[1]["input"]] == ["user"]


def test_a_break_within_a_call_begins_anew(start: Start, upstream: FakeUpstream) -> None:
    whole = [call(), arguments("{}"), completed()]
    upstream.acts.extend([events(call(), arguments("{"), cut=True), events(*whole)])
    gathered = start()
    run(gathered, request(("user", "x"), passed={"tools": [TOOL]}))
    starts = [e for e in gathered.of("r") if isinstance(e, Started)]
    assert [event.anew for event in starts] == [False, True]


@pytest.mark.parametrize(
    "said",
    [
        [text("Let me see."), thought("Hm", 1)],
        [thought("Hm"), text("\n\n", 1)],
        [{"type": "response.refusal.delta", "output_index": 0, "delta": "I can"}],
    ],
)
def test_a_break_where_no_text_ends_begins_anew(
    start: Start, upstream: FakeUpstream, said: list[dict[str, Any]]
) -> None:
    """In a thought after some text, in blanks after a thought, in a refusal."""
    upstream.acts.extend([events(*said, cut=True), events(text("Done."), completed())])
    gathered = start()
    run(gathered)
    starts = [e for e in gathered.of("r") if isinstance(e, Started)]
    assert [event.anew for event in starts] == [False, True]
    assert [item["type"] for item in upstream.bodies[1]["input"]] == ["message"]


def test_a_thought_after_a_text_that_another_worker_published_begins_anew(
    start: Start, upstream: FakeUpstream
) -> None:
    upstream.acts.append(events(text("Done."), completed()))
    asked = request(("user", "x"), prior=5, prior_text="Let me see.")
    gathered = start()
    run(gathered, replace(asked, prior_reasoning="HmHm", prior_in_thought=True))
    assert gathered.of("r")[0] == Started("r", 0, anew=True)


def test_an_echo_is_left_out(start: Start, upstream: FakeUpstream) -> None:
    async def echo(exchange: Exchange) -> None:
        said = exchange.body["input"][-1]["content"][0]["text"]
        await events(text(said), text(" three"), completed())(exchange)

    upstream.models = {"data": [{"id": "m", "owned_by": "somebody"}]}
    upstream.acts.extend([echo, echo])
    gathered = start(continues=True)
    run(gathered, request(("user", "x"), prior=2, prior_text="one two"))
    assert gathered.text("r") == " three"
    question = upstream.bodies[0]
    assert question["input"][0]["content"] == "Repeat."
    assert (question["max_output_tokens"], question["store"]) == (2, False)


def test_a_busy_server_in_the_middle_is_waited_for(start: Start, upstream: FakeUpstream) -> None:
    busy = {"type": "response.failed", "response": {
        "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "x"}}}  # fmt: skip
    upstream.acts.extend([events(busy), events(busy), events(busy), events(text("a"), completed())])
    assert run(start()).reason is FinishReason.STOP


def test_fields_that_it_refuses_are_left_out(start: Start, upstream: FakeUpstream) -> None:
    """What ends the answer is then looked for here."""
    for name in ("seed", "stop", "top_k"):
        said = {"error": {"message": f"Unknown parameter: '{name}'."}}
        upstream.acts.append(refusal(400, said))
    upstream.acts.append(events(text("one E"), text("N"), text("D two"), completed()))
    gathered = start()
    done = run(gathered, request(("user", "x"), stop=("END",)))
    assert (done.reason, gathered.text("r")) == (FinishReason.STOP, "one ")
    assert not {"seed", "stop", "top_k"} & upstream.bodies[-1].keys()
    upstream.acts.append(events(text("E"), text("NOUGH"), completed()))
    run(gathered, replace(request(("user", "x"), stop=("END",)), response_id="s"))
    assert gathered.text("s") == "ENOUGH"


def test_thoughts_that_it_refuses_are_left_out(start: Start, upstream: FakeUpstream) -> None:
    said = {"error": {"message": "Item 'rs_1' of type 'reasoning' was provided without its id."}}
    upstream.acts.extend([refusal(400, said), events(text("a"), completed())])
    asked = request(("user", "a"), ("assistant", "b"), ("user", "c"), passed={})
    user, turn, last = asked.messages
    messages = (user, replace(turn, reasoning="Hm"), last)
    assert run(start(), replace(asked, messages=messages)).reason is FinishReason.STOP
    kinds = [[item["type"] for item in body["input"]] for body in upstream.bodies]
    assert kinds == [["message", "reasoning", "message", "message"], ["message"] * 3]
    assert "seed" in upstream.bodies[-1]


def test_an_effort_that_was_asked_for_is_not_left_out(start: Start, upstream: FakeUpstream) -> None:
    said = {"error": {"message": "Unsupported parameter: 'reasoning.effort'"}}
    upstream.acts.extend([refusal(400, said)] * 5)
    asked = replace(request(("user", "x")), thinking=Thinking("low", asked="low"))
    done = run(start(), asked)
    assert (done.error_code, "reasoning" in done.error_message) == ("invalid_params", True)
    assert upstream.bodies[-1]["reasoning"] == {"effort": "low"}


def test_the_context_is_kept_to(start: Start, upstream: FakeUpstream) -> None:
    said = ("This model's maximum context length is 4096 tokens. However, you requested 4572 "
            "tokens (1500 in the messages, 3072 in the completion).")  # fmt: skip
    upstream.acts.extend([refusal(400, said), events(text("a"), completed())])
    run(start(), request(("user", "x"), max_tokens=3072, trims=False))
    assert [body["max_output_tokens"] for body in upstream.bodies] == [3072, 2596]


def test_an_end_that_repeats_all_of_it_is_borne(start: Start, upstream: FakeUpstream) -> None:
    """More than an event may have that says only what is new."""
    tools = [{"type": "function", "function": {"name": f"f{n}", "description": "d" * 2_000}}
             for n in range(100)]  # fmt: skip
    flat = [{"type": "function", **tool["function"]} for tool in tools]  # type: ignore[dict-item]
    upstream.acts.append(events(text("Hello"), completed(WHOLE_TEXT, tools=flat, echo=flat)))
    gathered = start()
    done = run(gathered, request(("user", "x"), passed={"tools": tools}))
    assert (done.reason, gathered.text("r")) == (FinishReason.STOP, "Hello")


def test_an_end_without_end_is_not(start: Start, upstream: FakeUpstream) -> None:
    async def pour(exchange: Exchange) -> None:
        await exchange.begin(first=False)
        await exchange.raw(b'data: {"type": "response.completed", "x": "')
        while True:
            await exchange.raw(b"y" * 65_536)

    upstream.acts.extend([pour, pour])
    done = run(start(), request(("user", "x"), max_tokens=5))
    assert done.reason is FinishReason.ERROR
    assert upstream.exchange(0).left.wait(30)


# --- which API ---


def test_a_server_that_has_neither(start: Start, upstream: FakeUpstream) -> None:
    upstream.paths = set()
    done = run(start())
    assert (done.error_code, upstream.exchanges) == ("upstream_refused", [])


def test_another_server_at_the_address_is_asked_anew(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(events(text("a"), completed()))
    gathered = start(probe_seconds=0.05)
    run(gathered)
    upstream.paths = {"/v1/chat/completions"}
    upstream.models = {"data": [{"id": "other", "owned_by": "sglang"}]}
    while gathered.engine.info.name != "other":
        pass
    done = run(gathered, replace(request(("user", "x")), response_id="s"))
    assert (done.reason, gathered.text("s")) == (FinishReason.STOP, "Hello there.")


@pytest.mark.parametrize(
    ("url", "first"),
    [
        ("https://api.openai.com/v1", "responses"),
        ("https://x.openai.azure.com/openai/v1", "responses"),
        ("https://notopenai.com/v1", "chat/completions"),
        ("http://127.0.0.1:8000/v1", "chat/completions"),
    ],
)
def test_which_one_is_tried_first(url: str, first: str) -> None:
    from streaming.engine.upstream.dialect import first_api

    assert first_api(url) == first


def test_one_that_is_set_is_kept_to(start: Start, upstream: FakeUpstream) -> None:
    upstream.paths = {"/v1/chat/completions"}
    assert run(start(api="responses")).error_code == "upstream_refused"
    assert not upstream.exchanges


# --- what it takes ---


@pytest.mark.parametrize(
    ("details", "images", "tools"),
    [
        ({}, True, True),
        ({"architecture": {"input_modalities": ["text"]}}, False, True),
        ({"architecture": {"input_modalities": ["text", "image"]}}, True, True),
        ({"supported_parameters": ["temperature"]}, True, False),
        ({"capabilities": {"vision": False, "function_calling": True}}, False, True),
        ({"capabilities": ["completion"]}, False, True),
        ({"capabilities": ["completion", "vision", "tools"]}, True, True),
        ({"capabilities": 7, "architecture": [], "supported_parameters": {}}, True, True),
    ],
)
def test_what_a_server_lists(
    start: Start, upstream: FakeUpstream, details: dict[str, Any], images: bool, tools: bool
) -> None:
    upstream.models = {"data": [{"id": "m", "owned_by": "x", **details}]}
    info = start().engine.info
    assert (info.takes_images, info.takes_tools) == (images, tools)


@pytest.mark.parametrize(
    "said",
    [
        "m is not a multimodal model",
        "At most 0 image(s) may be provided in one prompt.",
        "image input is not supported - hint: you may need to provide the mmproj",
        "this model does not support images",
    ],
)
def test_a_model_that_sees_nothing(start: Start, upstream: FakeUpstream, said: str) -> None:
    upstream.acts.extend([refusal(400, {"error": {"message": said}})] * 3)
    parts = ({"type": "input_image", "image_url": "data:image/png;base64,AAAA"},)
    gathered = start()
    asked = replace(request(("user", "x")), messages=(ChatMessage("user", "", parts=parts),))
    done = run(gathered, asked)
    assert done.error_code == "invalid_params"
    assert "text only" in done.error_message
    assert not gathered.engine.info.takes_images


@pytest.mark.parametrize("said", ["unsupported image type", "The image could not be read."])
def test_an_image_that_is_none_says_nothing_of_the_model(
    start: Start, upstream: FakeUpstream, said: str
) -> None:
    upstream.acts.extend([refusal(400, {"error": {"message": said}})] * 3)
    parts = ({"type": "input_image", "image_url": "data:image/png;base64,AAAA"},)
    gathered = start()
    run(gathered, replace(request(("user", "x")), messages=(ChatMessage("user", "", parts=parts),)))
    assert gathered.engine.info.takes_images


@pytest.mark.parametrize(
    "said",
    [
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "tools param requires --jinja flag",
        "m does not support tools",
    ],
)
def test_a_model_that_calls_nothing(start: Start, upstream: FakeUpstream, said: str) -> None:
    upstream.acts.extend([refusal(400, {"error": {"message": said}})] * 3)
    gathered = start()
    done = run(gathered, request(("user", "x"), passed={"tools": [TOOL]}))
    assert done.error_code == "invalid_params"
    assert not gathered.engine.info.takes_tools


def test_a_part_that_has_no_words(start: Start, upstream: FakeUpstream) -> None:
    asked = replace(
        request(("user", "x")),
        messages=(ChatMessage("user", "", parts=({"type": "input_video"},)),),
    )
    assert run(start(), asked).error_code == "invalid_params"
    assert not upstream.exchanges


def test_prior_tokens_count(start: Start, upstream: FakeUpstream) -> None:
    upstream.acts.append(events(text("lo"), completed()))
    asked = request(("user", "x"), prior=3, prior_text="Hel", max_tokens=10)
    gathered = start()
    done = run(gathered, asked)
    assert upstream.bodies[0]["max_output_tokens"] == 7
    assert done.completion_tokens == 6
    deltas = [e for e in gathered.of("r") if isinstance(e, TextDelta)]
    assert deltas[0].tokens == (UNKNOWN_TOKEN,)
    assert json.dumps(upstream.bodies[0]["input"][-1]["content"][0]["text"]) == '"Hel"'
