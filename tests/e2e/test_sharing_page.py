"""Export, links, import and print in a real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.page import ask, expect_connected
from tests.e2e.visitors import Visitors, ask_and_read, serving_fast, visiting
from tests.support.processes import ServeProcess

RIVERS = (
    "say # Rivers\n\n| river | length |\n|---|---|\n| Nile | 6650 km |\n\n```python\nx = "
    + "123456 * " * 40
    + "7\n```"
)
_FALLEN_SILENT = "window.print = () => { document.title += ' (printed)'; };"


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(tmp_path_factory.mktemp("sharing"))


@pytest.fixture
def visitors(browser: Browser, fast: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, fast)


def expect_accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def chatgpt() -> bytes:
    def node(id_: str, parent: str | None, role: str, text: str) -> dict[str, object]:
        content = {"content_type": "text", "parts": [text]}
        message = {"id": id_, "author": {"role": role}, "content": content}
        return {"id": id_, "message": message, "parent": parent, "children": []}

    nodes = [node("u", None, "user", "How deep is it?"), node("a", "u", "assistant", "**Deep.**")]
    mapping = {each["id"]: each for each in nodes}
    chat = {"conversation_id": "c", "title": "The sea", "mapping": mapping, "current_node": "a"}
    return json.dumps([chat, {"title": "Nothing"}]).encode()


def webui() -> bytes:
    messages = {
        "1": {"id": "1", "parentId": None, "role": "user", "content": "And hills?"},
        "2": {"id": "2", "parentId": "1", "role": "assistant", "content": "High."},
    }
    chat = {"title": "Hills", "history": {"messages": messages, "currentId": "2"}}
    return json.dumps([{"id": "w", "title": "Hills", "chat": chat}]).encode()


def give(page: Page, name: str, data: bytes) -> None:
    file = {"name": name, "mimeType": "application/json", "buffer": data}
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Import").click()


def test_a_link_is_made_read_and_withdrawn(visitors: Visitors) -> None:
    """By the keyboard alone."""
    page = visitors.open()
    expect(page.locator("#share")).to_be_hidden()  # there is nothing yet
    ask_and_read(page, RIVERS)
    page.locator("#share").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Share and export")
    expect(dialog).to_be_visible()
    expect_accessible(page)
    dialog.get_by_role("button", name="Make a link").press("Enter")
    field = dialog.get_by_role("textbox", name="Link")
    expect(field).to_be_focused()
    expect(dialog.get_by_role("status")).to_have_text("The link is made.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("status")).to_have_text(
        re.compile("Copied|The browser does not allow copying here.")
    )
    path = "/s/" + field.input_value().partition("/s/")[2]
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#share")).to_be_focused()

    reader = visitors.open(path, color_scheme="dark")
    sockets: list[str] = []
    reader.on("websocket", lambda socket: sockets.append(socket.url))
    reader.reload()
    expect(reader.locator(".answer h3")).to_have_text("Rivers")
    expect(reader.locator(".answer td").first).to_have_text("Nile")
    expect_accessible(reader)
    ask_and_read(page, "say Later.")
    reader.reload()
    expect(reader.locator("article")).to_have_count(1)
    assert (sockets, reader.context.cookies()) == ([], [])

    page.locator("#share").click()
    expect(dialog).to_contain_text("What was written since is not shown.")
    dialog.get_by_role("button", name="Update the link").click()
    expect(dialog.get_by_role("status")).to_have_text("The link shows what is here now.")
    reader.reload()
    expect(reader.locator("article")).to_have_count(2)
    dialog.get_by_role("button", name="Withdraw the link").click()
    expect(dialog.get_by_role("button", name="Make a link")).to_be_focused()
    status = reader.context.request.get(reader.url).status
    assert status == 404


def test_files_and_a_document(visitors: Visitors, tmp_path: Path) -> None:
    page = visitors.open()
    ask_and_read(page, RIVERS)
    page.locator(".side-item").first.hover()
    page.locator(".side-item [data-do=menu]").first.click()
    page.get_by_role("menuitem", name="Share and export").click()
    dialog = page.get_by_role("dialog", name="Share and export")
    files = {}
    for name, ending in (("Markdown", "md"), ("JSON", "json")):
        with page.expect_download() as download:
            dialog.get_by_role("link", name=name).click()
        assert download.value.suggested_filename.endswith(f".{ending}")
        files[ending] = tmp_path / ending
        download.value.save_as(files[ending])
    assert "| Nile | 6650 km |" in files["md"].read_text()
    assert json.loads(files["json"].read_text())["format"] == "chatstream.conversation/1"

    page.context.add_init_script(_FALLEN_SILENT)
    with page.context.expect_page() as opened:
        dialog.get_by_role("link", name="Print").click()
    paper = opened.value
    expect(paper).to_have_title(re.compile("printed"))
    expect_accessible(paper)
    paper.emulate_media(media="print")
    for hidden in paper.get_by_role("button").all():
        expect(hidden).to_be_hidden()
    expect(paper.get_by_role("heading", level=1)).to_be_visible()
    expect(paper.get_by_role("heading", name="Assistant")).to_be_visible()
    for box in paper.locator("pre").all():  # a long line goes on in the next one
        assert box.evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    pages = len(re.findall(rb"/Type\s*/Page\b", paper.pdf(format="A4")))
    print("pages:", pages)
    assert pages <= 3


def test_imports_go_on(visitors: Visitors, tmp_path: Path) -> None:
    page = visitors.open("/accounts/")
    page.get_by_role("link", name="Choose a file").click()
    expect_accessible(page)
    give(page, "conversations.json", chatgpt())
    report = page.get_by_role("status").first
    expect(report).to_contain_text("1 conversation was imported. 1 was skipped.")
    expect(report).to_contain_text("It is in no known format. Nothing")
    expect_accessible(page)
    give(page, "conversations.json", chatgpt())
    expect(report).to_contain_text("It is here already.")
    give(page, "x.json", b"[")
    expect(page.get_by_role("alert")).to_contain_text("Nothing was imported.")
    (said,) = visitors.complaints
    assert "400 (Bad Request)" in said
    visitors.complaints.clear()
    give(page, "chats.json", webui())
    page.get_by_role("link", name="Open the first one").click()
    expect(page.locator(".bubble")).to_have_text("And hills?")
    expect(page.locator(".answer .text")).to_have_text("High.")
    expect_connected(page)
    ask_and_read(page, "say On.")
    page.reload()
    expect(page.locator(".bubble")).to_have_text(["And hills?", "say On."])

    with page.expect_download() as download:  # and ours, once its original is gone
        page.goto(page.url + "share/")
        page.get_by_role("link", name="JSON").click()
    file = tmp_path / "ours.json"
    download.value.save_as(file)
    page.goto(page.url.replace("share/", ""))
    page.evaluate(
        """async () => {
            const token = document.querySelector("meta[name=csrf-token]").content;
            const id = location.pathname.split("/")[2];
            const headers = { "X-CSRFToken": token };
            await fetch(`/conversations/${id}/delete/`, { method: "POST", headers });
        }"""
    )
    page.goto(page.url.partition("/c/")[0] + "/import/")
    give(page, "ours.json", file.read_bytes())
    page.get_by_role("link", name="Open the first one").click()
    expect(page.locator(".bubble")).to_have_text(["And hills?", "say On."])
    expect_connected(page)
    ask_and_read(page, "stop 2")


def test_a_large_file_arrives(visitors: Visitors, fast: ServeProcess) -> None:
    """Other bodies are cut at 2.5 MB."""
    page = visitors.open("/import/", locale="ja")
    padded = chatgpt()[:-1] + b" " * 5_000_000 + b"]"
    page.get_by_label("ファイル").set_input_files(
        {"name": "conversations.json", "mimeType": "application/json", "buffer": padded}
    )
    page.get_by_role("button", name="読み込む").click()
    expect(page.get_by_role("status").first).to_contain_text("1件の会話を読み込みました。")
    page.goto(f"{fast.url}/")
    answer = ask(page, "stop 3")
    expect(answer).to_have_attribute("data-status", "completed")
    page.locator("#share").click()
    expect(page.get_by_role("dialog", name="共有と書き出し")).to_be_visible()
