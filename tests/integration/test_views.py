"""The chat page's views on a stored conversation, and who may see it."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from streaming.identity.owners import owner_of_user
from streaming.models import Conversation, Message, Response, Status
from streaming.pages import turns
from streaming.protocol.sampling_params import Params
from streaming.protocol.thinking_params import ThinkingParams
from tests.support.processes import ROOT

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def owner(client: Client) -> str:
    user = User.objects.create_user("reader")
    client.force_login(user)
    return owner_of_user(user)


@pytest.fixture
def conversation(owner: str) -> Conversation:
    return Conversation.objects.create(owner=owner, title="Sorting")


def respond(
    conversation: Conversation,
    prompt: str | Message,
    text: str = "",
    status: str = Status.COMPLETED,
    **fields: Any,
) -> Response:
    def message(role: str, content: str) -> Message:
        return Message.objects.create(conversation=conversation, role=role, content=content)

    continued = fields.get("continues")
    whole = (continued.message.content if continued else "") + text
    return Response.objects.create(
        conversation=conversation,
        prompt=message("user", prompt) if isinstance(prompt, str) else prompt,
        message=message("assistant", whole) if text else None,
        owner=conversation.owner,
        params={"max_tokens": 8},
        text=text,
        status=status,
        completion_tokens=len(text.split()),
        started_at=timezone.now(),
        finished_at=None if status in ("queued", "in_progress") else timezone.now(),
        **fields,
    )


def details(html: str) -> list[dict[str, Any]]:
    found = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    return [json.loads(text) for text in found]


def thread(client: Client, conversation: Conversation, **query: Any) -> str:
    response = client.get(f"/c/{conversation.pk}/", {"part": "thread", **query})
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def test_an_answer_is_rendered_and_its_source_comes_with_it(
    client: Client, conversation: Conversation
) -> None:
    text = "# Title\n\n<script>alert(1)</script> and `code` </script>"
    respond(conversation, "<b>prompt</b>", text)
    html = client.get(f"/c/{conversation.pk}/").content.decode()
    assert '<div class="block" dir="auto"><h3>Title</h3></div>' in html
    assert "<code>code</code>" in html
    assert "<script>alert" not in html
    assert "&lt;b&gt;prompt&lt;/b&gt;" in html
    [config, stored] = details(html.replace('id="config" ', ""))
    assert config["conversation_id"] == str(conversation.pk)
    assert stored["text"] == text
    assert stored["done"]["usage"] == {"output_tokens": len(text.split())}


def test_a_leaf_chooses_the_path(client: Client, conversation: Conversation) -> None:
    first = respond(conversation, "One?", "first")
    again = respond(conversation, first.prompt, "second")
    after = respond(conversation, "Two?", "third", previous=first)
    shown = details(thread(client, conversation))
    assert [turn["text"] for turn in shown] == ["first", "third"]
    assert shown[0]["versions"] == [str(first.pk), str(again.pk)]
    assert shown[0]["prompts"] == [0, 0]
    assert shown[1]["previous"] == str(first.pk)
    html = thread(client, conversation, leaf=again.pk)
    assert [turn["text"] for turn in details(html)] == ["second"]
    assert f'data-newest="{after.pk}"' in html
    assert "<html" not in html


def test_versions_are_told_apart_by_their_prompts(
    client: Client, conversation: Conversation
) -> None:
    """Answers to one prompt have one number, an edited prompt another, wherever they continue."""
    first = respond(conversation, "One?", "first", Status.INCOMPLETE)
    edited = respond(conversation, "Eins?", "zweite")
    again = respond(conversation, first.prompt, "third")
    more = respond(conversation, first.prompt, " and more", continues=first)
    [turn] = details(thread(client, conversation, leaf=edited.pk))
    assert turn["versions"] == [str(one.pk) for one in (more, edited, again)]
    assert turn["prompts"] == [0, 1, 0]


def test_a_continued_answer_is_one_turn(client: Client, conversation: Conversation) -> None:
    cut = respond(conversation, "Go on.", "one two ", Status.INCOMPLETE, rating=-1)
    more = respond(conversation, cut.prompt, "three", continues=cut, rating=1)
    [turn] = details(thread(client, conversation))
    assert turn["text"] == "one two three"
    assert turn["rating"] == 1
    assert turn["done"]["usage"]["output_tokens"] == 3
    assert turn["versions"] == [str(more.pk)]


def test_a_continuation_that_runs_begins_with_what_is_there(
    client: Client, conversation: Conversation
) -> None:
    cut = respond(conversation, "Go on.", "one **two**", Status.INCOMPLETE)
    respond(conversation, cut.prompt, "", Status.IN_PROGRESS, continues=cut)
    html = thread(client, conversation)
    [turn] = details(html)
    assert turn["text"] == "one **two**"
    assert turn["continues"] == str(cut.pk)
    assert turn["done"] is None
    assert 'data-status="in_progress"' in html
    assert "<strong>two</strong>" in html


def test_a_long_conversation_is_shown_in_parts(client: Client, conversation: Conversation) -> None:
    previous = None
    for number in range(turns.WINDOW + 3):
        previous = respond(conversation, f"p{number}", f"a{number}", previous=previous)
    html = thread(client, conversation)
    shown = details(html)
    assert len(shown) == turns.WINDOW
    assert shown[0]["text"] == "a3"
    assert 'class="earlier"' in html
    earlier = thread(client, conversation, before=shown[1]["previous"])
    assert [turn["text"] for turn in details(earlier)] == ["a0", "a1", "a2"]
    assert 'class="earlier"' not in earlier


def test_the_newest_response_is_told(client: Client, conversation: Conversation) -> None:
    address = f"/c/{conversation.pk}/newest/"
    assert client.get(address).json() == {"newest": None}
    respond(conversation, "One?", "first")
    newest = respond(conversation, "Two?", "second")
    assert client.get(address).json() == {"newest": str(newest.pk)}


@pytest.mark.parametrize("query", [{"leaf": "nonsense"}, {"leaf": str(uuid4())}, {"before": "x"}])
def test_a_response_that_is_not_there(
    client: Client, conversation: Conversation, query: dict[str, str]
) -> None:
    respond(conversation, "One?", "first")
    assert client.get(f"/c/{conversation.pk}/", query).status_code == 404


def test_a_response_of_another_conversation_is_no_leaf(
    client: Client, conversation: Conversation, owner: str
) -> None:
    other = respond(Conversation.objects.create(owner=owner), "Secret?", "secret")
    respond(conversation, "One?", "first")
    address = f"/c/{conversation.pk}/"
    assert client.get(address, {"leaf": other.pk}).status_code == 404
    assert client.get(address, {"before": other.pk}).status_code == 404


def test_a_rating_is_kept_changed_and_taken_back(
    client: Client, conversation: Conversation
) -> None:
    answer = respond(conversation, "One?", "first")
    address = f"/r/{answer.pk}/rating/"
    for sent, kept in [("1", 1), ("-1", -1), ("0", None)]:
        assert client.post(address, {"rating": sent}).status_code == 204
        answer.refresh_from_db()
        assert answer.rating == kept


@pytest.mark.parametrize("rating", ["2", "", "like", None])
def test_a_rating_that_is_none(
    client: Client, conversation: Conversation, rating: str | None
) -> None:
    answer = respond(conversation, "One?", "first", rating=1)
    data = {} if rating is None else {"rating": rating}
    assert client.post(f"/r/{answer.pk}/rating/", data).status_code == 400
    answer.refresh_from_db()
    assert answer.rating == 1


def test_a_rating_needs_the_token_and_the_right_method(conversation: Conversation) -> None:
    answer = respond(conversation, "One?", "first")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="reader"))
    address = f"/r/{answer.pk}/rating/"
    assert strict.post(address, {"rating": "1"}).status_code == 403
    assert strict.get(address).status_code == 405
    page = strict.get(f"/c/{conversation.pk}/").content.decode()
    found = re.search(r'name="csrf-token" content="(\w+)"', page)
    assert found
    done = strict.post(address, {"rating": "1"}, headers={"X-CSRFToken": found[1]})
    assert done.status_code == 204


def test_another_owner_finds_nothing(conversation: Conversation) -> None:
    answer = respond(conversation, "One?", "first")
    stranger = Client()
    stranger.force_login(User.objects.create_user("stranger"))
    for client in (stranger, Client()):
        for address in (f"/c/{conversation.pk}/", f"/c/{conversation.pk}/newest/"):
            assert client.get(address).status_code == 404
        rated = client.post(f"/r/{answer.pk}/rating/", {"rating": "1"})
        assert rated.status_code == 404
    answer.refresh_from_db()
    assert answer.rating is None


def test_the_settings_panel_has_the_bounds_of_the_protocol(client: Client) -> None:
    """The panel refuses just what the server would refuse."""
    html = client.get("/drawer/").content.decode()
    script = (ROOT / "static/streaming/chat/settings.js").read_text(encoding="utf-8")
    rules = dict(re.findall(r"^  (\w+): \{ (.+) \},$", script, re.M))
    assert set(re.findall(r'<\w+ [^>]*name="(\w+)"', html)) == set(rules)
    fields = {
        name: dict(re.findall(r"(\w+): ([\w.]+)", rule))
        for name, rule in rules.items()
        if "least:" in rule
    }
    assert set(fields) == set(re.findall(r'name="(\w+)" type="number"', html))
    assert set(fields) == set(Params.model_fields) - {
        "stop",
        "ignore_eos",  # for measuring
        "truncation",  # the page says what was left out
        *ThinkingParams.model_fields,
    }
    efforts = re.findall(r'<option value="(\w+)"', html[html.index('name="reasoning_effort"') :])
    assert [Params(reasoning_effort=word).reasoning_effort for word in efforts] == efforts
    assert efforts == ["none", "low", "medium", "high"]
    assert efforts == re.findall(r'"(\w+)"', rules["reasoning_effort"])
    for name, rule in fields.items():
        value = int if name in ("max_tokens", "top_k", "seed") else float
        assert ("whole" in rule) == (value is int)
        most = rule["most"].replace("Number.MAX_SAFE_INTEGER", str(2**53 - 1))
        Params(**{name: value(rule["least"])})
        Params(**{name: value(most)})
    assert rules["stop"] == "lines: 4, characters: 100"


def test_a_page_has_neither_inline_scripts_nor_styles(
    client: Client, conversation: Conversation
) -> None:
    respond(conversation, "One?", "```python\nprint(1)\n```\n\n| a |\n|:-:|\n| b |")
    html = client.get(f"/c/{conversation.pk}/").content.decode()
    for tag in re.findall(r"<script[^>]*>", html):
        assert "src=" in tag or 'type="application/json"' in tag
    assert not re.search(r'\sstyle="|<style|\son\w+="|javascript:', html)
