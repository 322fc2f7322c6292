"""`chatstream.conversation/1`: what is exported is imported again as it was; names of files."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.models import Conversation, Message, Response, Status
from streaming.pages.importing import own, reading
from streaming.pages.sharing.names import file_name
from streaming.record import exports, imports
from streaming.record.drafts import Draft, MessageDraft, ResponseDraft
from tests.support.processes import ROOT

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
lines = texts.map(lambda text: " ".join(text.split()))  # of titles and folders


def moment(number: int) -> str:
    return (BEGIN + timedelta(seconds=number, microseconds=number * 7)).isoformat()


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """Conversations as the record may have them: branches, versions, answers that were continued,
    prompts that nobody answered."""
    draft = Draft("chatstream", "x", " ".join(draw(texts).split())[:120], moment(0), moment(99))
    draft.instructions = draw(st.none() | texts)
    draft.kept = {"pinned": draw(st.booleans()), "archived": False, "folder": draw(lines)}
    for number in range(draw(st.integers(1, 8))):
        earlier = st.none() | st.integers(0, number - 1) if number else st.none()
        previous = draw(earlier)
        continues = draw(earlier) if draw(st.booleans()) else None
        content, reasoning = draw(texts), draw(texts)
        if continues is not None and (before := draft.responses[continues].message) is not None:
            content = draft.messages[before].content + content
            reasoning = draft.messages[before].reasoning + reasoning
        prompt = len(draft.messages)
        if continues is not None:
            prompt = draft.responses[continues].prompt
        else:
            parent = None if previous is None else draft.responses[previous].message
            draft.messages.append(
                MessageDraft(parent, "user", draw(texts), created_at=moment(number))
            )
        message = None
        if draw(st.booleans()) and (content or reasoning):
            message = len(draft.messages)
            call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            fields = draw(st.none() | st.just({"tool_calls": [call]}))
            draft.messages.append(
                MessageDraft(prompt, "assistant", content, reasoning, fields, moment(number))
            )
        values = {
            "params": {"model": "m", "stop": [draw(texts)], "seed": 2**62},
            "passed": draw(st.none() | st.just({"citations": [1]})),
            "finish_reason": draw(st.sampled_from(["", "stop", "length"])),
            "rating": draw(st.sampled_from([None, 1, -1])),
            "prompt_tokens": draw(st.integers(0, 9)),
            "reasoning_ms": draw(st.none() | st.integers(0, 9)),
            "started_at": draw(st.just("") | st.just(moment(number))),
            "finished_at": moment(number + 1),
        }
        status = draw(st.sampled_from(["completed", "incomplete", "cancelled", "failed"]))
        draft.responses.append(
            ResponseDraft(prompt, message, previous, continues, status, moment(number), values)
        )
    return draft


def exported(row: Any) -> Any:
    """The file, its ids as the places that they name."""
    text = "".join(exports.as_json(Conversation.objects.get(pk=row)))
    value = json.loads(text)
    del value["exported_at"], value["conversation"]["id"]
    rows = value["messages"] + value["responses"]
    # Those of one moment stand in the order of their ids.
    value["messages"].sort(key=lambda each: (each["created_at"], _said(each)))
    places = {each["id"]: number for number, each in enumerate(rows) if "status" in each}
    places |= {each["id"]: _said(each) for each in value["messages"]}
    for each in rows:
        for name in ("id", "parent", "prompt", "message", "previous", "continues"):
            if name in each:
                each[name] = places[each[name]]
    return value


def _said(message: dict[str, Any]) -> str:
    return repr([message.get(name) for name in ("role", "content", "reasoning", "fields")])


@pytest.mark.django_db
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(drafts())
def test_what_is_exported_is_imported_as_it_was(draft: Draft) -> None:
    Conversation.objects.all().delete()
    first = imports.insert("visitor:a", None, draft)
    assert first
    text = "".join(exports.as_json(Conversation.objects.get(pk=first)))
    again = own.draft_of(json.loads(text))
    second = imports.insert("visitor:b", None, again)
    assert second
    assert exported(first) == exported(second)
    assert imports.insert("visitor:a", None, again) is None  # it is there, under its own id
    texts_of = {owner: _texts(owner) for owner in ("visitor:a", "visitor:b")}
    assert texts_of["visitor:a"] == texts_of["visitor:b"]


def _texts(owner: str) -> list[tuple[Any, ...]]:
    rows = Response.objects.filter(owner=owner).order_by("ordinal")
    return list(rows.values_list("ordinal", "text", "reasoning", "status", "created_at"))


@pytest.mark.django_db
def test_an_open_response_is_exported_and_comes_back_as_withdrawn() -> None:
    row = Conversation.objects.create(owner="visitor:a", title="t")
    prompt = Message.objects.create(conversation=row, role="user", content="x")
    Response.objects.create(conversation=row, prompt=prompt, owner="visitor:a")
    value = json.loads("".join(exports.as_json(row)))
    assert value["responses"][0]["status"] == "queued"
    assert own.draft_of(value).responses[0].status == Status.CANCELLED


def file_of(*responses: dict[str, Any], **fields: Any) -> dict[str, Any]:
    message = {"id": "m", "role": "user", "content": "x"}
    return {
        "format": "chatstream.conversation/1",
        "conversation": {"id": "c"},
        "messages": [message],
        "responses": [{"prompt": "m", "status": "completed", **each} for each in responses],
        **fields,
    }


DAMAGED = [
    file_of({"id": "a", "prompt": "none"}),
    file_of({"id": "a", "previous": "none"}),
    file_of({"id": "a"}, {"id": "a"}),
    file_of({"id": "a", "message": "m"}, {"id": "b", "message": "m"}),
    file_of({"id": "a", "status": "accepting"}),
    file_of({"id": "a", "prompt_tokens": -1}),
    file_of({"id": "a", "prompt_tokens": 2**31}),
    file_of({"id": "a", "rating": 7}),
    file_of({"id": "a", "created_at": "soon"}),
    file_of({"id": "a", "params": {"x": "\x00"}}),
    file_of({"id": "a", "params": {"x": "y" * 200_000}}),
    file_of({"id": "a", "params": []}),
    file_of({"id": "a"}, messages=[{"id": "m", "role": "root", "content": "x"}]),
    file_of({"id": "a"}, messages=[{"id": "m", "role": "user", "content": None}]),
    file_of({"id": "a"}, conversation={}),
    file_of({"id": "a"}, messages={}),
]
LOOPS = [
    file_of({"id": "a", "previous": "b"}, {"id": "b", "previous": "a"}),
    file_of({"id": "a", "continues": "a"}),
    file_of({"id": "a"}, messages=[{"id": "m", "role": "user", "content": "x", "parent": "m"}]),
]


@pytest.mark.parametrize("value", DAMAGED)
def test_a_damaged_file_is_refused(value: dict[str, Any]) -> None:
    assert reading._line(value)["skipped"] == "malformed"


@pytest.mark.parametrize("value", LOOPS)
def test_a_loop_is_refused(value: dict[str, Any]) -> None:
    assert reading._line(value)["skipped"] == "loop"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "mapping",
                        "chat",
                        "id",
                        "history",
                        "messages",
                        "message",
                        "content",
                        "author",
                        "role",
                        "parts",
                        "currentId",
                        "format",
                        "user",
                        "parent",
                        "parentId",
                    ]
                )
                | st.text(),
                inner,
                max_size=5,
            )
        ),
        max_leaves=25,
    )
)
def test_no_value_makes_a_reader_fail(value: Any) -> None:
    line = reading._line(value)
    assert set(line) in ({"draft"}, {"skipped", "title"})


# --- names of files ---


@given(st.text(max_size=300))
def test_a_name_is_no_path_and_shows_what_it_is(title: str) -> None:
    name = file_name(title, "md")
    assert name.endswith(".md")
    assert len(name.encode()) < 200
    assert not name.startswith((".", " "))
    assert not set(name) & set('/\\:*?"<>|%\r\n\0')
    assert not any(unicodedata.category(each)[0] == "C" for each in name)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("../../etc/passwd", "etc passwd.md"),
        ("海の深さについて", "海の深さについて.md"),
        ("a\r\nSet-Cookie: x", "a Set-Cookie x.md"),
        ("CON", "conversation CON.md"),
        ("nul.txt", "conversation nul.txt.md"),
        ("\u202egpj.exe", "gpj.exe.md"),
        ("...", "conversation.md"),
        ("", "conversation.md"),
        ("日" * 200, "日" * 50 + ".md"),
    ],
)
def test_names(title: str, name: str) -> None:
    assert file_name(title, "md") == name


def test_the_format_is_documented() -> None:
    text = (ROOT / "docs" / "keeping.md").read_text(encoding="utf-8")
    fields = {*own.Head.model_fields, *own.OwnMessage.model_fields, *own.OwnResponse.model_fields}
    assert exports.FORMAT in text
    assert [name for name in sorted(fields) if f"`{name}`" not in text] == []
