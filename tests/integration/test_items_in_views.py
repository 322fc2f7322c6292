"""Conversations that another door has made, on the chat page: calls and their results, thoughts
apart, refusals, and what came with a prompt."""

from __future__ import annotations

import html as html_
import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.translation import override

from streaming.identity.owners import owner_of_user
from streaming.models import Conversation, Message, Response, Status
from streaming.pages import turns
from streaming.pages.turns import Turn

pytestmark = pytest.mark.django_db

NAUGHTY = "</pre><script>alert(1)</script>"


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def conversation(client: Client) -> Conversation:
    user = User.objects.create_user("reader")
    client.force_login(user)
    return Conversation.objects.create(
        owner=owner_of_user(user), title="Weather", source=Conversation.Source.API
    )


def call(index: int, name: str, arguments: str = "{}") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": f"call_{name}", "type": "function", "function": function}


def say(
    row: Conversation, role: str, content: str, parent: Message | None = None, **fields: Any
) -> Message:
    return Message.objects.create(
        conversation=row, role=role, content=content, parent=parent, **fields
    )


def result(row: Conversation, name: str, content: str, parent: Message | None) -> Message:
    return say(row, "tool", content, parent, fields={"tool_call_id": f"call_{name}"})


def answer(
    prompt: Message, text: str = "", previous: Response | None = None, **fields: Any
) -> Response:
    thought = fields.get("reasoning", "")
    passed = fields.get("passed") or {}
    said = None
    if text or thought or passed.get("tool_calls"):
        said = say(prompt.conversation, "assistant", text, prompt, reasoning=thought)
    return Response.objects.create(
        conversation=prompt.conversation,
        prompt=prompt,
        message=said,
        previous=previous,
        owner=prompt.conversation.owner,
        text=text,
        status=Status.COMPLETED,
        started_at=timezone.now(),
        finished_at=timezone.now(),
        **fields,
    )


def weather(row: Conversation) -> Response:
    """A question, two calls, their results, and the answer."""
    asked = say(row, "user", "What is it like?")
    calls = [call(0, "weather", '{"city":"Kyōto"}'), call(1, "time", NAUGHTY)]
    first = answer(asked, "One moment.", passed={"tool_calls": calls})
    one = result(row, "weather", "15 °C", first.message)
    two = result(row, "time", NAUGHTY, one)
    return answer(two, "Warm.", first)


def shown(row: Conversation, **query: Any) -> list[Turn]:
    return turns.window(row, **query).turns


def test_a_result_stands_at_its_call(client: Client, conversation: Conversation) -> None:
    weather(conversation)
    first, second = shown(conversation)
    assert [(each.name, each.arguments, each.result) for each in first.calls] == [
        ("weather", '{"city":"Kyōto"}', "15 °C"),
        ("time", NAUGHTY, NAUGHTY),
    ]
    assert (second.prompt, second.calls, second.results) == ("", [], [])
    page = client.get(f"/c/{conversation.pk}/").content.decode()
    thread = page[page.index('id="thread"') : page.index("<footer")]
    assert "<script>alert" not in thread
    assert thread.count("chat/items.") == 1
    assert thread.count('class="call"') == 2
    results = re.findall(r'call-result"[^>]*>(.*?)</pre>', thread)
    assert [html_.unescape(text) for text in results] == ["15 °C", NAUGHTY]


