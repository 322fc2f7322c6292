"""Pinning, filing and archiving conversations, and searching what was said, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.page import ask
from tests.e2e.visitors import ENDLESS, Visitors, ask_and_read, serving_fast, visiting
from tests.support.processes import ServeProcess

PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}

SEED = """
from streaming.models import Conversation, Message, Response
owner = Conversation.objects.order_by("-created_at").values_list("owner", flat=True).first()
for title in ("Bread", "Kyoto", "Taxes"):
    row = Conversation.objects.create(owner=owner, title=title)
    previous = answer = None
    for number in range(30):
        prompt = Message.objects.create(
            conversation=row, role="user", parent=answer, content=f"Question {number} of {title}"
        )
        extra = "<i>Der</i> needle 京都 <b>is</b> **he**re." if number == 3 else "Nothing."
        answer = Message.objects.create(
            conversation=row, role="assistant", parent=prompt, content=f"{title}. {extra}"
        )
        previous = Response.objects.create(
            conversation=row, prompt=prompt, message=answer, previous=previous, owner=owner,
            status="completed", text=answer.content, ordinal=number + 1,
            finished_at=row.created_at,
        )
"""

MARKED = """() => [...(CSS.highlights.get("found") ?? [])].map(range => range.toString())"""

IN_SIGHT = """() => {
    const [range] = CSS.highlights.get("found");
    const { top, bottom } = range.getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
}"""


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(tmp_path_factory.mktemp("keeping"))


@pytest.fixture
def visitors(browser: Browser, fast: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, fast)


def seeded(visitors: Visitors, fast: ServeProcess, **options: object) -> Page:
    """A visitor with one conversation of the page's own, and three of thirty turns each."""
    page = visitors.open(**options)
    ask_and_read(page, "stop 2")
    fast.manage("shell", "-c", SEED)
    page.reload()
    expect(page.locator(".side-link")).to_have_count(4)
    return page


def item(page: Page, title: str) -> Locator:
    return page.locator(".side-item").filter(has=page.get_by_role("link", name=title, exact=True))


def choose(page: Page, title: str, entry: str) -> None:
    """By the keyboard: the row's menu, and an entry of it by its first letters."""
    item(page, title).locator("[data-do=menu]").focus()
    page.keyboard.press("ArrowDown")
    wanted = page.get_by_role("menuitem", name=entry, exact=True)
    expect(wanted).to_be_visible()
    for _ in range(8):
        if wanted.evaluate("element => element === document.activeElement"):
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


