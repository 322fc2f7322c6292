"""Conversations from files: ChatGPT's, Open WebUI's and our own, and files that are none."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from streaming.engine.base import GenerationRequest
from streaming.models import Conversation, Message, Response
from streaming.pages.importing import bounds, reading, writing
from streaming.pages.importing.report import Report
from streaming.record import alerts, imports, retries, series, usage
from streaming.record.drafts import Draft
from tests.integration.conftest import owner_of
from tests.support.fake_engine import FakeEngine

DAY = 86_400


@pytest.fixture
def web() -> Client:
    browser = Client()
    browser.get("/")
    return browser


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: it is what is read that is tested."""

    def read(path: str, drafts: Any) -> None:
        reading.read(path, str(drafts))

    monkeypatch.setattr(writing, "_read", read)


def give(web: Client, content: Any, name: str = "conversations.json") -> Report:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    page = web.post("/import/", {"file": SimpleUploadedFile(name, data)})
    report = page.context["report"]
    assert page.status_code == (400 if report.refused else 200)
    return report


def chatgpt_node(id_: str, parent: str | None, role: str, content: Any, **fields: Any) -> Any:
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    message = {"id": id_, "author": {"role": role}, "content": content, **fields}
    return {"id": id_, "message": message, "parent": parent, "children": []}


def chatgpt(*nodes: Any, **fields: Any) -> dict[str, Any]:
    root = {"id": "root", "message": None, "parent": None, "children": []}
    mapping = {node["id"]: node for node in (root, *nodes)}
    chat = {"title": "Sea", "create_time": 1_600_000_000.5, "update_time": 1_600_000_000 + DAY}
    return {"conversation_id": "c-1", "mapping": mapping, **chat, **fields}


