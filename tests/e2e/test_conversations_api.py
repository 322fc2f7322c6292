"""The official `openai` client's `responses.connect()` and `conversations`, unchanged, against a
real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

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


@pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")  # by openai
def test_a_socket(client: openai.OpenAI) -> None:
    with client.responses.connect() as connection:

        def turn(text: str, **fields: Any) -> list[Any]:
            connection.response.create(model="default", input=text, store=False, **fields)
            events = []
            for event in connection:
                events.append(event)
                if event.type in ("response.completed", "response.failed", "error"):
                    break
            return events

        events = turn("stop 3")
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        first = events[-1].response
        assert "".join(deltas) == first.output_text == words(3)
        second = turn("stop 2", previous_response_id=first.id)[-1].response
        assert (second.output_text, second.previous_response_id) == (words(2), first.id)
        refused = turn("stop 1", previous_response_id="resp_missing")[-1]
        assert (refused.status, refused.error.code) == (400, "previous_response_not_found")
        warm = turn("stop 4", generate=False)[-1].response
        assert (warm.status, warm.output) == ("completed", [])
        assert turn("stop 1", previous_response_id=warm.id)[-1].response.status == "completed"


def test_a_conversation(client: openai.OpenAI) -> None:
    message: Any = {"type": "message", "role": "user", "content": "hello"}
    made = client.conversations.create(items=[message], metadata={"topic": "demo"})
    assert made.metadata == {"topic": "demo"}
    answer = client.responses.create(model="default", input="stop 2", conversation=made.id)
    assert answer.conversation
    assert answer.conversation.id == made.id
    client.conversations.items.create(made.id, items=[{**message, "content": "stop 1"}])
    assert client.responses.create(model="default", conversation=made.id).output_text == words(1)
    items = list(client.conversations.items.list(made.id, order="asc", limit=2))
    texts = [item.content[0].text for item in items]  # type: ignore[union-attr]
    assert texts == ["hello", "stop 2", words(2), "stop 1", words(1)]
    said = client.conversations.items.retrieve(items[2].id, conversation_id=made.id)
    assert said == items[2]
    client.conversations.items.delete(items[2].id, conversation_id=made.id)
    left = list(client.conversations.items.list(made.id, order="asc"))
    assert [item.id for item in left] == [item.id for item in [*items[:2], *items[3:]]]
    assert client.responses.retrieve(answer.id).output_text == words(2)  # which keeps it
    changed = client.conversations.update(made.id, metadata={"topic": "other"})
    assert client.conversations.retrieve(made.id) == changed
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.list(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)
