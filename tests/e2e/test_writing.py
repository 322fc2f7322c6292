"""Writing a prompt: half a character, a phone, an input method, a dropped file, a long text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, WebSocketRoute, expect

from tests.e2e.page import (
    LONG,
    OpenPage,
    answers,
    ask,
    expect_connected,
    expect_status,
    prompts,
    stop,
    wait_for_text,
)

PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}


def type_in(page: Page, selector: str, text: str) -> None:
    """As a keyboard does. By its UTF-16 units: the driver mends half a character on its way."""
    page.evaluate(
        """([selector, units]) => {
            document.querySelector(selector).focus();
            document.execCommand("insertText", false, String.fromCharCode(...units));
        }""",
        [selector, list(memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H"))],
    )


# --- half a character ---


def test_half_a_character_is_sent_as_a_sign_for_it(open_fast: OpenPage) -> None:
    page = open_fast()
    type_in(page, "#prompt", "say \ud83d!")
    page.locator("#prompt").press("Enter")
    expect_status(page.locator(".answer"), "completed")
    assert (prompts(page), answers(page)) == (["say \ufffd!"], ["\ufffd!"])
    expect(page.locator("h1")).to_have_text("say \ufffd!")
    expect_status(ask(page, "say on"), "completed")  # the box is not stuck
    page.reload()
    assert prompts(page) == ["say \ufffd!", "say on"]


def test_half_a_character_in_drafts_edits_titles_searches_and_settings(open_fast: OpenPage) -> None:
    page = open_fast()
    type_in(page, "#prompt", "a \udc00 draft")
    page.reload()
    expect(page.locator("#prompt")).to_have_value(re.compile("^a . draft$"))
    expect_status(ask(page, "say one"), "completed")

    turn = page.locator(".turn").first
    turn.locator(".edit").click()
    turn.locator(".editor-text").fill("")
    type_in(page, ".editor-text", "say \ud83d\ud83d")
    turn.locator(".editor-save").click()
    expect(turn.locator(".version")).to_have_text("2 / 2")
    expect_status(page.locator(".answer").first, "completed")
    assert prompts(page) == ["say \ufffd\ufffd"]

    item = page.locator(".side-item").first
    item.hover()
    item.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.locator(".side-rename").fill("")
    type_in(page, ".side-rename", "half \ud83d")
    page.locator(".side-rename").press("Enter")
    expect(page.locator(".side-link").first).to_have_text("half \ufffd")

    page.locator("#side-query").focus()
    type_in(page, "#side-query", "\ud83d")
    expect(page.locator("#side-status")).to_have_text("1 conversation found")

    page.locator("#tune").click()
    expect(page.locator("#s-stop")).to_be_visible()
    type_in(page, "#s-stop", "\ud83d")
    page.keyboard.press("Escape")
    expect_status(ask(page, "say last"), "completed")


def test_what_the_server_could_not_read_does_not_stick(open_fast: OpenPage) -> None:
    """Its error names no event: it is the one that was on its way."""
    page = open_fast()
    broken = [True]

    def through(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def to_server(message: str | bytes) -> None:
            is_cut = broken[0] and json.loads(message)["type"] == "response.create"
            server.send(message[:-1] if is_cut else message)

        route.on_message(to_server)

    page.route_web_socket("**/ws/chat/*", through)
    page.reload()
    expect_connected(page)
    page.locator("#prompt").fill("say hello")
    page.locator("#prompt").press("Enter")
    expect(page.locator("#notice")).to_contain_text("The server did not accept this.")
    expect(page.locator("#prompt")).to_have_value("say hello")
    expect(page.locator(".turn")).to_have_count(0)
    broken[0] = False
    page.locator("#prompt").press("Enter")
    expect_status(page.locator(".answer"), "completed")


# --- keys ---


def test_on_a_phone_enter_makes_a_new_line_and_the_button_sends(open_fast: OpenPage) -> None:
    page = open_fast(**PHONE)
    box = page.locator("#prompt")
    expect(box).to_have_attribute("enterkeyhint", "enter")
    box.tap()
    page.keyboard.type("say one")
    page.keyboard.press("Enter")
    page.keyboard.type("two")
    expect(box).to_have_value("say one\ntwo")
    expect(page.locator(".turn")).to_have_count(0)
    page.locator("#send").tap()
    expect_status(page.locator(".answer"), "completed")
    turn = page.locator(".turn").first
    turn.locator(".edit").tap()
    page.keyboard.press("Enter")
    expect(turn.locator(".editor-text")).to_have_value("say one\ntwo\n")  # the same in the editor


def compose(network: CDPSession, text: str) -> None:
    network.send(
        "Input.imeSetComposition",
        {"text": text, "selectionStart": len(text), "selectionEnd": len(text)},
    )


def press_in_input_method(network: CDPSession, key: str) -> None:
    """What the input method has for itself, with the key code that says so."""
    fields = {"key": key, "code": key, "windowsVirtualKeyCode": 229}
    network.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **fields})
    network.send("Input.dispatchKeyEvent", {"type": "keyUp", **fields})


@pytest.mark.parametrize("after", [False, True], ids=["composing", "just ended"])
def test_keys_of_an_input_method_are_its_own(open_fast: OpenPage, after: bool) -> None:
    """`after`: some browsers say so by the key code alone."""
    page = open_fast()
    expect_status(ask(page, "say one"), "completed")
    network = page.context.new_cdp_session(page)

    def compose_and_press(*keys: str) -> None:
        compose(network, "にほん")
        if after:
            network.send("Input.insertText", {"text": "にほん"})
        for key in keys:
            press_in_input_method(network, key)

    page.locator("#prompt").focus()
    compose_and_press("Enter", "Escape")
    expect(page.locator(".turn")).to_have_count(1)
    page.locator("#prompt").fill("")

    turn = page.locator(".turn").first
    turn.locator(".edit").click()
    compose_and_press("Escape", "Enter")
    expect(turn.locator(".editor-text")).to_have_value("say oneにほん")
    page.locator(".editor-cancel").click()

    page.locator("#side-query").focus()
    compose_and_press("Escape")
    expect(page.locator("#side-query")).to_have_value("にほん")


def test_an_input_methods_escape_leaves_the_drawer_open(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 600, "height": 700})
    page.locator("#side-open").click()
    page.locator("#side-query").focus()
    network = page.context.new_cdp_session(page)
    compose(network, "にほん")
    press_in_input_method(network, "Escape")
    expect(page.locator("#side-query")).to_have_value("にほん")
    expect(page.locator("#app")).to_have_attribute("data-drawer", "open")


# --- a dropped file ---


def drop(page: Page, path: Path, x: float, y: float) -> None:
    network = page.context.new_cdp_session(page)
    data: dict[str, Any] = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        network.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})


@pytest.mark.parametrize("selector", ["#scroller", "#prompt", ".bar", "#side-list"])
def test_a_dropped_file_never_replaces_the_page(
    open_fast: OpenPage, tmp_path: Path, selector: str
) -> None:
    page = open_fast()
    file = tmp_path / "notes.html"
    file.write_text("<h1>not the chat</h1>", encoding="utf-8")
    address = page.url
    page.evaluate(
        """() => {
            window.dropped = [];
            addEventListener("drop", (event) => window.dropped.push(event.defaultPrevented));
        }"""
    )
    box = page.locator(selector).bounding_box()
    assert box
    drop(page, file, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#attached .chip")).to_contain_text("notes.html")
    assert page.evaluate("window.dropped") in ([], [True])  # []: it was not even offered
    assert (page.url, page.locator("#prompt").input_value()) == (address, "")
    assert len(page.context.pages) == 1


# --- a long prompt ---


def test_a_long_prompt_is_clamped(open_fast: OpenPage) -> None:
    page = open_fast()
    text = "a long tale " * 2500
    expect_status(ask(page, "say hello"), "completed")
    answer = ask(page, text)
    wait_for_text(answer)
    stop(page, answer)
    bubble, more = page.locator(".bubble").nth(1), page.locator(".turn").nth(1).locator(".more")
    expect(more).to_have_text("Show all")
    assert bubble.evaluate("e => e.clientHeight") < 500
    assert bubble.evaluate("e => e.textContent.length") == len(text)
    more.click()
    expect(more).to_have_text("Show less")
    expect(more).to_have_attribute("aria-expanded", "true")
    assert bubble.evaluate("e => e.scrollHeight - e.clientHeight") <= 0
    page.reload()  # as the server has it, too
    expect(more).to_have_text("Show all")
    assert bubble.evaluate("e => e.clientHeight") < 500
    expect(page.locator(".turn").first.locator(".more")).to_be_hidden()


def test_many_lines_are_clamped_and_copied_whole(open_fast: OpenPage) -> None:
    page = open_fast()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    text = "\n".join(f"line {number}" for number in range(200))
    answer = ask(page, text)
    wait_for_text(answer)
    stop(page, answer)
    expect(page.locator(".more")).to_have_text("Show all")
    page.locator(".copy-prompt").click()
    expect(page.locator("#status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == text
    page.locator(".edit").click()
    expect(page.locator(".editor-text")).to_have_value(text)
    page.locator(".editor-text").fill(LONG)
    page.locator(".editor-save").click()
    expect(page.locator(".more")).to_be_hidden()
