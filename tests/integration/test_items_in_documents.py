"""What leaves the page: Markdown, JSON, a document to print, a link. The answer has no thought in
it, and says what there is of it besides its text."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from streaming.models import Conversation, Share
from streaming.pages.importing.own import draft_of
from tests.integration.test_items_in_views import (
    NAUGHTY,
    answer,
    call,
    client,
    conversation,
    result,
    say,
    weather,
)

__all__ = ["client", "conversation"]

pytestmark = pytest.mark.django_db

THOUGHT = "A secret thought."


def read(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, response.status_code
    whole: bytes = b"".join(response) if response.streaming else response.content
    return whole.decode()


def test_a_thought_is_never_a_part_of_the_answer(
    client: Client, conversation: Conversation
) -> None:
    asked = say(conversation, "user", "Why?")
    items = [["reasoning", 9], ["message", 3], ["reasoning", 8]]
    answer(asked, "So.", reasoning=THOUGHT, items=items)
    apart = "A secret \n\nthought."
    base = f"/c/{conversation.pk}"
    markdown = read(client, f"{base}/export/?format=md")
    head, _, rest = markdown.partition("<details>\n<summary>Thought</summary>")
    folded, _, said = rest.partition("</details>")
    assert "secret" not in head + said
    assert "> A secret \n>\n> thought." in folded
    assert said.strip() == "So."
    whole = json.loads(read(client, f"{base}/export/?format=json"))
    assert [row["content"] for row in whole["messages"]] == ["Why?", "So."]
    assert [row.get("reasoning", "") for row in whole["messages"]] == ["", THOUGHT]
    printed = read(client, f"{base}/print/")
    shown = re.sub(r"(?s)<details.*?</details>", "", printed)
    assert "secret" not in shown
    assert f'<div dir="auto">{apart}</div></details>' in printed
    assert client.post(f"{base}/share/link/").status_code == 302
    assert "secret" not in json.dumps(Share.objects.get().turns)
    assert "secret" not in read(client, f"/s/{Share.objects.get().token}/")


def test_calls_and_what_came_back(client: Client, conversation: Conversation) -> None:
    weather(conversation)
    base = f"/c/{conversation.pk}"
    markdown = read(client, f"{base}/export/?format=md")
    assert '**Function call: weather**\n\n> {"city":"Kyōto"}\n\n**Result**\n\n> 15 °C' in markdown
    assert f"\n> {NAUGHTY}\n" in markdown
    assert markdown.count("## You") == 1  # a result is nobody's prompt
    assert markdown.rstrip().endswith("Warm.")
    printed = read(client, f"{base}/print/")
    assert "<script>alert" not in printed
    assert printed.count("<h2>You") == 1
    assert "Function call: weather" in printed
    client.post(f"{base}/share/link/")
    assert [turn["answer"] for turn in Share.objects.get().turns] == ["One moment.", "Warm."]


def test_a_result_without_its_call(client: Client, conversation: Conversation) -> None:
    answer(result(conversation, "weather", "15 °C", None), "Warm.")
    assert "## Result of a function" in read(client, f"/c/{conversation.pk}/export/?format=md")
    assert "15 °C" in read(client, f"/c/{conversation.pk}/print/")


def test_a_refusal_is_the_answer(client: Client, conversation: Conversation) -> None:
    answer(say(conversation, "user", "Why?"), passed={"refusal": "I *must* not."})
    base = f"/c/{conversation.pk}"
    markdown = read(client, f"{base}/export/?format=md")
    assert markdown.endswith("*The model declined*\n\n> I *must* not.\n")
    assert "No answer." not in markdown
    assert "<em>must</em>" in read(client, f"{base}/print/")
    client.post(f"{base}/share/link/")
    assert [turn["answer"] for turn in Share.objects.get().turns] == ["I *must* not."]


def test_what_came_with_a_prompt_is_named(client: Client, conversation: Conversation) -> None:
    parts = [{"type": "input_file", "file_id": f"file_{'0' * 32}", "filename": "a_b.txt"}]
    answer(say(conversation, "user", 'File "a_b.txt": secret', parts=parts), "Well.")
    base = f"/c/{conversation.pk}"
    for text in (read(client, f"{base}/export/?format=md"), read(client, f"{base}/print/")):
        assert "secret" not in text
        assert re.search(r"a\\?_b\.txt", text)
    client.post(f"{base}/share/link/")
    assert Share.objects.get().turns[0]["prompt"] == "a_b.txt"


@pytest.mark.parametrize(
    "passed",
    [
        {"tool_calls": "x"},
        {"tool_calls": [1, None, {"index": "0"}, {"function": "f"}, {"index": 0, "id": 5}]},
        {"refusal": 5, "usage": "many"},
        {"usage": {"prompt_tokens_details": {"cached_tokens": "all"}}},
    ],
)
def test_a_file_cannot_bring_what_no_model_says(
    client: Client, conversation: Conversation, passed: dict[str, Any]
) -> None:
    """What is imported is read as if the server had written it."""
    answer(
        say(conversation, "user", "Why?"),
        "So.",
        passed={"refusal": "No.", "tool_calls": [call(0, "f")]},
    )
    whole = json.loads(read(client, f"/c/{conversation.pk}/export/?format=json"))
    [row] = draft_of(whole).responses
    assert row.values["passed"] == {"refusal": "No.", "tool_calls": [call(0, "f")]}
    whole["responses"][0]["passed"] = passed
    [row] = draft_of(whole).responses
    assert not row.values["passed"]


def test_parts_and_items_come_back(client: Client, conversation: Conversation) -> None:
    """But for the bytes of files, which are not in the file."""
    content = 'Look.\n\nFile "a.txt":\n```\nfew words\n```'
    at = {"at": 7, "chars": len(content) - 7}
    file = {"type": "input_file", "filename": "a.txt", "kind": "text", "size": 9, "tokens": 2, **at}
    typed = {"type": "input_text", "text": "Look."}
    kept = {"file_id": f"file_{'0' * 32}"}
    asked = say(conversation, "user", content, parts=[typed, file | kept])
    items = [["reasoning", 9], ["message", 1], ["reasoning", 8], ["message", 2]]
    answer(asked, "So.", reasoning=THOUGHT, items=items)
    whole = json.loads(read(client, f"/c/{conversation.pk}/export/?format=json"))
    draft = draft_of(whole)
    assert draft.messages[0].parts == [typed, file]
    assert draft.responses[0].values["items"] == items


@pytest.mark.parametrize(
    "parts",
    [
        "x",
        [1],
        [{"type": "input_video"}],
        [{"type": "input_text", "text": "something else"}],
        [{"type": "input_file", "at": 0, "chars": 10**6}],
        [{"type": "input_file", "at": -1, "chars": 1}],
    ],
)
@pytest.mark.parametrize(
    "items",
    [5, [["message", 4]], [["function_call", 0]], [["reasoning"]], [["web", 1]], [["message", -3]]],
)
def test_those_that_do_not_fit_do_not(
    client: Client, conversation: Conversation, parts: Any, items: Any
) -> None:
    answer(say(conversation, "user", "Why?"), "So.")
    whole = json.loads(read(client, f"/c/{conversation.pk}/export/?format=json"))
    whole["messages"][0]["parts"] = parts
    whole["responses"][0]["items"] = items
    draft = draft_of(whole)
    assert draft.messages[0].parts is None
    assert draft.responses[0].values["items"] is None
