"""The chat page in a real Chromium, on a real server with the real model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.e2e import wire
from tests.e2e.page import (
    LONG,
    PATIENCE,
    OpenPage,
    ask,
    expect_answered,
    expect_connected,
    expect_status,
    pages,
    stop,
    stop_if_running,
    wait_for_text,
    withdraw,
)
from tests.support.processes import ServeProcess

SCRIPT = """<script>document.title = "owned"</script><img src=x onerror="document.title='owned'">"""


@pytest.fixture
def open_page(browser: Browser, server: ServeProcess) -> Iterator[OpenPage]:
    """Opens the page as a new visitor; at the end no page may have complained.

    `exact`: its prompts are answered greedily and, but for the long story, briefly; this is put
    in on the way, as nobody's settings should be.
    """
    with pages(browser, server.url) as open_any:

        def open_page(*, exact: bool = False, **options: Any) -> Page:
            page = open_any(**options)
            if exact:
                page.route_web_socket("**/ws/chat/*", ask_exactly)
                page.reload()
                expect_connected(page)
            return page

        yield open_page


def ask_exactly(route: WebSocketRoute) -> None:
    server = route.connect_to_server()

    def to_server(message: str | bytes) -> None:
        event = json.loads(message)
        if event["type"] == "response.create":
            short = {} if event.get("input") == LONG else {"max_tokens": 40}
            event["params"] = {**event["params"], "temperature": 0, **short}
        server.send(json.dumps(event))

    route.on_message(to_server)


def test_answers_a_question(open_page: OpenPage) -> None:
    page = open_page(exact=True)
    answer = ask(page, "What is the capital of France?")
    expect_status(answer, "completed")
    expect(answer.locator(".text")).to_contain_text("Paris")
    expect(answer.locator(".meta")).to_have_text(re.compile(r"\d+ tokens · [\d.]+ s"))
    expect(page.locator("#prompt")).to_be_focused()
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator("#queue-banner")).to_be_hidden()
    expect(page.locator("#model")).not_to_be_empty()


def test_stop_keeps_the_text_and_the_next_prompt_works(open_page: OpenPage) -> None:
    page = open_page(exact=True)
    stopped = ask(page, LONG)
    wait_for_text(stopped)
    stop(page, stopped)
    expect(stopped.locator(".text")).not_to_be_empty()
    expect(stopped.locator(".meta")).to_contain_text("Stopped")
    answer = ask(page, "What is the capital of France?")
    expect_answered(answer)
    expect(answer.locator(".text")).not_to_be_empty()


def test_a_second_prompt_waits_for_the_first_answer(open_page: OpenPage) -> None:
    page = open_page(exact=True)
    first = ask(page, LONG)
    wait_for_text(first)
    second = ask(page, "What is the capital of France?")
    expect(page.locator("#queue-banner")).to_contain_text("Waits for your previous answer")
    expect(page.locator("#status")).to_have_text("Waits for your previous answer")
    expect(second).to_have_attribute("data-status", "queued")
    stop(page, first)
    expect_answered(second)
    expect(page.locator("#queue-banner")).to_be_hidden()


def test_a_waiting_prompt_can_be_withdrawn(open_page: OpenPage) -> None:
    page = open_page()
    first = ask(page, LONG)
    wait_for_text(first)
    second, third = ask(page, "Two?"), ask(page, "Three?")
    withdraw(third)
    withdraw(second)
    expect(second.locator(".meta")).to_contain_text("Withdrawn")
    expect(first).to_have_attribute("data-status", "in_progress")
    stop(page, first)


def test_prompts_sent_before_the_conversation_has_an_id_share_one(open_page: OpenPage) -> None:
    page = open_page()
    first, second = ask(page, LONG), ask(page, "Two?")
    wait_for_text(first)
    expect(page.locator("#queue-banner")).to_contain_text("Waits for your previous answer")
    withdraw(second)
    stop(page, first)
    page.reload()
    expect(page.locator(".answer")).to_have_count(2)


def test_the_place_in_the_queue_counts_down(open_page: OpenPage) -> None:
    busy = [open_page() for _ in range(2)]  # the server runs two at once
    running = [ask(page, LONG) for page in busy]
    for answer in running:
        wait_for_text(answer)
    waiting = [open_page(exact=True) for _ in range(2)]
    first = ask(waiting[0], "What is the capital of France?")
    expect(waiting[0].locator("#queue-banner")).to_contain_text("You are next")
    second = ask(waiting[1], "What is the capital of Italy?")
    expect(waiting[1].locator("#queue-banner")).to_contain_text("2nd of 2 in the queue")
    stop(busy[0], running[0])
    expect_answered(first)
    expect_answered(second)
    stop(busy[1], running[1])


def test_a_conversation_is_there_after_a_reload(open_page: OpenPage) -> None:
    page = open_page(exact=True)
    answer = ask(page, "What is the capital of France?")
    expect_status(answer, "completed")
    expect(page).to_have_url(re.compile(r"/c/[0-9a-f-]{36}/$"))
    text, meta = answer.locator(".text").text_content(), answer.locator(".meta-text").text_content()
    page.reload()
    expect(page.locator(".bubble")).to_have_text("What is the capital of France?")
    stored = page.locator(".answer")
    expect(stored).to_have_attribute("data-status", "completed")
    assert stored.locator(".text").text_content() == text
    assert stored.locator(".meta-text").text_content() == meta
    expect_answered(ask(page, "And of Italy?"))
    page.locator(".side-new").click()
    expect(page.locator(".answer")).to_have_count(0)


def test_an_open_answer_goes_on_after_a_reload(open_page: OpenPage) -> None:
    page = open_page()
    answer = ask(page, LONG)
    wait_for_text(answer)
    response_id = answer.get_attribute("data-response-id")
    before = answer.locator(".text").text_content() or ""
    page.reload()
    again = page.locator(".answer")
    expect(again).to_have_attribute("data-response-id", response_id or "")
    expect(again.locator(".text")).to_contain_text(before.strip(), timeout=PATIENCE)
    stop(page, again)


def test_a_lost_connection_comes_back_and_the_answer_goes_on(
    browser: Browser, server: ServeProcess
) -> None:
    context = browser.new_context()
    page = context.new_page()
    routes: list[WebSocketRoute] = []

    def through(route: WebSocketRoute) -> None:
        routes.append(route)
        route.connect_to_server()

    page.route_web_socket("**/ws/chat/*", through)
    page.goto(server.url)
    answer = ask(page, LONG)
    wait_for_text(answer)
    watch_states(page)
    routes[-1].close(code=1011)
    page.wait_for_function("() => window.states.includes('lost')")
    expect(page.locator("#connection")).to_have_attribute("data-state", "open", timeout=PATIENCE)
    length = len(answer.locator(".text").text_content() or "")
    page.wait_for_function(
        "length => document.querySelector('.answer .text').textContent.length > length",
        arg=length,
        timeout=PATIENCE,
    )
    stop(page, answer)
    shown = answer.locator(".text").text_content()
    page.reload()
    assert page.locator(".answer .text").text_content() == shown
    assert len(routes) >= 2
    context.close()


def test_markup_is_shown_as_text(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, SCRIPT)
    expect(page.locator(".bubble")).to_have_text(SCRIPT)
    answer = page.locator(".answer")
    wait_for_text(answer)
    stop_if_running(page)
    expect(answer).not_to_have_attribute("data-open", "", timeout=PATIENCE)
    page.reload()
    expect(page.locator(".bubble")).to_have_text(SCRIPT)
    assert page.locator(".thread img, .thread script").count() == 0
    assert "owned" not in page.title().replace(SCRIPT[:80], "")


def test_markup_in_an_answer_is_shown_as_text(browser: Browser, server: ServeProcess) -> None:
    """With a scripted server: what a model writes cannot be chosen."""
    context = browser.new_context()
    page = context.new_page()
    page.route_web_socket("**/ws/chat/*", scripted_server)
    page.goto(server.url)
    answer = ask(page, "Write some markup.")
    expect_status(answer, "completed")
    expect(answer.locator(".text")).to_have_text(SCRIPT)
    assert page.locator(".thread img, .thread script").count() == 0
    assert page.title() == "Write some markup. · ChatStream"
    expect(page.locator(".note")).to_contain_text("The oldest 2 messages no longer fit")
    context.close()


def test_a_full_queue_keeps_the_prompt(browser: Browser, server: ServeProcess) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route_web_socket("**/ws/chat/*", full_server)
    page.goto(server.url)
    page.locator("#prompt").fill("Is there room?")
    page.locator("#prompt").press("Enter")
    expect(page.locator("#notice")).to_have_text(re.compile("The queue is full. Try again"))
    expect(page.locator("#prompt")).to_have_value("Is there room?")
    expect(page.locator(".turn")).to_have_count(0)
    context.close()


def test_enter_sends_and_shift_enter_and_a_composing_enter_do_not(open_page: OpenPage) -> None:
    page = open_page()
    box = page.locator("#prompt")
    expect(page.locator("#send")).to_be_disabled()
    box.press("Enter")
    box.press_sequentially("one")
    box.press("Shift+Enter")
    box.press_sequentially("two")
    box.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True})
    expect(box).to_have_value("one\ntwo")
    expect(page.locator(".turn")).to_have_count(0)


def test_too_long_a_prompt_is_counted_and_not_sent(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#prompt").fill("𝔘" * 32_001)  # two UTF-16 units each, one code point
    expect(page.locator("#counter")).to_have_text("1 character too many")
    expect(page.locator("#send")).to_be_disabled()
    page.locator("#prompt").fill("𝔘" * 32_000)
    expect(page.locator("#counter")).to_have_text("0 left")
    expect(page.locator("#send")).to_be_enabled()


def test_works_by_keyboard_alone(open_page: OpenPage) -> None:
    page = open_page()
    page.keyboard.type(LONG)
    page.keyboard.press("Enter")
    answer = page.locator(".answer")
    wait_for_text(answer)
    page.keyboard.press("Tab")
    expect(page.locator("#stop")).to_be_focused()
    page.keyboard.press("Enter")
    expect_status(answer, "cancelled")
    expect(page.locator("#prompt")).to_be_focused()


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_nothing_scrolls_sideways(open_page: OpenPage, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 740})
    answer = ask(page, "W" * 300 + " https://example.com/" + "a" * 300)
    wait_for_text(answer)
    for selector in ("html", "#scroller"):
        wide = page.locator(selector).evaluate("e => e.scrollWidth - e.clientWidth")
        assert wide <= 0, f"{selector} is {wide} px too wide"
    stop_if_running(page)


def test_the_reader_is_not_scrolled_away(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 360, "height": 480})
    answer = ask(page, "One line\n" * 40 + LONG)
    wait_for_text(answer)
    scroller = page.locator("#scroller")
    bottom = "e => e.scrollHeight - e.scrollTop - e.clientHeight"
    assert scroller.evaluate(bottom) < 64
    scroller.evaluate("e => { e.scrollTop = 0 }")
    length = len(answer.locator(".text").text_content() or "")
    page.wait_for_function(
        "length => document.querySelector('.answer .text').textContent.length > length + 40",
        arg=length,
        timeout=PATIENCE,
    )
    assert scroller.evaluate("e => e.scrollTop") == 0
    page.locator("#latest").click()
    assert scroller.evaluate(bottom) < 64


def test_another_visitor_does_not_find_the_conversation(
    open_page: OpenPage, browser: Browser
) -> None:
    page = open_page()
    answer = ask(page, LONG)
    wait_for_text(answer)
    stop(page, answer)
    stranger = browser.new_context()
    response = stranger.request.get(page.url)
    assert response.status == 404
    assert page.context.request.get(page.url).status == 200
    stranger.close()


# --- servers made of a script ---


def greet(route: WebSocketRoute) -> None:
    limits = {"max_input_chars": 1000, "max_tokens": 10, "context_tokens": 100}
    tell(route, "chatstream:session", protocol_version=2, model="scripted", limits=limits)


def tell(route: WebSocketRoute, type_: str, **fields: Any) -> None:
    route.send(json.dumps({"type": type_, **fields}))


def full_server(route: WebSocketRoute) -> None:
    def answer(message: str | bytes) -> None:
        event = json.loads(message)
        tell(
            route,
            "error",
            code="queue_full",
            message="full",
            event_id=event["event_id"],
            response_id=event["response_id"],
        )

    route.on_message(answer)
    greet(route)


def scripted_server(route: WebSocketRoute) -> None:
    """Writes markup, and every event twice."""

    def answer(message: str | bytes) -> None:
        response_id = json.loads(message)["response_id"]
        conversation_id = "11111111-1111-4111-8111-111111111111"
        tell(
            route,
            "response.queued",
            response_id=response_id,
            conversation_id=conversation_id,
            position=1,
            size=1,
            workers=1,
        )
        half = len(SCRIPT) // 2
        numbered: list[tuple[str, dict[str, Any]]] = [
            ("response.in_progress", wire.begun(trimmed_messages=2)),
            ("response.output_text.delta", {"delta": SCRIPT[:half], "chatstream": {"offset": 0}}),
            (
                "response.output_text.delta",
                {"delta": SCRIPT[half:], "chatstream": {"offset": half}},
            ),
            wire.ended(text=SCRIPT),
        ]
        for number, (type_, fields) in enumerate(numbered, 1):
            for _ in range(2):
                tell(route, type_, response_id=response_id, sequence_number=number, **fields)

    route.on_message(answer)
    greet(route)


def watch_states(page: Page) -> None:
    """Collect the connection's states in `window.states`."""
    page.evaluate(
        """() => {
            const element = document.getElementById("connection");
            window.states = [];
            new MutationObserver(() => window.states.push(element.dataset.state))
                .observe(element, { attributes: true });
        }"""
    )
