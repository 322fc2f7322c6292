"""The official `openai` client's `responses`, unchanged, against a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseOutputMessage

from tests.support.processes import ServeProcess

PATIENCE = 120.0


@pytest.fixture
def client(fast_server: ServeProcess) -> Iterator[openai.OpenAI]:
    url = f"{fast_server.url}/v1"
    with openai.OpenAI(
        base_url=url, api_key="anonymous", max_retries=0, timeout=PATIENCE
    ) as client:
        yield client


def words(count: int) -> str:
    return "".join(f"w{number} " for number in range(count))


def test_a_plain_call_and_one_that_follows_it(client: openai.OpenAI) -> None:
    first = client.responses.create(
        model="default", input="stop 3", instructions="Be brief.", metadata={"a": "b"}
    )
    assert (first.output_text, first.status) == (words(3), "completed")
    assert first.usage
    assert first.usage.output_tokens == 3
    assert first._request_id
    second = client.responses.create(model="default", input="stop 2", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    items = client.responses.input_items.list(second.id, order="asc", limit=1)
    texts = [item.content[0].text for item in items]  # type: ignore[union-attr]
    assert texts == ["stop 3", words(3), "stop 2"]  # all pages of one each
    again = client.responses.retrieve(first.id)
    assert (again.output_text, again.instructions, again.metadata) == (
        first.output_text, "Be brief.", {"a": "b"},
    )  # fmt: skip
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_a_stream(client: openai.OpenAI) -> None:
    stream = client.responses.create(model="default", input="stop 3", stream=True)
    events = list(stream)
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == words(3)
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == words(3)


def test_the_clients_own_stream_helper(client: openai.OpenAI) -> None:
    with client.responses.stream(model="default", input="think 2 stop 3") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert "response.reasoning_text.delta" in kinds
    assert final.output_text == words(3)
    assert [item.type for item in final.output] == ["reasoning", "message"]
    with client.responses.stream(response_id=final.id, starting_after=4) as again:
        numbers = [event.sequence_number for event in again]
        assert again.get_final_response().output_text == words(3)
    assert numbers[0] == 5


def test_in_the_background(client: openai.OpenAI) -> None:
    response = client.responses.create(model="default", input="stop 20", background=True)
    assert response.status == "queued"
    until = time.monotonic() + PATIENCE
    while response.status in ("queued", "in_progress") and time.monotonic() < until:
        time.sleep(0.1)
        response = client.responses.retrieve(response.id)
    assert (response.status, response.output_text) == ("completed", words(20))


def test_a_stream_that_is_left_and_resumed(client: openai.OpenAI) -> None:
    stream = client.responses.create(model="default", input="stop 60", background=True, stream=True)
    text, seen, response_id = "", 0, ""
    for event in stream:
        seen = event.sequence_number
        if event.type == "response.created":
            response_id = event.response.id
        if event.type == "response.output_text.delta":
            text += event.delta
            if len(text) > 20:
                break
    stream.close()
    numbers = []
    for event in client.responses.retrieve(response_id, stream=True, starting_after=seen):
        numbers.append(event.sequence_number)
        if event.type == "response.output_text.delta":
            text += event.delta
    assert text == words(60)
    assert numbers == list(range(seen + 1, seen + 1 + len(numbers)))


def test_cancelling(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model="default", input="go", background=True, max_output_tokens=400
    )
    ended = client.responses.cancel(response.id)
    assert (ended.status, ended.id) == ("cancelled", response.id)


def test_compacting_and_going_on(client: openai.OpenAI) -> None:
    given: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "The code word is slate."},
        {"role": "assistant", "content": "OK."},
    ]
    compacted = client.responses.compact(model="default", input=given)
    assert compacted.object == "response.compaction"
    assert [item.type for item in compacted.output] == ["message", "compaction"]
    window: Any = [item.model_dump(warnings=False) for item in compacted.output]
    asked: Any = [*window, {"role": "user", "content": "stop 2"}]
    response = client.responses.create(model="default", input=asked)
    assert response.output_text == words(2)
    listed = [item.type for item in client.responses.input_items.list(response.id, order="asc")]
    assert listed == ["message", "compaction", "message"]


def test_errors_by_the_clients_names(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as unknown:
        client.responses.create(model="default", input="x", previous_response_id="resp_1")
    assert unknown.value.code == "previous_response_not_found"
    assert unknown.value.param == "previous_response_id"
    with pytest.raises(openai.BadRequestError) as tools:
        client.responses.create(model="default", input="x", tools=[{"type": "web_search"}])
    assert tools.value.param == "tools.0.type"
    image: Any = [
        {
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "auto"}
            ],
        }
    ]
    with pytest.raises(openai.BadRequestError) as seen:
        client.responses.create(model="default", input=image)
    assert "text only" in seen.value.message
    with pytest.raises(openai.NotFoundError):
        client.responses.cancel("resp_1")


def test_items_go_back_as_they_came(client: openai.OpenAI) -> None:
    first = client.responses.create(
        model="default",
        input="think 2 stop 2",
        include=["reasoning.encrypted_content"],
        store=False,
    )
    thought, message = first.output
    assert thought.type == "reasoning"
    assert thought.encrypted_content
    assert isinstance(message, ResponseOutputMessage)
    history: Any = [{"role": "user", "content": "think 2 stop 2"}, *first.output]
    history.append({"role": "user", "content": "stop 1"})
    second = client.responses.create(model="default", input=history)
    listed = client.responses.input_items.list(second.id, order="asc").data
    assert [item.type for item in listed] == ["message", "reasoning", "message", "message"]