def webui(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    tree = {message["id"]: {"parentId": None, **message} for message in messages}
    history = {"messages": tree, "currentId": messages[-1]["id"]}
    chat = {"title": "Hills", "models": ["llama3"], "history": history}
    times = {"created_at": 1_700_000_000, "updated_at": 1_700_000_000 + DAY}
    return {"id": "w-1", "title": "Hills", "chat": chat, **times, **fields}


CHATGPT = chatgpt(
    chatgpt_node("s", "root", "system", ""),
    chatgpt_node(
        "e",
        "s",
        "user",
        {"content_type": "user_editable_context", "user_instructions": "Be brief."},
    ),
    chatgpt_node("u1", "e", "user", "How deep is it?", create_time=1_600_000_010),
    chatgpt_node("a1", "u1", "assistant", "Deep.", metadata={"model_slug": "gpt-4o"}),
    chatgpt_node("a2", "u1", "assistant", "Very deep.", create_time=1_600_000_020),
    chatgpt_node(
        "u2",
        "a2",
        "user",
        {
            "content_type": "multimodal_text",
            "parts": [{"content_type": "image_asset_pointer", "asset_pointer": "x"}, "And this?"],
        },
        create_time=1_600_000_030,
    ),
    chatgpt_node(
        "t",
        "u2",
        "assistant",
        {"content_type": "thoughts", "thoughts": [{"summary": "Look", "content": "It is blue."}]},
        create_time=1_600_000_040,
    ),
    chatgpt_node(
        "k",
        "t",
        "assistant",
        {"content_type": "code", "language": "python", "text": "print(1)"},
        recipient="python",
    ),
    chatgpt_node("o", "k", "tool", {"content_type": "execution_output", "text": "1"}),
    chatgpt_node("a3", "o", "assistant", "A lake.", create_time=1_600_000_050),
    current_node="a3",
)

WEBUI = webui(
    {"id": "1", "role": "user", "content": "Up?", "timestamp": 1_700_000_001},
    {
        "id": "2",
        "parentId": "1",
        "role": "assistant",
        "model": "llama3",
        "content": '<details type="reasoning" done="true" duration="2">\n<summary>Thought for 2 '
        "seconds</summary>\n&gt; Is it?\n&gt; Yes.\n</details>\nUp.",
        "timestamp": 1_700_000_002,
    },
    {"id": "3", "parentId": "2", "role": "user", "content": "", "files": [{"type": "image"}]},
    {"id": "4", "parentId": "3", "role": "assistant", "content": "A hill."},
)


def turns(web: Client, row: Conversation, **query: str) -> list[tuple[str, str, str]]:
    """What the page shows: prompt, thought, answer."""
    window = web.get(f"/c/{row.pk}/", query).context["window"]
    return [(turn.prompt, turn.reasoning, turn.details["text"]) for turn in window.turns]


@pytest.mark.django_db
def test_chatgpts_export(web: Client, here: None) -> None:
    report = give(web, [CHATGPT])
    assert (report.imported, report.skipped, report.replaced) == (1, {}, {"image": 1})
    row = Conversation.objects.get(owner=owner_of(web))
    assert (row.title, row.source, row.instructions) == ("Sea", "chat", "Be brief.")
    assert row.created_at == datetime.fromtimestamp(1_600_000_000.5, UTC)
    assert row.updated_at == datetime.fromtimestamp(1_600_000_000 + DAY, UTC)
    assert turns(web, row) == [
        ("How deep is it?", "", "Very deep."),
        (
            "[image]\n\nAnd this?",
            "Look\n\nIt is blue.",
            "[python]\n\n```python\nprint(1)\n```\n\n[tool]\n\n```\n1\n```\n\nA lake.",
        ),
    ]
    first = Response.objects.get(message__content="Deep.")
    assert turns(web, row, leaf=str(first.pk)) == [("How deep is it?", "", "Deep.")]
    assert first.params == {"model": "gpt-4o"}
    prompt = Message.objects.get(content="How deep is it?")
    assert prompt.created_at == datetime.fromtimestamp(1_600_000_010, UTC)


@pytest.mark.django_db
def test_open_webuis_export(web: Client, here: None) -> None:
    report = give(web, [WEBUI])
    assert (report.imported, report.replaced) == (1, {"image": 1})
    row = Conversation.objects.get()
    assert turns(web, row) == [("Up?", "Is it?\nYes.", "Up."), ("[image]", "", "A hill.")]


@pytest.mark.django_db
def test_system_prompts_and_how_it_is_kept(
    web: Client, here: None, chatstream: Callable[..., None]
) -> None:
    chatstream(max_instructions_chars=10)
    for number, system in enumerate(("Be brief.", "x" * 11)):
        chat = webui({"id": "1", "role": "user", "content": "a"}, pinned=True)
        chat["chat"]["params"] = {"system": system}
        report = give(web, [{**chat, "id": f"w{number}"}])
        assert (report.imported, report.instructions) == (1, number)
    rows = Conversation.objects.order_by("instructions")
    assert {(row.instructions, row.pinned) for row in rows} == {("Be brief.", True), (None, True)}


@pytest.mark.django_db
def test_a_list_of_messages_of_earlier_versions(web: Client, here: None) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert give(web, [{"id": "x", "chat": {"title": "t", "messages": messages}}]).imported == 1
    assert turns(web, Conversation.objects.get()) == [("a", "", "b")]


@pytest.mark.django_db
def test_nothing_is_imported_twice(web: Client, here: None) -> None:
    give(web, [CHATGPT, WEBUI])
    report = give(web, [CHATGPT, WEBUI])
    assert (report.imported, report.skipped["known"].count) == (0, 2)
    assert Conversation.objects.count() == 2
    other = Client()
    other.get("/")
    assert give(other, [CHATGPT]).imported == 1  # another's are not one's own
    Conversation.objects.filter(owner=owner_of(web)).delete()
    assert give(web, [CHATGPT]).imported == 1


@pytest.mark.django_db
def test_what_an_account_got_from_a_visitor_is_known(web: Client, here: None) -> None:
    give(web, [CHATGPT])
    Conversation.objects.update(owner="user:1")
    assert imports.is_known("user:1", Draft("chatgpt", "c-1"))
    assert not imports.is_known("user:2", Draft("chatgpt", "c-1"))


@pytest.mark.django_db
def test_prompts_without_answers_and_answers_without_prompts(web: Client, here: None) -> None:
    chat = webui(
        {"id": "1", "role": "assistant", "content": "Hello."},
        {"id": "2", "parentId": "1", "role": "user", "content": "a"},
        {"id": "3", "parentId": "2", "role": "user", "content": "b"},
        {"id": "4", "parentId": "3", "role": "assistant", "content": "c"},
        {"id": "5", "parentId": "4", "role": "user", "content": "d"},
    )
    give(web, [chat])
    row = Conversation.objects.get()
    assert turns(web, row) == [
        ("", "", "Hello."),
        ("a", "", ""),
        ("b", "", "c"),
        ("d", "", ""),
    ]


@pytest.mark.django_db
def test_old_ones_are_not_pruned_the_night_after(
    web: Client, here: None, chatstream: Callable[..., None]
) -> None:
    chatstream(retention_days=30)
    give(web, [CHATGPT])
    row = Conversation.objects.get()
    assert (datetime.now(UTC) - row.updated_at).days == 0
    assert row.created_at.year == 2020


def zipped(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_json", ".json"), data)
    return made.getvalue()


@pytest.mark.django_db
def test_an_archive(web: Client, here: None) -> None:
    data = json.dumps([CHATGPT]).encode()
    archive = zipped(user_json=b"{}", conversations_json=data, chat_html=b"<p>")
    assert give(web, archive, "export.zip").imported == 1


DEEP = b"[" * 100_000
HOSTILE = {
    "empty": (b"", "nothing"),
    "blank": (b" \n ", "nothing"),
    "no conversations": (b"[]", "nothing"),
    "no JSON": (b"<html>", "no_json"),
    "cut": (json.dumps([CHATGPT]).encode()[:-20], "no_json"),
    "more behind it": (b"[] []", "no_json"),
    "a comma too many": (b'[{"id": "x"},]', "no_json"),
    "no comma": (b'[{"id": "x"} {}]', "no_json"),
    "NaN": (b'[{"create_time": NaN}]', "no_json"),
    "a number of a million digits": (b"[" + b"1" * 10**6 + b"]", "no_json"),
    "deep": (DEEP, "too_deep"),
    "no UTF-8": (b'["\xff"]', "no_text"),
    "no archive": (b"PK\x03\x04 and nothing more", "no_archive"),
    "a broken archive": (zipped(conversations_json=b"[]" * 999)[:60], "no_archive"),
    "an archive of none": (zipped(chat_html=b"<p>"), "nothing"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_none(web: Client, here: None, name: str) -> None:
    content, reason = HOSTILE[name]
    assert give(web, content).refused == reason
    assert not Conversation.objects.exists()


@pytest.mark.django_db
def test_an_archive_that_grows(web: Client, here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_JSON_BYTES", 10**6)
    assert give(web, zipped(conversations_json=b" " * 10**7)).refused == "too_large"
    some = b"[%b]" % (b" " * 600_000)
    two = zipped(conversations_1_json=some, conversations_2_json=some)
    assert give(web, two).refused == "too_large"
    monkeypatch.setattr(bounds, "MOST_ENTRIES", 2)
    assert give(web, zipped(a=b"", b=b"", c=b"")).refused == "too_many"


def loop() -> dict[str, Any]:
    return chatgpt(chatgpt_node("a", "b", "user", "x"), chatgpt_node("b", "a", "assistant", "y"))


UNFIT: dict[str, tuple[Any, str]] = {
    "a number": (1, "unknown"),
    "another shape": ({"title": "x"}, "unknown"),
    "no id": ({"mapping": {}}, "malformed"),
    "no tree": ({"id": "x", "mapping": []}, "malformed"),
    "nothing said": (chatgpt(), "empty"),
    "wrong types": (
        {"id": "x", "mapping": {"a": 1, "b": {"message": [], "parent": {}}, "c": None}},
        "empty",
    ),
    "a loop": (loop(), "loop"),
    "a long message": (chatgpt(chatgpt_node("a", "root", "user", "x" * 1_000_001)), "long_message"),
    "a newer version": ({"format": "chatstream.conversation/2"}, "version"),
    "ours, empty": ({"format": "chatstream.conversation/1"}, "malformed"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", UNFIT)
def test_a_conversation_that_is_none(web: Client, here: None, name: str) -> None:
    content, reason = UNFIT[name]
    report = give(web, [content, WEBUI])
    assert (report.imported, list(report.skipped)) == (1, [reason])
    assert Conversation.objects.count() == 1
    assert report.skipped[reason].why


@pytest.mark.django_db
def test_a_tree_that_says_more_than_it_is(
    web: Client, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer of a long run ends, and has all before it in it."""
    monkeypatch.setattr(bounds, "MOST_MESSAGES", 601)
    monkeypatch.setattr(bounds, "MOST_CONVERSATION_CHARS", 200_000)
    nodes = [chatgpt_node("u", "root", "user", "x")]
    for number in range(300):
        above = f"a{number - 1}" if number else "u"
        nodes.append(chatgpt_node(f"a{number}", above, "assistant", "x" * 100))
        nodes.append(chatgpt_node(f"u{number}", f"a{number}", "user", "y"))
    report = give(web, [chatgpt(*nodes[:-1]), chatgpt(*nodes, conversation_id="c-2")])
    assert list(report.skipped) == ["too_large", "too_many_messages"]


@pytest.mark.django_db
def test_texts_that_no_database_keeps(web: Client, here: None) -> None:
    chat = chatgpt(
        chatgpt_node("u", "root", "user", "a\x00b\ud800"), title="t\x00" + "x" * 500 + "\n<b>"
    )
    assert give(web, [chat]).imported == 1
    row = Conversation.objects.get()
    assert row.title.startswith("t\ufffdx")
    assert len(row.title) == 120
    assert Message.objects.get().content == "a\ufffdb\ufffd"


@pytest.mark.django_db
def test_moments_that_are_none(web: Client, here: None) -> None:
    times = (-1, 1e300, "yesterday", True, None, {}, 10**400, "9999-12-31T23:59:59-12:00")
    for number, moment in enumerate(times):
        chat = webui({"id": "1", "role": "user", "content": "a", "timestamp": moment})
        assert give(web, [{**chat, "id": f"w{number}", "created_at": moment}]).imported == 1


@pytest.mark.django_db
def test_the_process_that_reads_is_killed_in_time(
    web: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that does well is a process of its own, too."""
    assert give(web, [CHATGPT]).imported == 1
    monkeypatch.setattr(writing, "MEMORY_BYTES", 1)
    assert give(web, [WEBUI]).refused in ("too_slow", "busy")


@pytest.mark.django_db
def test_what_is_left_when_the_time_is_over(
    web: Client, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "WRITING_SECONDS", -1)
    assert list(give(web, [CHATGPT]).skipped) == ["later"]


@pytest.mark.django_db
def test_an_owner_has_so_many(web: Client, here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MOST_CONVERSATIONS", 1)
    report = give(web, [CHATGPT, WEBUI])
    assert (report.imported, list(report.skipped)) == (1, ["full"])


@pytest.mark.django_db
def test_bounds_of_the_form(web: Client, here: None, chatstream: Callable[..., None]) -> None:
    chatstream(max_import_mb=1)
    assert give(web, b" " * (2**20 + 1)).refused == "file_too_large"
    assert give(web, b" " * (2**20 + 2**17)).refused == "file_too_large"
    assert web.post("/import/").context["report"].refused == "no_file"
    for _ in range(8):
        assert give(web, b"[]").refused == "nothing"
    assert give(web, b"[]").refused == "used_up"
    chatstream(max_import_mb=0)
    assert web.get("/import/").status_code == 404
    assert b"/import/" not in web.get("/accounts/").content


@pytest.mark.django_db
def test_only_who_may_chat_may_import(web: Client, chatstream: Callable[..., None]) -> None:
    chatstream(anonymous=False)
    assert web.get("/import/").status_code == 302
    page = web.post("/import/", {"file": SimpleUploadedFile("x", b"[]")})
    assert page.status_code == 302


class RecordingEngine(FakeEngine):
    """Remembers what it was asked to answer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked: list[list[tuple[str, str]]] = []

    def submit(self, request: GenerationRequest) -> None:
        self.asked.append([(message.role, message.content) for message in request.messages])
        super().submit(request)


@pytest.mark.django_db(transaction=True)
async def test_an_imported_conversation_goes_on(
    start_worker: Any, client: Any, tmp_path: Path
) -> None:
    """A prompt has all in its history that was said before it; answers are given anew."""
    engine = RecordingEngine()
    await start_worker(engine)
    file, drafts = tmp_path / "file", tmp_path / "drafts"
    file.write_text(json.dumps([CHATGPT, WEBUI]))
    reading.read(str(file), str(drafts))
    lines = [json.loads(line)["draft"] for line in drafts.read_text().splitlines()]
    user = await User.objects.acreate(username="ann")
    keys = [
        await sync_to_async(imports.insert)(f"user:{user.pk}", user, Draft.from_json(line))
        for line in lines
    ]
    chat = await client(user=user)
    await chat.send("response.create", input="stop 1", conversation_id=str(keys[1]))
    await chat.end()
    assert engine.asked.pop() == [
        ("user", "Up?"),
        ("assistant", "Up."),
        ("user", "[image]"),
        ("assistant", "A hill."),
        ("user", "stop 1"),
    ]
    newest = await Response.objects.filter(conversation=keys[0]).alatest("ordinal")
    await chat.send("response.create", regenerates=str(newest.pk), params={"max_tokens": 1})
    await chat.end()
    assert engine.asked.pop() == [
        ("system", "Be brief."),
        ("user", "How deep is it?"),
        ("assistant", "Very deep."),
        ("user", "[image]\n\nAnd this?"),
    ]


@pytest.mark.django_db(transaction=True)
def test_what_is_imported_is_no_measure_of_the_service(web: Client, here: None) -> None:
    """However recent, dear and failed somebody's file says that it is."""
    begun = timezone.now() - timedelta(minutes=1)
    times = {"created_at": begun, "started_at": begun, "finished_at": begun}
    row = {
        "prompt": "m",
        "status": "failed",
        "error_code": "engine_error",
        "params": {"max_tokens": 10**9},
        "completion_tokens": 10**9,
        **{name: moment.isoformat() for name, moment in times.items()},
    }
    file = {
        "format": "chatstream.conversation/1",
        "conversation": {"id": "c"},
        "messages": [{"id": "m", "role": "user", "content": "Hello?"}],
        "responses": [{"id": str(number), **row} for number in range(9)],
    }
    assert give(web, file).imported == 1
    now = timezone.now()
    assert usage.of_owners(now - timedelta(hours=1), now)[0] == []
    assert async_to_sync(alerts.failures)(5) == (0, 0)
    found = series.read(now.timestamp() - 3600, 60, 61)
    assert (found.tokens, found.load, found.wait) == ({}, {}, {})
    last = Response.objects.order_by("-ordinal").first()
    assert last
    assert async_to_sync(retries.find)(last.pk) is retries.NoRetry.ELSEWHERE


@pytest.mark.django_db
def test_a_folder_of_a_file_can_be_opened(web: Client, here: None) -> None:
    """The list asks for it by its name on one line."""
    file = {
        "format": "chatstream.conversation/1",
        "conversation": {"id": "c", "title": "Sea", "folder": " Taxes\n  2026 "},
        "messages": [{"id": "m", "role": "user", "content": "Hello?"}],
        "responses": [{"id": "r", "prompt": "m", "status": "completed"}],
    }
    assert give(web, file).imported == 1
    folder = Conversation.objects.get().folder
    assert "Sea" in web.get("/conversations/", {"folder": folder}).text
