"""Files on the page: chosen, dropped and pasted, shown as chips, sent, kept and taken back."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.e2e.page import OpenPage, ask, expect_answered, expect_waiting, withdraw
from tests.support.hostile_files import docx, paragraph

TABLE = {"name": "numbers.csv", "mimeType": "text/csv", "buffer": b"a,b\n" * 100}


def choose(page: Page, *files: Any) -> None:
    page.locator("#attach-files").set_input_files(list(files))


def chip(page: Page, name: str) -> Locator:
    return page.locator("#attached .chip").filter(has_text=name)


def expect_ready(page: Page, name: str) -> None:
    expect(chip(page, name)).to_have_attribute("data-state", "ready")


GIVE = """([kind, name, text]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], name, { type: "text/plain" }));
    const options = { bubbles: true, cancelable: true };
    const event = kind === "paste"
        ? new ClipboardEvent(kind, { ...options, clipboardData: transfer })
        : new DragEvent(kind, { ...options, dataTransfer: transfer });
    document.getElementById("prompt").dispatchEvent(event);
}"""


def test_files_are_chosen_dropped_and_pasted_and_go_with_the_prompt(open_fast: OpenPage) -> None:
    page = open_fast()
    scripts = page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    assert not [name for name in scripts if "/files/" in name]  # loaded with the first file
    send = page.locator("#send")
    choose(page, TABLE, {"name": "a.docx", "mimeType": "", "buffer": docx(paragraph("Hello"))})
    page.evaluate(GIVE, ["drop", "dropped.md", "# Dropped"])
    page.evaluate(GIVE, ["paste", "pasted.py", "print()"])
    for name in ("numbers.csv", "a.docx", "dropped.md", "pasted.py"):
        expect_ready(page, name)
    expect(chip(page, "numbers.csv").locator(".chip-about")).to_have_text(
        "Table · 1 kB · about 100 tokens"
    )
    expect(page.locator("#status")).to_have_text("pasted.py is attached.")
    expect(send).to_be_enabled()  # files alone are a prompt

    remove = chip(page, "dropped.md").get_by_role("button", name="Remove dropped.md")
    remove.focus()
    remove.press("Enter")
    expect(chip(page, "dropped.md")).to_have_count(0)
    expect(chip(page, "pasted.py").get_by_role("button")).to_be_focused()

    page.reload()
    expect_ready(page, "numbers.csv")
    expect(page.locator("#attached .chip")).to_have_count(3)

    answer = ask(page, "stop 3")
    expect(page.locator("#attached")).to_be_hidden()
    expect_answered(answer)
    turn = page.locator(".turn").last
    expect(turn.locator(".attachments a")).to_have_count(3)
    expect(turn.locator(".bubble")).to_have_text("stop 3")
    page.reload()
    with page.expect_download() as download:
        turn.locator(".attachments a").first.click()
    assert download.value.suggested_filename == "numbers.csv"
    assert download.value.path().read_bytes() == TABLE["buffer"]
    expect(turn.locator(".chip-about").first).to_have_text("Table · 1 kB · about 100 tokens")

    # A changed prompt keeps what came with it.
    turn.locator(".edit").click()
    page.locator(".editor textarea").fill("stop 2")
    page.locator(".editor-save").click()
    expect_answered(page.locator(".answer").last)
    page.reload()
    expect(page.locator(".turn").last.locator(".attachments a")).to_have_count(3)
    expect(page.locator(".turn").last.locator(".bubble")).to_have_text("stop 2")


def test_what_cannot_be_attached_says_why(open_fast: OpenPage) -> None:
    page = open_fast(locale="ja", color_scheme="dark", viewport={"width": 390, "height": 800})
    choose(
        page,
        {"name": "program.exe", "mimeType": "", "buffer": b"MZ\x00\x01"},
        {"name": "empty.txt", "mimeType": "", "buffer": b""},
        {"name": "photo.gif", "mimeType": "", "buffer": b"GIF89a\x09\x00\x09\x00\x00\x00\x00;"},
        {"name": "book.txt", "mimeType": "", "buffer": b"word " * 60_000},
    )
    for name, why in {
        "program.exe": "ここでは読み取れない",
        "empty.txt": "ファイルが空です",
        "photo.gif": "画像は見られません",
    }.items():
        expect(chip(page, name)).to_have_attribute("data-state", "refused")
        expect(chip(page, name)).to_contain_text(why)
    expect_ready(page, "book.txt")
    expect(page.locator(".attached-note")).to_contain_text("75,000")
    page.locator("#prompt").fill("stop 1")
    expect(page.locator("#send")).to_be_disabled()  # it fits no context
    chip(page, "book.txt").get_by_role("button").click()
    expect(page.locator("#send")).to_be_enabled()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.context.set_offline(True)
    choose(page, TABLE)
    expect(chip(page, "numbers.csv")).to_contain_text("サーバーに接続できません")
    page.context.set_offline(False)
    chip(page, "numbers.csv").locator(".chip-retry").click()
    expect_ready(page, "numbers.csv")


def test_files_come_while_an_answer_is_written_and_go_with_the_next(open_fast: OpenPage) -> None:
    page = open_fast()
    first = ask(page, "stop 300")
    choose(page, TABLE)
    expect_ready(page, "numbers.csv")
    waiting = ask(page, "stop 1")
    expect_waiting(waiting)
    withdraw(waiting)
    page.locator("#stop").click()
    expect(first).to_have_attribute("data-status", re.compile("cancelled|completed"))
    expect(page.locator(".turn").last.locator(".attachments a")).to_have_text(
        re.compile("numbers.csv")
    )