def test_pinning_filing_and_archiving_by_keyboard(visitors: Visitors, fast: ServeProcess) -> None:
    page = seeded(visitors, fast)
    choose(page, "Kyoto", "Pin")
    pinned = page.locator("[data-group=pinned]")
    expect(pinned.locator(".side-link")).to_have_text(["Kyoto"])
    expect(page.locator("#side-status")).to_have_text("Pinned.")
    expect(item(page, "Kyoto").locator("[data-do=menu]")).to_be_focused()

    choose(page, "Bread", "Move to a folder")
    box = page.get_by_role("combobox", name="Folder")
    expect(box).to_be_focused()
    page.keyboard.type("  Food   <b> ")
    page.keyboard.press("Enter")
    folder = page.locator(".side-shelf[data-folder]")
    expect(folder.locator("summary")).to_have_text("Food <b> 1")
    expect(page.locator("#side-status")).to_have_text("Moved to “Food <b>”.")

    choose(page, "Taxes", "Archive")
    archive = page.locator(".side-shelf[data-archived]")
    expect(archive.locator("summary")).to_have_text("Archived 1")
    expect(page.locator(".side-link")).to_have_text(["Kyoto", "stop 2"])
    page.reload()
    expect(page.locator(".side-link")).to_have_text(["Kyoto", "stop 2"])

    folder.locator("summary").press("Enter")
    expect(folder.locator(".side-link")).to_have_text(["Bread"])
    archive.locator("summary").press("Enter")
    expect(archive.locator(".side-link")).to_have_text(["Taxes"])
    choose(page, "Taxes", "Take out of the archive")
    expect(archive).to_have_count(0)
    expect(folder.locator(".side-link")).to_have_text(["Bread"])  # it is open still
    choose(page, "Bread", "Move to a folder")
    expect(box).to_have_value("Food <b>")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    expect(folder).to_have_count(0)
    choose(page, "Kyoto", "Unpin")
    expect(page.locator(".side-link")).to_have_text(["Taxes", "Kyoto", "Bread", "stop 2"])

    item(page, "Bread").locator("[data-do=menu]").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.keyboard.press("d")
    expect(page.get_by_role("menuitem", name="Delete")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_be_hidden()
    expect(item(page, "Bread").locator("[data-do=menu]")).to_be_focused()


def test_an_unknown_entry_is_anothers(visitors: Visitors, fast: ServeProcess) -> None:
    page = seeded(visitors, fast)
    page.evaluate(
        """() => {
            const entry = document.querySelector("#side-menu [data-do=rename]").cloneNode(true);
            entry.dataset.do = "other";
            entry.textContent = "Other";
            document.getElementById("side-menu").append(entry);
            document.addEventListener("conversation-action", ({ detail }) => {
                window.heard = detail;
            });
        }"""
    )
    choose(page, "Bread", "Other")
    id_ = item(page, "Bread").get_attribute("data-id")
    assert page.evaluate("heard") == {"id": id_, "title": "Bread", "action": "other"}


def test_a_search_leads_to_its_place(visitors: Visitors, fast: ServeProcess) -> None:
    page = seeded(visitors, fast)
    choose(page, "Taxes", "Archive")
    expect(page.locator(".side-shelf[data-archived]")).to_be_visible()
    page.locator("#side-query").fill("NEEDLE der")
    expect(page.locator(".side-found mark").first).to_have_text("Der")
    expect(page.locator(".side-found")).to_have_count(3)
    expect(page.locator(".side-found").first).to_have_text(
        "Taxes. <i>Der</i> needle 京都 <b>is</b> **he**re."
    )
    expect(item(page, "Taxes").locator(".side-badge")).to_have_text("Archived")
    item(page, "Kyoto").locator(".side-found").click()
    expect(page).to_have_title("Kyoto · ChatStream")
    # The turn is older than those that a page shows by itself.
    expect(page.get_by_text("Question 3 of Kyoto", exact=True)).to_be_visible()
    page.wait_for_function(f"() => ({MARKED})().length > 0")
    assert page.evaluate(MARKED) == ["Der", "needle"]
    assert page.evaluate(IN_SIGHT)
    assert "find=" not in page.url
    assert "leaf=" in page.url
    # Once more, in the conversation that is open; two characters of a script without spaces.
    page.locator("#side-query").fill("京都")
    expect(page.locator(".side-found")).to_have_count(3)
    item(page, "Kyoto").locator(".side-found").click()
    page.wait_for_function(f"() => ({MARKED})()[0] === '京都'")


def test_a_turn_far_above_is_led_to(visitors: Visitors, fast: ServeProcess) -> None:
    """Where the server shows fewer turns, the page asks for the earlier ones."""
    page = seeded(visitors, fast)
    id_ = item(page, "Kyoto").get_attribute("data-id")
    page.locator("#side-query").fill("needle")
    href = item(page, "Kyoto").locator(".side-found").get_attribute("href")
    assert href
    # The server is asked for the newest turns; the page has the address of the match.
    page.add_init_script(f"history.replaceState(null, '', {href!r})")
    page.goto(f"{fast.url}/c/{id_}/")
    page.wait_for_function(f"() => ({MARKED})().length === 1")
    expect(page.locator(".turn")).to_have_count(30)


def test_hostile_queries_find_nothing_and_break_nothing(
    visitors: Visitors, fast: ServeProcess
) -> None:
    page = seeded(visitors, fast)
    for query in ['" OR "', "a* NEAR(b)", "%_%", "(?:a+)+$", "<script>x</script>", "'; DROP"]:
        page.locator("#side-query").fill(query)
        expect(page.locator(".side-none")).to_have_text("Nothing found.")
    page.locator("#side-query").fill("   ")
    expect(page.locator(".side-link")).to_have_count(4)


def test_the_menu_on_a_phone_in_japanese(visitors: Visitors, fast: ServeProcess) -> None:
    page = seeded(visitors, fast, locale="ja-JP", **PHONE)
    page.locator("#side-open").tap()
    item(page, "Bread").locator("[data-do=menu]").tap()
    menu = page.get_by_role("menu")
    expect(menu).to_be_visible()
    box = menu.bounding_box()
    assert box
    assert 0 <= box["x"] <= box["x"] + box["width"] <= 390
    assert all(
        entry["height"] >= 44
        for each in menu.get_by_role("menuitem").all()
        if (entry := each.bounding_box())
    )
    found = Axe().run(page, context="#side").response["violations"]
    assert [rule for rule in found if rule["impact"] in ("serious", "critical")] == []
    page.locator("#side-search").tap()
    expect(menu).to_be_hidden()
    expect(page.locator("#side")).to_be_visible()
    item(page, "Bread").locator("[data-do=menu]").tap()
    page.get_by_role("menuitem", name="固定", exact=True).tap()
    expect(page.locator("[data-group=pinned] .side-link")).to_have_text(["Bread"])
    expect(page.locator("[data-group=pinned] h2")).to_have_text("固定中")


def test_the_menu_stands_right_where_one_reads_from_the_right(
    visitors: Visitors, fast: ServeProcess
) -> None:
    page = seeded(visitors, fast, **PHONE)
    page.evaluate("document.documentElement.dir = 'rtl'")
    page.locator("#side-open").tap()
    page.wait_for_function("() => document.getElementById('side').getAnimations().length === 0")
    button = item(page, "Bread").locator("[data-do=menu]")
    button.tap()
    menu, near = page.get_by_role("menu").bounding_box(), button.bounding_box()
    assert menu
    assert near
    assert abs(menu["x"] - near["x"]) < 2
    assert menu["x"] + menu["width"] <= 390


def test_a_dot_tells_what_waits_and_runs(visitors: Visitors, fast: ServeProcess) -> None:
    page = visitors.open()
    ask(page, ENDLESS)
    dots = page.locator(".side-item .side-state")
    row = page.locator(".side-item").first
    expect(row).to_have_attribute("data-state", "running")  # the server says so
    page.goto(fast.url)
    expect(row).to_have_attribute("data-state", "running")
    expect(dots.first).to_have_text("Being answered")
    id_ = row.get_attribute("data-id")
    tell = "detail => document.dispatchEvent(new CustomEvent('conversation-state', { detail }))"
    for state, text in (("waiting", "Waiting"), ("ready", "New answer"), ("", "")):
        page.evaluate(tell, {"id": id_, "state": state})
        expect(row).to_have_attribute("data-state", state)
        expect(dots.first).to_have_text(text)
    page.goto(f"{fast.url}/c/{id_}/")
    expect(row).to_have_attribute("data-state", "running")
    other = page.context.new_page()
    other.goto(fast.url)
    page.locator("#stop").click()
    expect(other.locator(".side-item").first).to_have_attribute("data-state", "ready")
    expect(row).to_have_attribute("data-state", "")
