"""Versions of a turn: edit, regenerate, continue, switch; copying and rating."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.e2e.page import (
    LONG,
    OpenPage,
    answers,
    ask,
    expect_connected,
    expect_status,
    prompts,
    stop,
    text_of,
    wait_for_text,
    withdraw,
)


def turn(page: Page, number: int) -> Locator:
    return page.locator(".turn").nth(number)


def converse(page: Page, *texts: str) -> None:
    for text in texts:
        expect_status(ask(page, text), "completed")


def edit(page: Page, number: int, text: str) -> None:
    turn(page, number).hover()
    turn(page, number).locator(".edit").click()
    box = turn(page, number).locator(".editor-text")
    expect(box).to_be_focused()
    box.fill(text)
    box.press("Enter")


def test_regenerating_makes_a_version_that_can_be_chosen(open_fast: OpenPage) -> None:
    page = open_fast()
    converse(page, "say first", "say second")
    turn(page, 0).locator(".regenerate").click()
    expect(page.locator(".turn")).to_have_count(1)
    expect_status(turn(page, 0).locator(".answer"), "completed")
    expect(turn(page, 0).locator(".version")).to_have_text("2 / 2")
    expect(page.locator("#prompt")).to_be_focused()

    turn(page, 0).locator(".older").click()
    expect(page.locator(".turn")).to_have_count(2)
    assert prompts(page) == ["say first", "say second"]
    expect(turn(page, 0).locator(".version")).to_have_text("1 / 2")
    expect(turn(page, 0).locator(".older")).to_be_focused()
    expect(turn(page, 0).locator(".older")).to_have_attribute("aria-disabled", "true")
    expect(page.locator("#status")).to_have_text("Version 1 of 2")

    page.reload()  # the chosen path is in the address
    assert prompts(page) == ["say first", "say second"]
    turn(page, 0).locator(".newer").click()
    expect(page.locator(".turn")).to_have_count(1)


def test_an_edited_prompt_makes_a_branch(open_fast: OpenPage) -> None:
    page = open_fast()
    converse(page, "say one", "say two", "say three")
    edit(page, 1, "say zwei")
    expect(page.locator(".turn")).to_have_count(2)
    expect_status(turn(page, 1).locator(".answer"), "completed")
    assert answers(page) == ["one", "zwei"]
    expect(turn(page, 1).locator(".version")).to_have_text("2 / 2")
    converse(page, "say drei")
    turn(page, 1).locator(".older").click()
    expect(page.locator(".bubble").nth(2)).to_have_text("say three")
    turn(page, 1).locator(".newer").click()
    expect(page.locator(".bubble").nth(2)).to_have_text("say drei")
    page.reload()
    assert answers(page) == ["one", "zwei", "drei"]


def test_the_first_prompt_can_be_edited_too(open_fast: OpenPage) -> None:
    page = open_fast()
    converse(page, "say one", "say two")
    edit(page, 0, "say eins")
    expect_status(turn(page, 0).locator(".answer"), "completed")
    assert answers(page) == ["eins"]
    page.reload()
    assert answers(page) == ["eins"]
    expect(turn(page, 0).locator(".version")).to_have_text("2 / 2")


def test_the_next_prompt_goes_on_from_the_path_that_is_shown(open_fast: OpenPage) -> None:
    page = open_fast()
    converse(page, "say one", "say two")
    edit(page, 1, "say zwei")
    expect_status(turn(page, 1).locator(".answer"), "completed")
    turn(page, 1).locator(".older").click()
    expect(page.locator(".bubble").nth(1)).to_have_text("say two")
    converse(page, "say three")
    assert "leaf" not in page.url
    page.reload()
    assert answers(page) == ["one", "two", "three"]


def test_editing_while_the_answer_runs_stops_it(open_fast: OpenPage) -> None:
    page = open_fast()
    running = ask(page, LONG)
    wait_for_text(running)
    ask(page, "say later")
    edit(page, 0, "say instead")
    expect(page.locator(".turn")).to_have_count(1)
    expect_status(turn(page, 0).locator(".answer"), "completed")
    assert answers(page) == ["instead"]
    turn(page, 0).locator(".older").click()
    expect_status(turn(page, 0).locator(".answer"), "cancelled")
    assert text_of(turn(page, 0)).startswith("w0 w1")


def test_editing_can_be_given_up(open_fast: OpenPage) -> None:
    page = open_fast()
    converse(page, "say one")
    page.locator("#prompt").press("ArrowUp")
    box = page.locator(".editor-text")
    expect(box).to_be_focused()
    expect(box).to_have_value("say one")
    box.fill("")
    expect(page.locator(".editor-save")).to_be_disabled()
    box.press("Escape")
    expect(page.locator(".editor")).to_have_count(0)
    expect(page.locator(".edit")).to_be_focused()
    assert prompts(page) == ["say one"]


def test_a_stopped_answer_is_continued_in_its_place(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = ask(page, LONG)
    wait_for_text(answer)
    stop(page, answer)
    before = text_of(answer)
    words = len(before.split())
    answer.locator(".continue").click()
    expect_status(answer, "in_progress")
    page.wait_for_function(
        "n => document.querySelector('.answer .text').innerText.split(/\\s+/).length > n + 5",
        arg=words,
    )
    stop(page, answer)
    expect(page.locator(".answer")).to_have_count(1)
    whole = text_of(answer)
    assert whole.startswith(before.strip())
    assert whole[len(before) :].split()[:2] == ["w0", "w1"]  # what the fake goes on with
    expect(answer.locator(".versions")).to_be_hidden()
    expect(answer.locator(".meta-text")).to_contain_text("Stopped")
    meta = answer.locator(".meta-text").inner_text()
    page.reload()
    assert text_of(answer) == whole
    expect(answer.locator(".meta-text")).to_have_text(meta)
    expect(answer.locator(".continue")).to_be_visible()


def test_a_continuation_withdrawn_in_the_queue_changes_nothing(open_fast: OpenPage) -> None:
    page, busy = open_fast(), open_fast()
    answer = ask(page, LONG)
    wait_for_text(answer)
    stop(page, answer)
    before = text_of(answer)
    running = ask(busy, LONG)
    wait_for_text(running)
    answer.locator(".continue").click()
    expect(page.locator("#queue-banner")).to_contain_text("You are next")
    withdraw(answer)
    stop(busy, running)
    assert text_of(answer) == before
    answer.locator(".continue").click()
    expect_status(answer, re.compile("in_progress|incomplete"))


def test_only_the_last_answer_can_be_continued(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = ask(page, LONG)
    wait_for_text(answer)
    stop(page, answer)
    expect(answer.locator(".continue")).to_be_visible()
    converse(page, "say next")
    expect(page.locator(".continue:visible")).to_have_count(0)


def test_a_prompt_that_failed_can_be_tried_again(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = ask(page, "fail 0")
    expect_status(answer, "failed")
    expect(answer.locator(".meta-text")).to_contain_text("The model failed")
    answer.locator(".retry").click()
    expect(page.locator(".turn")).to_have_count(1)
    expect_status(page.locator(".answer"), "failed")
    expect(page.locator(".version")).to_have_text("2 / 2")


def test_copying(open_fast: OpenPage) -> None:
    page = open_fast(permissions=["clipboard-read", "clipboard-write"])
    source = "A *word*\n\n```python\nx = 1\n\ny = 2\n```"
    converse(page, f"say {source}")

    def copied(selector: str) -> str:
        page.locator(selector).click()
        expect(page.locator("#status")).to_have_text("Copied")
        text: str = page.evaluate("navigator.clipboard.readText()")
        return text

    for _ in range(2):
        assert copied(".copy-answer") == source
        assert copied(".copy-code") == "x = 1\n\ny = 2\n"
        assert copied(".copy-prompt") == f"say {source}"
        page.reload()
        expect_connected(page)


def test_copying_without_the_clipboard_api(open_fast: OpenPage) -> None:
    """As on plain HTTP."""
    page = open_fast(permissions=["clipboard-read"])
    page.add_init_script("window.board = navigator.clipboard; delete Navigator.prototype.clipboard")
    page.reload()
    expect_connected(page)
    converse(page, "say one *two*")
    page.locator(".copy-answer").click()
    expect(page.locator("#status")).to_have_text("Copied")
    expect(page.locator(".copy-answer")).to_be_focused()
    assert page.evaluate("board.readText()") == "one *two*"


def test_a_rating_is_kept(open_fast: OpenPage) -> None:
    page = open_fast()
    converse(page, "say good")
    like, dislike = page.locator(".like"), page.locator(".dislike")

    def press(button: Locator) -> None:
        with page.expect_response("**/rating/") as response:
            button.click()
        assert response.value.status == 204

    press(like)
    page.reload()
    expect(like).to_have_attribute("aria-pressed", "true")
    press(dislike)
    expect(like).to_have_attribute("aria-pressed", "false")
    press(dislike)
    page.reload()
    expect(dislike).to_have_attribute("aria-pressed", "false")


def test_a_refused_edit_brings_back_what_was_there(open_fast: OpenPage) -> None:
    page = open_fast()
    converse(page, "say one", "say two")

    def full(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def to_server(message: str | bytes) -> None:
            event = json.loads(message)
            if event["type"] != "response.create":
                server.send(message)
                return
            ids = {name: event[name] for name in ("event_id", "response_id")}
            route.send(json.dumps({"type": "error", "code": "queue_full", "message": "", **ids}))

        route.on_message(to_server)

    page.route_web_socket("**/ws/chat/*", full)
    page.reload()
    expect_connected(page)
    edit(page, 0, "say eins")
    expect(page.locator("#notice")).to_contain_text("The queue is full")
    assert prompts(page) == ["say one", "say two"]
    expect(page.locator("#prompt")).to_have_value("say eins")
    turn(page, 1).locator(".regenerate").click()
    expect(turn(page, 1).locator(".version")).to_be_hidden()
    assert answers(page) == ["one", "two"]


def test_earlier_turns_come_on_demand(open_fast: OpenPage) -> None:
    page = open_fast()
    converse(page, *[f"say {number}" for number in range(23)])
    page.reload()
    expect(page.locator(".turn")).to_have_count(20)
    page.locator(".earlier button").click()
    expect(page.locator(".turn")).to_have_count(23)
    assert answers(page) == [str(number) for number in range(23)]
    expect(page.locator(".earlier")).to_have_count(0)
