"""The panel of sampling settings, and what else the page keeps in the browser."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.e2e.page import (
    LONG,
    OpenPage,
    ask,
    expect_connected,
    expect_status,
    stop_if_running,
    text_of,
)


def params(page: Page, text: str) -> dict[str, object]:
    """Send a prompt; the `params` that went to the server with it."""
    page.evaluate(
        """() => {
            const send = WebSocket.prototype.send;
            WebSocket.prototype.send = function (data) {
                const event = JSON.parse(data);
                if (event.type === 'response.create') window.sentParams = event.params;
                return send.call(this, data);
            };
        }"""
    )
    answer = ask(page, text)
    expect_status(answer, re.compile("completed|incomplete"))
    sent: dict[str, object] = page.evaluate("window.sentParams")
    return sent


def test_settings_go_with_every_prompt_and_are_kept(open_fast: OpenPage) -> None:
    page = open_fast()
    assert params(page, "say one") == {}
    page.locator("#tune").click()
    page.get_by_label("Temperature").fill("0.8")
    page.get_by_label("Longest answer, in tokens").fill("3")
    page.get_by_label("Stop texts").fill("END\n\nHALT")
    page.get_by_role("button", name="Done").click()
    expect(page.locator("#settings")).to_be_hidden()
    expect(page.locator("#tune")).to_be_focused()
    page.reload()
    expect_connected(page)
    wanted = {"temperature": 0.8, "max_tokens": 3, "stop": ["END", "HALT"]}
    assert params(page, "anything at all") == wanted
    assert text_of(page.locator(".answer").nth(1)).split() == ["w0", "w1", "w2"]
    page.locator("#tune").click()
    page.locator("#settings-reset").click()
    page.keyboard.press("Escape")
    assert params(page, "say two") == {}


def test_what_is_out_of_bounds_is_marked_and_not_sent(open_fast: OpenPage) -> None:
    page = open_fast()
    page.locator("#tune").click()
    wrong = {
        "temperature": "2.1",
        "top_p": "0",
        "top_k": "1.5",
        "repetition_penalty": "9",
        "seed": "-1",
        "max_tokens": "401",  # the server of these tests allows 400
        "stop": "1\n2\n3\n4\n5",
    }
    for name, value in wrong.items():
        field = page.locator(f"#s-{name}")
        field.fill(value)
        expect(field).to_have_attribute("aria-invalid", "true")
        described = page.locator(f"#{field.get_attribute('aria-describedby')} .range")
        expect(described).to_have_css("font-weight", "600")
    page.get_by_label("Temperature").fill("1")
    expect(page.get_by_label("Temperature")).to_have_attribute("aria-invalid", "false")
    page.keyboard.press("Escape")
    assert params(page, "say one") == {"temperature": 1}
    page.locator("#tune").click()
    expect(page.get_by_label("Seed")).to_have_value("")


def test_damaged_settings_are_the_defaults(open_fast: OpenPage) -> None:
    page = open_fast()
    for kept in ("{", '"x"', '{"temperature": "hot", "top_k": -4, "seed": {}, "stop": 3}', "null"):
        page.evaluate("kept => localStorage.setItem('chatstream.settings', kept)", kept)
        page.reload()
        expect_connected(page)
        assert params(page, "say one") == {}


def test_a_draft_survives_a_reload_and_not_its_sending(open_fast: OpenPage) -> None:
    page = open_fast()
    box = page.locator("#prompt")
    box.fill("half a thought\nand more")
    page.reload()
    expect(box).to_have_value("half a thought\nand more")
    height = box.evaluate("e => e.clientHeight")
    assert height > 40, "the box is as high as the draft"
    expect(page.locator("#send")).to_be_enabled()
    expect_status(ask(page, "say one"), "completed")
    page.reload()
    expect(box).to_have_value("")


def test_drafts_belong_to_their_conversation(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = ask(page, LONG)
    page.locator("#prompt").fill("for this one")
    expect(page).to_have_url(re.compile("/c/"))
    expect_status(answer, "in_progress")
    stop_if_running(page)  # the button is Send's while something is written
    expect_status(answer, "cancelled")
    other = open_fast(like=page)
    expect(other.locator("#prompt")).to_have_value("")
    other.locator("#prompt").fill("for a new one")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("for this one")
    stranger = open_fast()
    expect(stranger.locator("#prompt")).to_have_value("")


def test_without_storage_the_page_works(open_fast: OpenPage) -> None:
    page = open_fast()
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('off'); } })"
    )
    page.reload()
    expect_connected(page)
    page.locator("#tune").click()
    page.get_by_label("Longest answer, in tokens").fill("2")
    page.keyboard.press("Escape")
    assert params(page, "words, please") == {"max_tokens": 2}
