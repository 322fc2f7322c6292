"""The side list of conversations in a real Chromium, by mouse, by keyboard and on a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.page import ask
from tests.e2e.visitors import (
    ENDLESS,
    Visitors,
    ask_and_read,
    bytes_moved,
    serving_fast,
    visiting,
)
from tests.support.processes import ServeProcess

PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}

FOCUSED_IN = """() => {
    const element = document.activeElement;
    if (element === document.body) return "";
    return element.closest("#side") ? "side" : "page";
}"""

SEED = """
from datetime import timedelta
from django.utils import timezone
from streaming.models import Conversation, Message
owner = Conversation.objects.order_by("-created_at").values_list("owner", flat=True).first()
for number in range({count}):
    row = Conversation.objects.create(owner=owner, title=f"Number {{number}}")
    Message.objects.create(conversation=row, role="user", content=f"text of {{number}} apples")
    moment = timezone.now() - timedelta(hours=10 * (number + 1))
    Conversation.objects.filter(pk=row.pk).update(updated_at=moment)
"""


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(tmp_path_factory.mktemp("side"))


@pytest.fixture
def visitors(browser: Browser, fast: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, fast)


def with_conversations(page: Page, fast: ServeProcess, count: int) -> None:
    """One that is open, and older ones."""
    ask_and_read(page, "stop 2")
    fast.manage("shell", "-c", SEED.format(count=count))
    page.reload()


def item(page: Page, title: str) -> Locator:
    return page.locator(".side-item").filter(has=page.get_by_role("link", name=title, exact=True))


def tools(page: Page, title: str) -> Locator:
    """The button of a row's menu."""
    return item(page, title).get_by_role("button", name="Actions")


def tool(page: Page, title: str, name: str) -> Locator:
    """An entry of a row's menu, which is opened."""
    item(page, title).hover()
    tools(page, title).click()
    return page.get_by_role("menuitem", name=name)


def tell(page: Page, type_: str, **detail: str) -> None:
    """As the chat's script says what happened."""
    page.evaluate(
        "([type, detail]) => document.dispatchEvent(new CustomEvent(type, { detail }))",
        [type_, detail],
    )


def titles(page: Page) -> list[str]:
    return page.locator(".side-link").all_text_contents()


def test_search_finds_titles_and_texts(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    with_conversations(page, fast, 12)
    page.locator("#side-query").press_sequentially("11 apples")
    expect(page.locator(".side-link")).to_have_text(["Number 11"])
    expect(page.locator("#side-status")).to_have_text("1 conversation found")
    page.locator("#side-query").fill("number 1")
    expect(page.locator(".side-link")).to_have_text(["Number 1", "Number 10", "Number 11"])
    page.locator("#side-query").fill("nothing like it")
    expect(page.locator(".side-none")).to_have_text("Nothing found.")
    page.locator("#side-query").press("Escape")
    expect(page.locator(".side-link")).to_have_count(13)
    expect(page.locator("#side-status")).to_be_empty()
    expect(page.locator(".side-link[aria-current=page]")).to_have_text("stop 2")


def test_show_more_goes_on_where_the_list_ended(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    with_conversations(page, fast, 64)
    expect(page.locator(".side-link")).to_have_count(30)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".side-link")).to_have_count(60)
    expect(page.locator(".side-link").nth(30)).to_be_focused()
    page.get_by_role("button", name="Show more").press("Enter")
    expect(page.locator(".side-link")).to_have_count(65)
    expect(page.get_by_role("button", name="Show more")).to_have_count(0)
    assert titles(page) == ["stop 2", *(f"Number {number}" for number in range(64))]
    groups = page.locator(".side-group h2").all_text_contents()
    assert len(groups) == len(set(groups))
    assert groups[-1] == "Older"


