"""The wait: its card, its progress, what is said to who looks elsewhere, or has not asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect

from tests.e2e import wire
from tests.e2e.page import LONG, OpenPage, ask, expect_connected, expect_status, stop, wait_for_text
from tests.e2e.page import watch as watch_console
from tests.e2e.scripted import GREETING
from tests.e2e.test_every_page import SCREENS, faults
from tests.support.processes import ServeProcess

BANNER = "#queue-banner"
FREE = {"waiting": 0, "running": 0, "capacity": 1, "eta_seconds": 0}
BUSY = {
    "waiting": 3,
    "running": 1,
    "capacity": 1,
    "eta_seconds": 100,
    "eta_low_seconds": 70,
    "eta_high_seconds": 130,
}

RISEN = """() => Promise.all(document.getAnimations()
    .filter((each) => each.effect.getComputedTiming().iterations !== Infinity)
    .map((each) => each.finished.catch(() => null)))"""

HIDDEN = """() => {
    let isHidden = false;
    Object.defineProperty(document, "hidden", { get: () => isHidden });
    window.look = (away) => {
        isHidden = away;
        document.dispatchEvent(new Event("visibilitychange"));
    };
    window.states = [];
    document.addEventListener("conversation-state", ({ detail }) => states.push(detail.state));
    window.notified = [];
    window.Notification = class extends EventTarget {
        static permission = "default";
        static async requestPermission() {
            return (window.Notification.permission = window.answerOfThePerson ?? "granted");
        }
        constructor(title, { body }) {
            super();
            window.notified.push([title, body]);
        }
        close() {}
    };
}"""


class Queue:
    """A server that accepts every prompt and says of its place what the test says."""

    def __init__(self, page: Page, load: dict[str, Any] | None = None) -> None:
        self.received: list[dict[str, Any]] = []
        self.sockets: list[WebSocketRoute] = []
        self.greeting = GREETING | {"load": load or FREE}
        self.first: dict[str, Any] = {}
        self.ids: list[str] = []
        self.is_away = False
        self._number = 0
        # What the real server does not have.
        page.route("**/newest/", lambda route: route.fulfill(json={"newest": None}))
        page.route_web_socket(re.compile("/ws/chat/"), self._opened)

    def place(self, position: int | None, size: int = 12, **fields: Any) -> None:
        """Tell a place, with a range of 2 to 3 minutes unless `fields` say another."""
        place = {"position": position, "size": size, "workers": 1, "service": "ready"}
        eta = {"eta_seconds": 150, "eta_low_seconds": 115, "eta_high_seconds": 185}
        self.say("chatstream:queue_position", **place | eta | fields)

    def begin(self) -> None:
        self._say_numbered("response.in_progress", **wire.begun())

    def end(self, status: str = "completed", text: str = "Done.") -> None:
        type_, fields = wire.ended(status, text, tokens=len(text), total_ms=1)
        self._say_numbered(type_, **fields)

    def say(self, type_: str, **fields: Any) -> None:
        event = {"type": type_, "response_id": self.ids[-1], **fields}
        self.sockets[-1].send(json.dumps(event))

    def say_load(self, load: dict[str, Any], service: str = "ready") -> None:
        event = {"type": "chatstream:load", "service": service, "load": load}
        self.sockets[-1].send(json.dumps(event))

    def heard(self, page: Page, type_: str) -> dict[str, Any]:
        """The last event of a type, once there is one."""
        while not (found := [event for event in self.received if event["type"] == type_]):
            page.wait_for_timeout(20)
        return found[-1]

    def _say_numbered(self, type_: str, **fields: Any) -> None:
        self._number += 1
        self.say(type_, sequence_number=self._number, **fields)

    def _opened(self, socket: WebSocketRoute) -> None:
        if self.is_away:
            socket.close(code=1011)
            return
        self.sockets.append(socket)
        socket.on_message(self._heard)
        socket.send(json.dumps(self.greeting))

    def _heard(self, message: str | bytes) -> None:
        event = json.loads(message)
        self.received.append(event)
        if event["type"] in ("response.create", "chatstream:resume"):
            self.ids.append(event["response_id"])
            place = {"position": 7, "size": 12, "workers": 1, "service": "ready"}
            eta = {"eta_seconds": 150, "eta_low_seconds": 115, "eta_high_seconds": 185}
            conversation = event.get("conversation_id") or str(uuid4())
            kept = {"conversation_id": conversation, "kept_seconds": 60}
            self.say("response.queued", **kept | place | eta | self.first)
        elif event["type"] == "chatstream:update":
            self.say("chatstream:updated", input=event["input"])
        elif event["type"] == "response.cancel":
            self.end("cancelled", "")


OpenQueue = Callable[..., tuple[Page, Queue]]


@pytest.fixture
def open_queue(browser: Browser, fast_server: ServeProcess) -> Iterator[OpenQueue]:
    """Opens pages of such servers; no page may have complained."""
    complaints: list[str] = []
    contexts = []

    def open_page(load: dict[str, Any] | None = None, **options: Any) -> tuple[Page, Queue]:
        context = browser.new_context(**options)
        contexts.append(context)
        context.add_init_script(f"({HIDDEN})()")
        page = context.new_page()
        watch_console(page, complaints)
        queue = Queue(page, load)
        page.goto(fast_server.url)
        expect_connected(page)
        return page, queue

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def card(page: Page) -> Locator:
    return page.locator(".wait-card")


def way(page: Page) -> float:
    return float(page.locator(".wait-way").evaluate("bar => bar.value"))


def test_the_card_says_where_and_how_long(open_queue: OpenQueue) -> None:
    page, queue = open_queue()
    answer = ask(page, "hello")
    shown = card(page)
    expect(shown).to_be_visible()
    expect(answer.locator(".wait-card")).to_have_count(1)  # in the answer's place
    expect(answer).to_have_attribute("data-state", "queued")
    expect(shown.locator(".wait-number")).to_have_text("7")
    expect(shown.locator(".wait-size")).to_have_text("of 12 in the queue")
    expect(shown.locator(".wait-ahead")).to_have_text("6 prompts ahead")
    expect(shown.locator(".wait-eta")).to_have_text("about 2 to 3 min")
    kept = "You can close this tab: your place is kept for 1 min."
    expect(shown.locator(".wait-kept")).to_have_text(kept)
    # Each state is said once.
    expect(page.locator(BANNER)).to_be_hidden()
    expect(answer.locator(".wait")).to_be_hidden()
    queue.place(1, 3, eta_seconds=35, eta_low_seconds=27, eta_high_seconds=47)
    expect(shown.locator(".wait-ahead")).to_have_text("You are next")
    expect(shown.locator(".wait-eta")).to_have_text("about 25 to 45 s")
    expect(page.locator("#status")).to_have_text("You are next")
    queue.begin()
    expect_status(answer, "in_progress")
    expect(shown).to_have_count(0)
    expect(answer).to_have_attribute("data-state", "running")
    queue.end()
    expect(answer).to_have_attribute("data-state", "ended")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"eta_seconds": 170, "eta_low_seconds": None, "eta_high_seconds": None}, "about 3 min"),
        (
            {"eta_seconds": 40, "eta_low_seconds": 27, "eta_high_seconds": 140},
            "about 25 s to 2 min",
        ),
        ({"eta_seconds": 1, "eta_low_seconds": 0, "eta_high_seconds": 2}, "any moment now"),
        ({"eta_seconds": 32, "eta_low_seconds": 32, "eta_high_seconds": 32}, "about 30 s"),
    ],
)
def test_a_range_in_words(open_queue: OpenQueue, told: dict[str, Any], said: str) -> None:
    page, queue = open_queue()
    queue.first = told
    ask(page, "hello")
    expect(page.locator(".wait-eta")).to_have_text(said)


def test_where_nobody_knows_nothing_is_said(open_queue: OpenQueue) -> None:
    page, queue = open_queue()
    unknown = dict.fromkeys(("eta_seconds", "eta_low_seconds", "eta_high_seconds"))
    queue.first = {**unknown, "kept_seconds": 2}
    ask(page, "hello")
    expect(page.locator(".wait-number")).to_have_text("7")
    expect(page.locator(".wait-eta")).to_be_hidden()
    expect(page.locator(".wait-kept")).to_contain_text("Keep this tab open")


def test_who_is_signed_in_keeps_the_place(open_queue: OpenQueue) -> None:
    page, queue = open_queue()
    queue.first = {"kept_seconds": None}
    ask(page, "hello")
    kept = "You can close this tab: your place is kept as long as you are signed in."
    expect(page.locator(".wait-kept")).to_have_text(kept)
    queue.place(1, 3)  # which says nothing of it
    expect(page.locator(".wait-ahead")).to_have_text("You are next")
    expect(page.locator(".wait-kept")).to_have_text(kept)


def test_the_progress_never_goes_backward(open_queue: OpenQueue) -> None:
    page, queue = open_queue()
    ask(page, "hello")
    expect(card(page)).to_be_visible()
    queue.place(4)
    expect(page.locator(".wait-number")).to_have_text("4")
    reached = way(page)
    assert 3 / 7 <= reached < 4 / 7
    queue.place(9, 14)  # an operator has put others before it
    expect(page.locator(".wait-number")).to_have_text("9")
    assert way(page) >= reached


def test_the_progress_outlives_a_reload(open_fast: OpenPage) -> None:
    busy, page = open_fast(), open_fast()
    running = ask(busy, LONG)
    wait_for_text(running)
    ask(page, "say hello")
    expect(card(page)).to_be_visible()
    expect(card(page).locator(".wait-ahead")).to_have_text("You are next")
    answer = page.locator(".answer")
    id_ = answer.get_attribute("data-response-id")
    kept = json.dumps({"id": id_, "begun": 4, "reached": 0.75})
    page.evaluate("kept => sessionStorage.setItem('chatstream.way', kept)", kept)
    page.reload()
    expect(card(page)).to_be_visible()
    assert way(page) >= 0.75
    stop(busy, running)
    expect_status(answer, "completed")


def test_it_is_withdrawn_from_the_card_by_keyboard(open_queue: OpenQueue) -> None:
    page, _ = open_queue()
    answer = ask(page, "hello")
    expect(card(page)).to_be_visible()
    page.locator("#prompt").focus()
    for _ in range(12):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.classList.contains('wait-withdraw')"):
            break
    expect(page.locator(".wait-withdraw")).to_be_focused()
    page.keyboard.press("Enter")
    expect_status(answer, "cancelled")
    expect(answer.locator(".meta-text")).to_have_text("Withdrawn before it started")
    expect(page.locator("#prompt")).to_be_focused()


def test_it_is_edited_from_the_card(open_queue: OpenQueue) -> None:
    page, queue = open_queue()
    ask(page, "helo")
    page.locator(".wait-edit").click()
    page.locator(".editor-text").fill("hello")
    page.locator(".editor-save").click()
    assert queue.heard(page, "chatstream:update")["input"] == "hello"
    expect(page.locator("#status")).to_have_text("Your prompt was changed.")
    expect(page.locator(".bubble")).to_have_text("hello")
    expect(card(page)).to_be_visible()


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("away", "No worker is running; your prompt waits"),
        ("loading", "The model is loading"),
        ("draining", "No new answers are begun right now; your prompt waits"),
        ("paused", "The queue is paused"),
    ],
)
def test_trouble_is_one_calm_sentence(open_queue: OpenQueue, service: str, said: str) -> None:
    page, queue = open_queue()
    queue.first = {"service": service, "workers": int(service != "away")}
    ask(page, "hello")
    expect(page.locator(".wait-trouble")).to_have_text(said)
    expect(page.locator(".wait-eta")).to_be_hidden()
    expect(page.locator(".wait-number")).to_have_text("7")
    expect(page.locator(BANNER)).to_be_hidden()


def test_a_lost_connection_keeps_the_card_calm(open_queue: OpenQueue) -> None:
    page, queue = open_queue()
    answer = ask(page, "hello")
    expect(card(page)).to_be_visible()
    queue.is_away = True
    queue.sockets[-1].close(code=1011)
    expect(answer).to_have_attribute("data-state", "resuming")
    said = "The page is connecting again; your prompt keeps its place"
    expect(page.locator(".wait-trouble")).to_have_text(said)
    expect(page.locator(".wait-eta")).to_be_hidden()
    expect(page.locator(".wait-withdraw")).to_be_disabled()
    queue.is_away = False
    expect(answer).to_have_attribute("data-state", "queued")
    expect(page.locator(".wait-trouble")).to_be_hidden()


def test_the_banner_speaks_for_a_card_out_of_sight(open_queue: OpenQueue) -> None:
    page, queue = open_queue(viewport={"width": 900, "height": 420})
    for _ in range(4):
        queue.first = {"position": None}
        ask(page, "a line\n" * 12)
        queue.begin()
        queue.end(text="word " * 400)
    queue.first = {}
    answer = ask(page, "hello")
    expect(card(page).locator(".wait-edit")).to_be_in_viewport(ratio=1)
    expect(page.locator(BANNER)).to_be_hidden()
    page.locator("#scroller").evaluate("box => box.scrollTo(0, 0)")
    expect(page.locator(BANNER)).to_be_visible()
    said = "7th of 12 in the queue · 6 prompts ahead · about 2 to 3 min"
    expect(page.locator(".banner-text")).to_have_text(said)
    page.locator("#withdraw").click()
    expect_status(answer, "cancelled")
    expect(page.locator(BANNER)).to_be_hidden()


def test_who_looks_elsewhere_is_called(open_queue: OpenQueue) -> None:
    page, queue = open_queue()
    ask(page, "hello")
    tell = page.locator(".wait-tell")
    expect(tell).to_have_attribute("aria-pressed", "false")
    tell.click()
    expect(tell).to_have_attribute("aria-pressed", "true")
    icon = page.locator("link[rel=icon]")
    quiet = icon.get_attribute("href")
    title = page.title()
    page.evaluate("look(true)")
    queue.begin()
    expect(page).to_have_title(f"(1) {title}")
    assert icon.get_attribute("href") != quiet
    assert page.request.get(page.url.split("/c/")[0] + (icon.get_attribute("href") or "")).ok
    queue.end()
    expect(page).to_have_title(f"Your answer is ready · {title}")
    assert page.evaluate("notified") == [
        ["Your answer begins", ""],
        ["Your answer is ready", "The answer is complete."],  # no word of it
    ]
    page.evaluate("look(false)")
    expect(page).to_have_title(title)
    assert icon.get_attribute("href") == quiet
    assert page.evaluate("states") == ["waiting", "running", "ready", ""]


def test_who_looks_or_has_not_asked_is_not_notified(open_queue: OpenQueue) -> None:
    page, queue = open_queue()
    ask(page, "hello")
    expect(card(page)).to_be_visible()
    queue.begin()
    queue.end()
    expect(page.locator(".answer")).to_have_attribute("data-state", "ended")
    ask(page, "again")
    expect(card(page)).to_be_visible()
    page.evaluate("look(true)")
    queue.begin()
    queue.end()
    expect(page).to_have_title(re.compile("^Your answer is ready"))
    assert page.evaluate("notified") == []


def test_a_browser_that_does_not_allow_it(open_queue: OpenQueue) -> None:
    page, _ = open_queue()
    page.evaluate("window.answerOfThePerson = 'denied'")
    ask(page, "hello")
    page.locator(".wait-tell").click()
    expect(page.locator("#notice")).to_contain_text("does not allow notifications")
    expect(page.locator(".wait-tell")).to_have_attribute("aria-pressed", "false")


def test_before_asking_the_load_is_told(open_queue: OpenQueue) -> None:
    page, queue = open_queue(BUSY)
    line = page.locator("#queue-load")
    expect(line).to_have_text("3 wait now · a new prompt waits about 70 s to 2 min")
    queue.say_load(FREE)
    expect(line).to_be_hidden()
    queue.say_load({**BUSY, "waiting": 1, "eta_seconds": None})
    expect(line).to_have_text("1 waits now")
    queue.say_load({**BUSY, "waiting": 2}, "paused")
    expect(line).to_have_text("The queue is paused · 2 wait now")
    ask(page, "hello")
    expect(line).to_be_hidden()  # the card says it


def test_the_load_of_a_real_queue(open_fast: OpenPage) -> None:
    busy = open_fast()
    running = ask(busy, LONG)
    wait_for_text(running)
    page = open_fast()
    expect(page.locator("#queue-load")).to_contain_text("All places are taken")
    stop(busy, running)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_in_japanese(open_queue: OpenQueue, scheme: str) -> None:
    page, _ = open_queue(
        BUSY,
        viewport={"width": 360, "height": 740},
        locale="ja",
        has_touch=True,
        color_scheme=scheme,
    )
    expect(page.locator("#queue-load")).to_have_text(
        "現在3件が順番待ち · 新しい質問は約70秒～2分待ち"
    )
    ask(page, "こんにちは")
    expect(card(page).locator(".wait-ahead")).to_have_text("前に6件")
    expect(card(page).locator(".wait-eta")).to_have_text("約2～3分")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360
    box = page.locator(".wait-withdraw").bounding_box()
    assert box is not None
    assert box["height"] >= 32


@pytest.mark.parametrize("screen", SCREENS)
def test_everybody_can_use_the_card(open_queue: OpenQueue, screen: str) -> None:
    page, queue = open_queue(BUSY, **SCREENS[screen])
    found = faults(page, "before asking")
    ask(page, "hello")
    expect(card(page)).to_be_visible()
    queue.place(1, service="paused")
    expect(page.locator(".wait-trouble")).to_be_visible()
    page.evaluate(RISEN)  # a card that still fades in has other colours
    assert found + faults(page, "waiting") == []
