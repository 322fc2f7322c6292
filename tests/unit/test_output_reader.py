"""Chat completions' words, read from the events that the waiting list stores."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest

from streaming.api.endings import End, is_end
from streaming.api.errors import ApiError
from streaming.api.output_reader import OutputReader, Text
from streaming.api.sent_answer import SentAnswer
from streaming.engine.passed import whole_of
from streaming.protocol import items, response_events, response_resource

ID = UUID("0b7a2c54-1111-4222-8333-444455556666")
TOKEN = {"token": "4", "logprob": -0.1, "bytes": [52], "top_logprobs": []}


def stored(event: response_events.ResponseEvent) -> dict[str, Any]:
    """An event as it is read from the list."""
    found: dict[str, Any] = json.loads(event.model_dump_json())
    return found


def began() -> dict[str, Any]:
    return stored(
        response_events.ResponseInProgress(response_id=ID, response=resource("in_progress"))
    )


def resource(status: str, **fields: Any) -> response_resource.ResponseResource:
    return response_resource.ResponseResource(
        id=f"resp_{ID.hex}", created_at=1, status=status, model="fake", **fields
    )


def text(delta: str, offset: int, logprobs: Iterable[Any] = (), output: int = 0) -> dict[str, Any]:
    return stored(
        response_events.OutputTextDelta(
            response_id=ID,
            item_id=f"msg_{ID.hex}_{output}",
            output_index=output,
            content_index=0,
            delta=delta,
            logprobs=list(logprobs),
            chatstream=response_events.TextExtension(offset=offset),
        )
    )


def thought(delta: str, offset: int, output: int = 0) -> dict[str, Any]:
    return stored(
        response_events.ReasoningTextDelta(
            response_id=ID,
            item_id=f"rs_{ID.hex}_{output}",
            output_index=output,
            content_index=0,
            delta=delta,
            chatstream=response_events.TextExtension(offset=offset, reasoning_ms=5),
        )
    )


def refusal(delta: str) -> dict[str, Any]:
    return stored(
        response_events.RefusalDelta(
            response_id=ID, item_id="x", output_index=0, content_index=0, delta=delta
        )
    )


def call_item(output: int, name: str = "weather", arguments: str = "") -> items.FunctionCallItem:
    return items.FunctionCallItem(
        id=f"fc_{ID.hex}_{output}",
        call_id=f"call_{output}",
        name=name,
        arguments=arguments,
        status="completed" if arguments else "in_progress",
    )


def call(output: int, name: str = "weather") -> dict[str, Any]:
    item = call_item(output, name)
    return stored(response_events.OutputItemAdded(response_id=ID, output_index=output, item=item))


def arguments(output: int, delta: str) -> dict[str, Any]:
    return stored(
        response_events.FunctionCallArgumentsDelta(
            response_id=ID, item_id=f"fc_{ID.hex}_{output}", output_index=output, delta=delta
        )
    )


def passed(**fields: Any) -> dict[str, Any]:
    return stored(response_events.PassedDelta(response_id=ID, fields=fields))


def message_item(output: int, *content: items.Part) -> items.MessageItem:
    return items.MessageItem(
        id=f"msg_{ID.hex}_{output}", status="completed", role="assistant", content=list(content)
    )


def reasoning_item(output: int, said: str) -> items.ReasoningItem:
    return items.ReasoningItem(id=f"rs_{ID.hex}_{output}", content=[items.ReasoningText(text=said)])


def ended(*output: items.Item, status: str = "completed", **fields: Any) -> dict[str, Any]:
    ends = {
        "completed": response_events.ResponseCompleted,
        "failed": response_events.ResponseFailed,
    }
    kind = ends.get(status, response_events.ResponseIncomplete)
    return stored(kind(response_id=ID, response=resource(status, output=list(output), **fields)))


def streamed(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """What a client is sent: deltas, with the log probabilities beside them."""
    reader, sent, said = OutputReader(), SentAnswer(), []
    for event in events:
        if is_end(event):
            said += [*sent.complete(End.of(event))]
            continue
        if event["type"] == "response.in_progress":
            sent.begin()
        for part in reader.read(event):
            said += [*sent.take(part)]
    return [{**words, "logprobs": logprobs} if logprobs else words for words, logprobs in said]


def test_text_and_thought_keep_their_offsets() -> None:
    reader = OutputReader()
    events = [began(), thought("Hm", 0), text("a", 0, output=1), thought("so", 2, 2), text("b", 1)]
    said = [part for event in events for part in reader.read(event)]
    assert said == [
        Text("Hm", 0, is_thought=True),
        Text("a", 0),
        Text("so", 2, is_thought=True),
        Text("b", 1),
    ]


def test_calls_are_counted_whatever_stands_between_them() -> None:
    calls = [
        {"index": 0, "id": "call_1", "type": "function",
         "function": {"name": "weather", "arguments": '{"a":1}'}},
        {"index": 1, "id": "call_3", "type": "function",
         "function": {"name": "time", "arguments": "{}"}},
    ]  # fmt: skip
    end = ended(
        message_item(0, items.OutputText(text="See.")),
        call_item(1, arguments='{"a":1}'),
        message_item(2, items.OutputText(text=" And.")),
        call_item(3, "time", "{}"),
        chatstream=response_resource.ResponseExtension(finish_reason="tool_calls"),
    )
    said = streamed(
        began(), text("See.", 0), call(1), arguments(1, '{"a"'), arguments(1, ":1}"),
        text(" And.", 4, output=2), call(3, "time"), arguments(3, "{}"), end,
    )  # fmt: skip
    assert whole_of(said)["tool_calls"] == calls
    assert "".join(each.get("content", "") for each in said) == "See. And."
    assert said[1] == {"tool_calls": [{**calls[0], "function": {"name": "weather",
                                                                "arguments": ""}}]}  # fmt: skip
    read = End.of(end)
    assert (read.text, read.passed, read.finish_reason) == (
        "See. And.",
        {"tool_calls": calls},
        "tool_calls",
    )


def test_probabilities_stand_beside_their_text() -> None:
    other = {**TOKEN, "token": ""}
    said = streamed(began(), text("4", 0, [TOKEN]), passed(logprobs={"content": [other]}), ended())
    assert said == [
        {"content": "4", "logprobs": {"content": [TOKEN]}},
        {"logprobs": {"content": [other]}},
    ]


def test_notes_on_the_text_are_sent_once() -> None:
    note = {"type": "url_citation", "url": "https://example.org"}
    said = streamed(
        began(), text("a", 0), passed(annotations=[note]),
        began(), text("a", 0), passed(annotations=[note], service_tier="flex"), ended(),
    )  # fmt: skip
    assert said == [{"content": "a"}, {"annotations": [note]}]


def test_what_was_lost_comes_with_the_end() -> None:
    """The log is gone, and the record has the whole."""
    end = ended(
        reasoning_item(0, "Hm"),
        message_item(1, items.OutputText(text="four"), items.Refusal(refusal="No.")),
        call_item(2, arguments="{}"),
    )
    said = streamed(began(), thought("H", 0), text("fo", 0, output=1), end)
    assert said[:2] == [{"reasoning_content": "H"}, {"content": "fo"}]
    assert said[2]["refusal"] == "No."
    assert said[2]["tool_calls"][0]["id"] == "call_2"
    assert said[3:] == [{"reasoning_content": "m"}, {"content": "ur"}]


def test_what_begins_anew_is_sent_once() -> None:
    said = streamed(
        began(), call(0), arguments(0, '{"a'), refusal("N"),
        began(), call(0), arguments(0, '{"a":'), refusal("No"), arguments(0, "1}"),
        ended(message_item(1, items.Refusal(refusal="No")), call_item(0, arguments='{"a":1}')),
    )  # fmt: skip
    whole = whole_of(said)
    assert whole["refusal"] == "No"
    assert whole["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"a":1}'}


def test_another_call_than_the_one_that_was_sent_is_an_error() -> None:
    with pytest.raises(ApiError, match="began anew"):
        streamed(began(), call(0), began(), call(0, "time"))


def test_what_nobody_knows_adds_nothing() -> None:
    reader = OutputReader()
    for kind in ("response.output_item.done", "response.content_part.added", "response.x", "y:z"):
        assert not [*reader.read({"type": kind, "item": {"type": "message"}, "part": {}})]
    later = {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {"type": "web_search"},
    }
    assert not [*reader.read(later)]
    end = ended(message_item(0, items.OutputText(text="a")))
    end["response"]["output"].append({"type": "web_search_call", "id": "ws_1", "status": "done"})
    assert End.of(end).text == "a"


@pytest.mark.parametrize(
    ("status", "details", "told", "reason"),
    [
        ("completed", None, "stop", "stop"),
        ("completed", None, "tool_calls", "tool_calls"),
        ("incomplete", "max_output_tokens", "length", "length"),
        ("incomplete", "content_filter", None, "content_filter"),
    ],
)
def test_why_it_ended(status: str, details: str | None, told: str | None, reason: str) -> None:
    incomplete = response_resource.IncompleteDetails(reason=details) if details else None
    told_by = response_resource.ResponseExtension(finish_reason=told)
    end = End.of(ended(status=status, incomplete_details=incomplete, chatstream=told_by))
    assert end.is_answer
    assert end.finish_reason == reason


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_no_answer(status: str) -> None:
    assert not End.of(ended(status=status)).is_answer


def test_details_of_the_usage() -> None:
    usage = response_resource.Usage(
        input_tokens=5,
        output_tokens=7,
        total_tokens=12,
        input_tokens_details=response_resource.InputTokensDetails(cached_tokens=3),
        output_tokens_details=response_resource.OutputTokensDetails(reasoning_tokens=2),
    )
    end = End.of(ended(usage=usage))
    assert end.usage({}).model_dump() == {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    said = {"usage": {"completion_tokens_details": {"audio_tokens": 1}}}
    details = end.usage(said).completion_tokens_details
    assert details == {"audio_tokens": 1, "reasoning_tokens": 2}
    none = response_resource.Usage(input_tokens=1, output_tokens=1, total_tokens=2)
    assert "prompt_tokens_details" not in End.of(ended(usage=none)).usage({}).model_dump()