def test_renaming_by_keyboard(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    with_conversations(page, fast, 2)
    page.get_by_role("link", name="stop 2").focus()
    page.keyboard.press("Tab")
    expect(tools(page, "stop 2")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.keyboard.press("Enter")
    box = page.get_by_label("New title")
    expect(box).to_be_focused()
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    expect(page.locator("#side-status")).to_have_text("A title cannot be empty.")
    expect(box).to_have_attribute("aria-invalid", "true")
    page.keyboard.type("A better name")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="A better name")).to_be_visible()
    expect(tools(page, "A better name")).to_be_focused()
    expect(page).to_have_title("A better name · ChatStream")
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("New title")).to_be_focused()
    page.keyboard.type("Not kept")
    page.keyboard.press("Escape")
    page.reload()
    assert titles(page) == ["A better name", "Number 0", "Number 1"]


def test_leaving_the_box_keeps_the_name_and_enter_of_an_ime_does_not(
    visitors: Visitors, fast: ServeProcess
) -> None:
    page = visitors.open()
    ask_and_read(page, "stop 1")
    page.reload()
    tool(page, "stop 1", "Rename").click()
    box = page.get_by_label("New title")
    box.fill("日本語の題名")
    box.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True})
    expect(box).to_be_visible()
    page.locator("#prompt").click()
    expect(page.get_by_role("link", name="日本語の題名")).to_be_visible()


def test_deleting_another_one_asks_and_keeps_the_page(
    visitors: Visitors, fast: ServeProcess
) -> None:
    page = visitors.open()
    with_conversations(page, fast, 2)
    address = page.url
    tool(page, "Number 0", "Delete").click()
    dialog = page.get_by_role("dialog", name="Delete this conversation?")
    expect(dialog).to_contain_text("Number 0")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(tools(page, "Number 0")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".side-link")).to_have_text(["stop 2", "Number 1"])
    expect(page.locator("#side-status")).to_have_text("Deleted.")
    expect(page.get_by_role("link", name="Number 1")).to_be_focused()
    assert page.url == address
    page.reload()
    assert titles(page) == ["stop 2", "Number 1"]


