"""The items of an answer: their events are whole, in order, and read back as what was said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.engine.base import Channel
from streaming.lifecycle.items import output_items
from streaming.lifecycle.published import Published
from streaming.protocol.response_events import ResponseEvent
from streaming.record.output import Output, Segment
from streaming.worker.output_writer import OutputWriter, Part

RESPONSE = UUID("11111111-2222-3333-4444-555555555555")
KEY = RESPONSE.hex

TEXTS = st.text("ab 日\n", min_size=1, max_size=5)
PARTS = st.one_of(
    st.builds(Part, st.sampled_from(Channel), TEXTS, st.just(0.0)),
    st.builds(lambda text: Part(None, {"refusal": text}), TEXTS),
    st.builds(
        lambda index, text: Part(
            None,
            {
                "tool_calls": [
                    {
                        "index": index,
                        "id": f"c{index}",
                        "function": {"name": f"f{index}", "arguments": text},
                    }
                ]
            },
        ),
        st.integers(0, 2),
        TEXTS,
    ),
)


def told(events: Iterable[ResponseEvent]) -> list[dict[str, Any]]:
    return [json.loads(event.model_dump_json()) for event in events]


def call(index: int, arguments: str = "", **function: str) -> Part:
    fields = {"index": index, "function": {"arguments": arguments, **function}}
    return Part(None, {"tool_calls": [fields]})


def items_of(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the items together as a client does, and check each step."""
    items: list[dict[str, Any]] = []
    for event in events:
        match event["type"]:
            case "response.output_item.added":
                assert event["output_index"] == len(items)
                items.append(event["item"])
            case "response.content_part.added":
                content = items[event["output_index"]]["content"]
                assert event["content_index"] == len(content)
                content.append(event["part"])
            case "response.function_call_arguments.delta":
                assert items[event["output_index"]]["status"] == "in_progress"
                items[event["output_index"]]["arguments"] += event["delta"]
            case "response.output_item.done":
                known = {**items[event["output_index"]], "status": event["item"]["status"]}
                assert known == event["item"]
                items[event["output_index"]] = event["item"]
            case kind if kind.endswith(".delta"):
                item = items[event["output_index"]]
                assert item["id"] == event["item_id"]
                part = item["content"][event["content_index"]]
                name = "refusal" if "refusal" in kind else "text"
                part[name] += event["delta"]
    return items


def test_a_thought_and_an_answer_are_two_items() -> None:
    writer = OutputWriter(RESPONSE)
    events = told(writer.write([Part(Channel.REASONING, "Hm", 1.5), Part(Channel.TEXT, "Yes")]))
    events += told(writer.close("completed"))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done",
        "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done",
    ]  # fmt: skip
    thought, answer = items_of(events)
    assert thought["id"] == f"rs_{KEY}_0"
    assert (answer["id"], answer["role"], answer["status"]) == (
        f"msg_{KEY}_1", "assistant", "completed",
    )  # fmt: skip
    assert events[2]["chatstream"] == {"offset": 0, "reasoning_ms": 1500}


def test_calls_beside_each_other_are_numbered_as_they_begin() -> None:
    writer = OutputWriter(RESPONSE)
    parts = [call(5, "{", name="b"), call(2, "[", name="a"), call(5, "}"), call(2, "]")]
    events = told(writer.write(parts))
    assert writer.is_open
    events += told(writer.close("completed"))
    first, second = items_of(events)
    assert (first["name"], first["arguments"], first["call_id"]) == ("b", "{}", f"call_{KEY}_0")
    assert (second["name"], second["arguments"]) == ("a", "[]")
    assert [each["index"] for each in writer.said(0).passed["tool_calls"]] == [0, 1]


def test_a_call_is_gone_on_with_after_something_else() -> None:
    writer = OutputWriter(RESPONSE)
    parts = [call(0, "{", name="f"), Part(Channel.TEXT, "Well"), call(0, "}")]
    events = told(writer.write(parts)) + told(writer.close("completed"))
    called, said = items_of(events)
    assert (called["arguments"], said["content"][0]["text"]) == ("{}", "Well")
    assert [each["arguments"] for each in events if each["type"].endswith("arguments.done")] == [
        "{}"
    ]


def test_what_is_likely_stands_with_the_text_that_it_is_of() -> None:
    writer = OutputWriter(RESPONSE)
    token = {"token": "Yes", "logprob": -0.1, "bytes": [1], "top_logprobs": []}
    parts = [Part(None, {"logprobs": {"content": [token]}}), Part(Channel.TEXT, "Yes")]
    *_, delta = told(writer.write(parts))
    assert (delta["delta"], delta["logprobs"]) == ("Yes", [token])
    (alone,) = told(writer.write(parts[:1]))
    assert (alone["delta"], alone["logprobs"]) == ("", [token])


@pytest.mark.parametrize("last", ["completed", "incomplete"])
def test_only_the_last_item_of_a_cut_answer_is_incomplete(last: Any) -> None:
    writer = OutputWriter(RESPONSE)
    events = told(writer.write([Part(Channel.REASONING, "Hm"), Part(Channel.TEXT, "Yes")]))
    events += told(writer.close(last))
    statuses = [item["status"] for item in items_of(events)]
    assert statuses == ["completed", last]
    assert [item.status for item in output_items(RESPONSE, writer.said(0), last)] == statuses


@given(st.lists(st.lists(PARTS, max_size=4), max_size=6))
def test_whatever_is_said_is_read_back_and_shown_the_same(rounds: list[list[Part]]) -> None:
    """From the log, from the record, and as a client assembles it; also after a crash between any
    two rounds."""
    writer, log = OutputWriter(RESPONSE), []
    for parts in rounds:
        log += told(writer.write(parts))
        published = Published.of(map(json.dumps, log))
        assert published.output.segments == writer.said(0).segments
        writer = OutputWriter(RESPONSE, published.output, published.open_items)
    log += told(writer.close("completed"))
    assert not writer.is_open
    said = writer.said(0)
    published = Published.of(map(json.dumps, log))
    assert (published.output.text, published.output.reasoning) == (said.text, said.reasoning)
    assert published.output.passed == said.passed
    assert published.open_items == ()
    whole = [item.model_dump(mode="json") for item in output_items(RESPONSE, said)]
    assert items_of(log) == whole
    kept = said.kept_segments()
    row_segments = tuple(Segment(kind, size) for kind, size in kept or ())  # type: ignore[arg-type]
    again = Output(said.text, said.reasoning, None, said.passed, row_segments)
    assert [item.model_dump(mode="json") for item in output_items(RESPONSE, again)] == whole
