"""Waiting, and coming back: two browsers at cap 1, reloads, lost networks, a second tab."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.e2e.page import (
    LONG,
    PATIENCE,
    OpenPage,
    answers,
    ask,
    expect_answered,
    expect_connected,
    expect_status,
    expect_waiting,
    prompts,
    stop,
    text_of,
    wait_for_text,
    watch,
    withdraw,
)
from tests.support.processes import ServeProcess

BANNER = "#queue-banner"


def occupy(open_fast: OpenPage) -> tuple[Page, Any]:
    """A page whose answer runs on the only place."""
    page = open_fast()
    answer = ask(page, LONG)
    wait_for_text(answer)
    return page, answer


def grows(page: Page) -> None:
    """The answer on the page goes on."""
    page.wait_for_function(
        """length => document.querySelector('.answer .text').textContent.length > length""",
        arg=len(page.locator(".answer .text").text_content() or "") + 10,
        timeout=PATIENCE,
    )


def test_two_browsers_at_one_place(open_fast: OpenPage) -> None:
    busy, running = occupy(open_fast)
    second, third = open_fast(), open_fast()
    answer = ask(second, "say hello")
    expect(second.locator(BANNER)).to_contain_text("You are next")
    expect(second.locator("#status")).to_have_text("You are next")
    later = ask(third, "say me too")
    expect(third.locator(BANNER)).to_contain_text("2nd of 2 in the queue · 1 prompt ahead")
    stop(busy, running)
    expect_status(answer, "completed")
    expect_status(later, "completed")
    assert (text_of(answer), text_of(later)) == ("hello", "me too")
    expect(second.locator(BANNER)).to_be_hidden()


def test_a_reload_keeps_the_place(open_fast: OpenPage) -> None:
    busy, running = occupy(open_fast)
    page, behind = open_fast(), open_fast()
    ask(page, "say hello")
    expect(page.locator(BANNER)).to_contain_text("You are next")
    ask(behind, "say behind")
    page.reload()
    expect(page.locator(BANNER)).to_contain_text("You are next")
    stop(busy, running)
    answer = page.locator(".answer")
    expect_status(answer, "completed")
    assert answers(page) == ["hello"]


def test_a_reload_amid_the_answer(open_fast: OpenPage) -> None:
    page, _ = occupy(open_fast)
    before = text_of(page.locator(".answer"))
    page.reload()
    answer = page.locator(".answer")
    expect(answer.locator(".text")).to_contain_text(before.strip(), timeout=PATIENCE)
    grows(page)
    stop(page, answer)
    words = text_of(answer).split()
    assert words == [f"w{number}" for number in range(len(words))]


def test_a_lost_network_comes_back(open_fast: OpenPage) -> None:
    page, answer = occupy(open_fast)
    page.evaluate(
        """() => {
            window.shrunk = false;
            let longest = 0;
            const text = document.querySelector('.answer .text');
            new MutationObserver(() => {
                const { length } = text.textContent;
                if (length < longest - 40) window.shrunk = true;
                longest = Math.max(longest, length);
            }).observe(text, { childList: true, subtree: true, characterData: true });
        }"""
    )
    page.context.set_offline(True)
    expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
    expect(page.locator("#notice")).to_contain_text("Connection lost")
    expect(answer.locator(".meta-text")).to_contain_text("Interrupted")
    expect(page.locator("#stop")).to_be_hidden()
    page.context.set_offline(False)
    expect_connected(page)
    expect(page.locator("#notice")).to_be_hidden()
    grows(page)
    stop(page, answer)
    words = text_of(answer).split()
    assert words == [f"w{number}" for number in range(len(words))]
    assert page.evaluate("window.shrunk") is False  # what was there stayed in sight


def test_what_is_sent_while_offline_is_asked_once(open_fast: OpenPage) -> None:
    page = open_fast()
    page.context.set_offline(True)
    expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
    first, second = ask(page, "say one"), ask(page, "say two")
    expect(page.locator(BANNER)).to_contain_text("Not sent yet")
    page.context.set_offline(False)
    expect_status(first, "completed")
    expect_status(second, "completed")
    page.reload()
    assert prompts(page) == ["say one", "say two"]
    assert answers(page) == ["one", "two"]


def test_a_reply_that_was_lost_makes_no_second_answer(open_fast: OpenPage) -> None:
    """The server has the prompt, the page never learned of it."""
    page = open_fast()
    swallow = [True]
    swallowed: list[str] = []

    def through(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def to_page(message: str | bytes) -> None:
            type_ = json.loads(message)["type"]
            if swallow[0] and type_ != "chatstream:session":
                swallowed.append(type_)
            else:
                route.send(message)

        server.on_message(to_page)
        routes.append(route)

    routes: list[WebSocketRoute] = []
    page.route_web_socket("**/ws/chat/*", through)
    page.reload()
    expect_connected(page)
    answer = ask(page, "say once")
    while "response.completed" not in swallowed:
        page.wait_for_timeout(50)
    swallow[0] = False
    routes[-1].close(code=1011)
    expect_status(answer, "completed")
    page.reload()
    assert answers(page) == ["once"]
    expect(page.locator(".versions")).to_be_hidden()


@pytest.mark.parametrize("wakes", ["sleep", "no reply", "pings", "looked at"])
def test_a_dead_connection_is_replaced(open_fast: OpenPage, wakes: str) -> None:
    """One that the browser takes for open, though nothing comes through any more."""
    page = open_fast()
    routes: list[WebSocketRoute] = []
    dead: list[WebSocketRoute] = []

    def through(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        route.on_message(lambda message: None if route in dead else server.send(message))
        server.on_message(lambda message: None if route in dead else route.send(message))
        routes.append(route)

    page.route_web_socket("**/ws/chat/*", through)
    page.clock.install()
    page.reload()
    expect_connected(page)
    dead.append(routes[0])
    answer = None
    if wakes == "no reply":
        answer = ask(page, "say hello")
        expect(page.locator(BANNER)).to_contain_text("Sending")
        page.clock.run_for(10_500)
    elif wakes == "sleep":
        page.clock.fast_forward(60_000)
    elif wakes == "pings":
        page.clock.run_for(27_000)
        assert len(routes) == 1
        page.clock.run_for(5_000)
    else:  # a page that was hidden, whose timers did not run
        now = page.evaluate("Date.now() / 1000")  # the clock counts in seconds
        page.clock.pause_at(now + 1)
        for silence in (30, 50):
            page.clock.set_system_time(now + silence)
            assert len(routes) == 1
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.clock.resume()
    expect_connected(page)
    assert len(routes) == 2
    expect_status(answer or ask(page, "say hello"), "completed")
    assert answers(page) == ["hello"]


def test_a_second_tab_shows_the_open_answer(open_fast: OpenPage) -> None:
    page, answer = occupy(open_fast)
    path = re.sub(r"^https?://[^/]+", "", page.url)
    tab = open_fast(like=page, path=path)
    wait_for_text(tab.locator(".answer"))
    tab.locator("#stop").click()
    expect_status(answer, "cancelled")
    expect_status(tab.locator(".answer"), "cancelled")
    assert answers(tab) == answers(page)


def test_a_tab_that_was_left_catches_up(open_fast: OpenPage) -> None:
    """One that hears nothing of the other, as on another machine."""
    page = open_fast()
    page.add_init_script("delete window.BroadcastChannel")
    page.reload()
    expect_connected(page)
    expect_status(ask(page, "say one"), "completed")
    path = re.sub(r"^https?://[^/]+", "", page.url)
    tab = open_fast(like=page, path=path)
    page.locator("#prompt").fill("a draft")
    expect_status(ask(tab, "say two"), "completed")
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(page.locator(".turn")).to_have_count(2)
    assert answers(page) == ["one", "two"]
    expect(page.locator("#prompt")).to_have_value("a draft")
    expect(page.locator("#status")).to_have_text("Newer messages were loaded.")


def test_a_waiting_prompt_is_edited(open_fast: OpenPage) -> None:
    page, running = occupy(open_fast)
    expect_waiting(ask(page, "say before"))
    turn = page.locator(".turn").nth(1)
    turn.locator(".edit").click()
    turn.locator(".editor-text").fill("say after")
    expect(turn.locator(".editor-save")).to_have_text("Save")
    turn.locator(".editor-save").click()
    expect(page.locator("#status")).to_have_text("Your prompt was changed.")
    expect(turn.locator(".edit")).to_be_focused()
    stop(page, running)
    expect_status(turn.locator(".answer"), "completed")
    page.reload()
    assert prompts(page)[1] == "say after"
    assert answers(page)[1] == "after"


def test_an_edit_that_comes_too_late_is_not_lost(open_fast: OpenPage) -> None:
    page, _ = occupy(open_fast)

    def slow(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def to_server(message: str | bytes) -> None:
            event = json.loads(message)
            if event["type"] == "chatstream:update":
                ids = {name: event[name] for name in ("event_id", "response_id")}
                error = {"type": "error", "code": "already_started", "message": "", **ids}
                route.send(json.dumps(error))
            else:
                server.send(message)

        route.on_message(to_server)

    page.route_web_socket("**/ws/chat/*", slow)
    page.reload()
    expect_connected(page)
    expect_waiting(ask(page, "say before"))
    turn = page.locator(".turn").nth(1)
    turn.locator(".edit").click()
    turn.locator(".editor-text").fill("say after")
    turn.locator(".editor-save").click()
    expect(page.locator("#prompt")).to_have_value("say after")
    expect(page.locator("#notice")).to_contain_text("The answer began before your change")
    assert prompts(page)[1] == "say before"


def test_a_waiting_prompt_is_withdrawn_and_asked_again(open_fast: OpenPage) -> None:
    busy, running = occupy(open_fast)
    page = open_fast()
    answer = ask(page, "say hello")
    expect(page.locator(BANNER)).to_contain_text("You are next")
    withdraw(answer)
    expect(answer.locator(".meta-text")).to_have_text("Withdrawn before it started")
    expect(page.locator("#prompt")).to_be_focused()
    answer.locator(".retry").click()
    expect(page.locator(BANNER)).to_contain_text("You are next")
    stop(busy, running)
    expect_answered(page.locator(".answer"))


@pytest.mark.parametrize(
    ("service", "position", "words"),
    [
        ("away", 1, "No worker is running; your prompt waits"),
        ("loading", 1, "The model is loading · You are next"),
        ("draining", 1, "No new answers are begun right now; your prompt waits · You are next"),
        ("paused", 3, "The queue is paused · 3rd of 5 in the queue · 2 prompts ahead"),
        ("ready", None, "Waits for your previous answer"),
        ("ready", 1212, "1,212th of 1,212 in the queue · 1,211 prompts ahead"),
    ],
)
def test_the_banner_says_what_is_the_matter(
    browser: Browser, fast_server: ServeProcess, service: str, position: int | None, words: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    complaints: list[str] = []
    watch(page, complaints)

    def server(route: WebSocketRoute) -> None:
        def answer(message: str | bytes) -> None:
            event = json.loads(message)
            workers = int(service != "draining")  # such a one is none that prompts wait for
            place = {"position": position, "size": 5, "workers": workers, "eta_seconds": None}
            ids = {"response_id": event["response_id"], "conversation_id": event["response_id"]}
            queued = {"type": "response.queued", **ids, **place, "service": service}
            route.send(json.dumps(queued))

        route.on_message(answer)
        limits = {"max_input_chars": 1000, "max_tokens": 10, "context_tokens": 100}
        greeting = {"type": "chatstream:session", "model": "m", "limits": limits}
        route.send(json.dumps(greeting))

    page.route_web_socket("**/ws/chat/*", server)
    page.goto(fast_server.url)
    expect_connected(page)
    ask(page, "hello")
    expect(page.locator(".banner-text")).to_have_text(words)
    assert complaints == []
    context.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (4429, "Too many of your windows are open"),
        (4503, "The service is not available"),
        (1011, "Connection lost"),
        (4401, "Please sign in"),
    ],
)
def test_a_closed_socket_says_why(
    browser: Browser, fast_server: ServeProcess, code: int, words: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route_web_socket("**/ws/chat/*", lambda route: route.close(code=code))
    page.goto(fast_server.url)
    expect(page.locator("#notice")).to_contain_text(words)
    if code == 4401:
        expect(page.locator("#notice .notice-link")).to_have_text("Sign in")
    context.close()


def test_a_deleted_conversation_says_so(open_fast: OpenPage, fast_server: ServeProcess) -> None:
    page = open_fast()
    expect_status(ask(page, "say one"), "completed")
    fast_server.manage(
        "shell",
        "-c",
        "from streaming.models import Conversation; Conversation.objects.all().delete()",
    )
    page.locator("#prompt").fill("say two")
    page.locator("#prompt").press("Enter")
    expect(page.locator("#notice")).to_contain_text("does not exist any more")
    expect(page.locator("#notice .notice-link")).to_have_text("New chat")
    expect(page.locator("#prompt")).to_have_value("say two")