def test_it_does_where_only_the_call_is_in_the_window(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a result whose call is not, stands by itself."""
    last = weather(conversation)
    monkeypatch.setattr(turns, "WINDOW", 1)
    [second] = shown(conversation)
    assert [(each.result, each.is_result_alone) for each in second.results] == [
        ("15 °C", True),
        (NAUGHTY, True),
    ]
    [first] = shown(conversation, before=last.pk)
    assert [each.result for each in first.calls] == ["15 °C", NAUGHTY]


def test_a_prompt_may_follow_results(conversation: Conversation) -> None:
    asked = say(conversation, "user", "What is it like?")
    first = answer(asked, passed={"tool_calls": [call(0, "weather")]})
    told = result(conversation, "weather", "15 °C", first.message)
    answer(say(conversation, "user", "In words, please.", told), "Warm.", first)
    one, two = shown(conversation)
    assert [each.result for each in one.calls] == ["15 °C"]
    assert (two.prompt, two.results) == ("In words, please.", [])


def test_damaged_rows_are_shown_as_they_are(conversation: Conversation) -> None:
    """Calls without an id or a name, results of nothing, and messages in a circle."""
    asked = say(conversation, "user", "?")
    bare = {"index": 0, "function": {}}
    first = answer(asked, passed={"tool_calls": [bare]})
    one = say(conversation, "tool", "a", first.message)
    two = say(conversation, "tool", "b", one)
    Message.objects.filter(pk=one.pk).update(parent=two)
    answer(Message.objects.get(pk=two.pk), "Well.", first)
    [before, after] = shown(conversation)
    assert [(each.name, each.arguments, each.result) for each in before.calls] == [("", "", None)]
    assert [each.result for each in after.results] == ["a", "b"]


def test_a_row_that_an_earlier_version_has_imported(conversation: Conversation) -> None:
    """Nobody had looked at what its file said."""
    passed = {"tool_calls": [1, "x"], "refusal": {}, "usage": 1}
    answer(say(conversation, "user", "?"), "So.", passed=passed, imported=True)
    [turn] = shown(conversation)
    assert (turn.calls, turn.refusal) == ([], "")


def test_thoughts_stand_apart(client: Client, conversation: Conversation) -> None:
    asked = say(conversation, "user", "Why?")
    items = [["reasoning", 4], ["message", 2], ["reasoning", 4], ["message", 2]]
    answer(asked, "A b.", reasoning="One.Two.", items=items)
    [turn] = shown(conversation)
    assert turn.reasoning == "One.\n\nTwo."
    assert "chat/items." not in client.get(f"/c/{conversation.pk}/?part=thread").content.decode()


def test_a_refusal_is_there_though_nothing_else_is(
    client: Client, conversation: Conversation
) -> None:
    answer(say(conversation, "user", "Why?"), passed={"refusal": f"No. {NAUGHTY}"})
    [turn] = shown(conversation)
    assert (turn.refusal, turn.blocks) == (f"No. {NAUGHTY}", [])
    for language, label in (("en", "The model declined"), ("ja", "モデルは回答を控えました")):
        with override(language):
            page = client.get(
                f"/c/{conversation.pk}/?part=thread", headers={"Accept-Language": language}
            ).content.decode()
        assert label in page
        assert "<script>alert" not in page


def test_what_came_with_a_prompt_is_named_and_sent_again_with_a_change(
    client: Client, conversation: Conversation
) -> None:
    """No address of another host is on the page but as data."""
    parts = [
        {"type": "input_text", "text": "Look."},
        {"type": "input_image", "image_url": "https://example.com/x.png", "detail": "auto"},
        {"type": "input_file", "file_id": f"file_{'0' * 32}", "filename": NAUGHTY, "kind": "text"},
    ]
    prompt = say(conversation, "user", "Look.\n\nFile: secret", parts=parts)
    answer(prompt, "I see.")
    [turn] = shown(conversation)
    assert turn.prompt == "Look."
    assert [(each.is_image, each.name) for each in turn.attachments] == [
        (True, ""),
        (False, NAUGHTY),
    ]
    assert turn.details["attachments"] == [
        {"type": "input_image", "image_url": "https://example.com/x.png"},
        {"type": "input_file", "file_id": f"file_{'0' * 32}"},
    ]
    page = client.get(f"/c/{conversation.pk}/?part=thread").content.decode()
    assert "<script>alert" not in page
    assert "secret" not in page
    assert not re.search(r'(src|href)="https?:', page)
    told = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert told
    assert json.loads(told[1])["attachments"] == turn.details["attachments"]


def test_ordinary_conversations_cost_no_query_more(
    conversation: Conversation, django_assert_num_queries: Any
) -> None:
    other = Conversation.objects.create(owner=conversation.owner)
    answer(say(other, "user", "Why?"), "So.")
    with django_assert_num_queries(2):
        shown(other)
    weather(conversation)
    with django_assert_num_queries(3):
        shown(conversation)