def test_deleting_the_open_one_stops_its_answer(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    answer = ask(page, ENDLESS)
    expect(answer.locator(".text")).to_contain_text("w3")
    address = page.url
    response_id = answer.get_attribute("data-response-id")
    page.reload()
    tool(page, ENDLESS, "Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url(f"{fast.url}/")
    expect(page.locator(".side-none")).to_have_text("No conversations yet.")
    assert page.context.request.get(address).status == 404
    # Its place is free: two run at once here, and both are wanted.
    others = [visitors.open() for _ in range(2)]
    for other in others:
        ask_and_read(other, "stop 3")
    count = "from streaming.models import Response; print(Response.objects.filter(pk='{}').count())"
    assert fast.manage("shell", "-v", "0", "-c", count.format(response_id)).strip() == "0"


def test_the_list_follows_the_chat(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    with_conversations(page, fast, 3)
    first = item(page, "Number 0").get_attribute("data-id") or ""
    new = "11111111-1111-4111-8111-111111111111"
    tell(page, "conversation", id=new, title="  What  is\nnew? <b>")
    assert titles(page)[0] == "What is new? <b>"
    assert item(page, "What is new? <b>").get_attribute("data-id") == new
    tell(page, "conversation-touched", id=first)
    assert titles(page)[:3] == ["Number 0", "What is new? <b>", "stop 2"]
    groups = page.locator(".side-group")
    expect(groups.first.locator("h2")).to_have_text("Today")
    for index in range(groups.count()):
        expect(groups.nth(index).locator(".side-item").first).to_be_attached()


def test_the_first_conversation_replaces_the_empty_lists_words(visitors: Visitors) -> None:
    page = visitors.open()
    expect(page.locator(".side-none")).to_be_visible()
    tell(page, "conversation", id="11111111-1111-4111-8111-111111111111", title="Hello")
    expect(page.locator(".side-none")).to_have_count(0)
    expect(page.locator(".side-group h2")).to_have_text("Today")


def test_faults_of_the_server_are_said(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    ask_and_read(page, "stop 1")
    page.reload()
    page.route("**/conversations/**", lambda route: route.abort())
    page.locator("#side-query").fill("stop")
    expect(page.locator("#side-status")).to_contain_text("The server cannot be reached")
    visitors.complaints.clear()  # the browser's own, of the request that failed
    expect(page.locator(".side-link")).to_have_count(1)


def test_the_column_can_be_put_away(visitors: Visitors) -> None:
    page = visitors.open(viewport={"width": 1280, "height": 800})
    closer, opener = page.locator("#side-close"), page.locator("#side-open")
    expect(opener).to_be_hidden()
    expect(closer).to_have_attribute("aria-expanded", "true")
    closer.click()
    expect(page.locator("#side")).to_be_hidden()
    expect(opener).to_be_focused()
    expect(opener).to_have_attribute("aria-expanded", "false")
    page.reload()
    expect(page.locator("#side")).to_be_hidden()
    page.locator("#side-open").press("Enter")
    expect(page.locator("#side")).to_be_visible()
    page.reload()
    expect(page.locator("#side")).to_be_visible()


def test_the_drawer_by_keyboard(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open(viewport={"width": 390, "height": 780})
    with_conversations(page, fast, 1)
    opener = page.locator("#side-open")
    expect(page.locator("#side")).to_be_hidden()
    expect(opener).to_have_attribute("aria-expanded", "false")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#side-close")).to_be_focused()
    expect(opener).to_have_attribute("aria-expanded", "true")
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.add(page.evaluate(FOCUSED_IN))
    assert "page" not in seen
    page.locator("#side-query").fill("x")
    page.keyboard.press("Escape")  # the search first
    expect(page.locator("#side-query")).to_have_value("")
    page.keyboard.press("Escape")
    expect(page.locator("#side")).to_be_hidden()
    expect(opener).to_be_focused()
    expect(page.locator("#prompt")).to_be_enabled()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Number 0").press("Enter")
    expect(page).to_have_title("Number 0 · ChatStream")
    expect(page.locator("#side")).to_be_hidden()


def test_the_drawer_by_touch(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open(**PHONE)
    with_conversations(page, fast, 1)
    page.locator("#side-open").tap()
    expect(page.locator("#side")).to_be_visible()
    expect(tools(page, "Number 0")).to_be_visible()
    page.locator("#side-shade").tap(position={"x": 370, "y": 400})
    expect(page.locator("#side")).to_be_hidden()
    page.locator("#side-open").tap()
    page.get_by_role("link", name="stop 2").tap()  # where we are already
    expect(page.locator("#side")).to_be_hidden()
    page.locator("#prompt").tap()
    expect(page.locator("#prompt")).to_be_focused()


def test_growing_the_window_ends_the_drawer(visitors: Visitors) -> None:
    page = visitors.open(viewport={"width": 600, "height": 780})
    page.locator("#side-open").click()
    page.set_viewport_size({"width": 1280, "height": 780})
    expect(page.locator("#side-shade")).to_be_hidden()
    page.locator("#prompt").fill("not inert")


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(
    visitors: Visitors, fast: ServeProcess, width: int, scheme: str
) -> None:
    page = visitors.open(viewport={"width": width, "height": 700}, color_scheme=scheme)
    with_conversations(page, fast, 3)
    if width < 960:
        page.locator("#side-open").click()
        expect(page.locator("#side-close")).to_be_focused()
    tools(page, "stop 2").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.wait_for_function("() => document.getElementById('side').getAnimations().length === 0")
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    found = Axe().run(page, context="#side").response["violations"]
    assert [rule for rule in found if rule["impact"] in ("serious", "critical")] == []


def test_a_page_weighs_little(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open(locale="ja-JP")
    with_conversations(page, fast, 40)
    moved = bytes_moved(page, lambda: page.reload(wait_until="networkidle"))
    assert any("/jsi18n/ja/" in url for url in moved)
    assert sum(moved.values()) < 150_000, moved
