"""The live queue's page in a real Chromium: what is where, menus, several at once, undo."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.operators import OPERATOR, PATIENCE, Crowd, button, item, new_staff, open_queue, row
from tests.e2e.queue_frames import Frames, cell, entry, keys, name, running, worker
from tests.e2e.visitors import Visitors, serving_fast, visiting
from tests.support.processes import ServeProcess

DESKTOP = {"width": 1440, "height": 900}
ROWS = "#{} tr[data-key]"
TREE = """(id) => {
    const tree = (node) => node.nodeType === 3 ? node.data.trim() : [
        node.nodeName,
        [...node.attributes].map((one) => `${one.name}=${one.value}`).filter(kept).sort(),
        [...node.childNodes].map(tree).filter((one) => one !== ""),
    ];
    // What scripts add to a row, and clocks that go on.
    const kept = (one) => !/^(type=button|data-moment=)/.test(one);
    const text = (row) => JSON.stringify(tree(row)).replaceAll(/"\\d+ s( ago)?"/g, '"TIME"');
    const rows = (page) => [...page.getElementById(id).rows].map(text);
    return fetch(location).then((answer) => answer.text()).then((html) => {
        const first = new DOMParser().parseFromString(html, "text/html");
        return [rows(document), rows(first)];
    });
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(
        tmp_path_factory.mktemp("console-queue"),
        CHATSTREAM_MAX_RUNNING="2",
        CHATSTREAM_MAX_TOKENS="4000",
        FAKE_STEP_SECONDS="0.5",
    )


@pytest.fixture(scope="module")
def operator(site: ServeProcess) -> str:
    return new_staff(site, *OPERATOR, "view_conversation")


@pytest.fixture
def visitors(browser: Browser, site: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, site)


def crowded(page: Page, site: ServeProcess, count: int = 30, **parts: Any) -> Frames:
    frames = Frames(page, site)
    waits = [entry(n, eta=10.0 * n, owner=f"user:{n % 3}") for n in range(1, count + 1)]
    runs = [running(n, owner="user:1") for n in range(101, 105)]
    frames.open(**{"workers": [worker()], "running": runs, "waiting": waits, **parts})
    expect(page.locator("#waiting tr")).to_have_count(count)
    return frames


def bottom(page: Page, selector: str) -> float:
    box = page.locator(selector).last.bounding_box()
    assert box
    return box["y"] + box["height"]


def check(page: Page) -> None:
    report = Axe().run(page, context="#content-main", options={"preload": False})
    assert report.response["violations"] == []


def test_thirty_rows_are_above_the_fold(
    visitors: Visitors, operator: str, site: ServeProcess
) -> None:
    page = open_queue(visitors, operator, viewport=DESKTOP)
    crowded(page, site, 26)  # and four that run
    for what in ("#count-waiting", ROWS.format("running"), ROWS.format("waiting")):
        assert bottom(page, what) <= DESKTOP["height"], what
    expect(page.locator(".cs-chart").first).to_be_in_viewport()
    # The head stays where it is while rows are scrolled, and the page does not scroll.
    crowded(page, site, 80)
    head = page.locator("#waiting-title").locator("xpath=ancestor::section//th").nth(2)
    before = head.bounding_box()
    page.locator("#waiting tr").last.scroll_into_view_if_needed()
    assert head.bounding_box() == before
    expect(page.locator("#waiting tr").first).not_to_be_in_viewport()
    assert page.evaluate("scrollX") == 0


@pytest.mark.parametrize(
    "options",
    [
        {"viewport": DESKTOP, "color_scheme": "dark"},
        {"viewport": DESKTOP, "forced_colors": "active", "reduced_motion": "reduce"},
        {"viewport": {"width": 720, "height": 450}},  # 200 % of 1440
        {"viewport": {"width": 390, "height": 844}, "has_touch": True, "locale": "ja"},
    ],
    ids=["dark", "forced colours", "200 %", "phone in Japanese"],
)
def test_every_screen_has_all_of_it(
    visitors: Visitors, operator: str, site: ServeProcess, options: dict[str, Any]
) -> None:
    page = open_queue(visitors, operator, **options)
    crowded(page, site, 5)
    width = options["viewport"]["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    check(page)
    menu = row(page, "waiting", name("a", 3)).locator(".cs-menu")
    row(page, "waiting", name("a", 3)).locator(".cs-open").click()
    expect(menu).to_be_visible()
    box = menu.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= options["viewport"]["height"]


def test_a_menu_by_keys_alone(visitors: Visitors, operator: str, site: ServeProcess) -> None:
    page = open_queue(visitors, operator, viewport=DESKTOP)
    frames = crowded(page, site, 5)
    opener = row(page, "waiting", name("a", 3)).get_by_role("button", name="Actions")
    opener.focus()
    page.keyboard.press("Enter")
    front = button(page, "move", "front", name("a", 3))
    expect(front).to_be_focused()
    frames.send(waiting=[entry(n) for n in range(2, 6)])  # the menu stays, and so does its row
    expect(page.locator("#queue-held")).to_be_visible()
    expect(front).to_be_focused()
    page.keyboard.press("End")
    expect(page.get_by_role("button", name="Cancel all of this owner: user:0")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(front).to_be_focused()
    page.keyboard.press("Escape")
    expect(front).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    expect(front).to_be_focused()
    with page.expect_request("**/queue/move/") as asked:
        page.keyboard.press("Enter")
    assert f"front={name('a', 3)}" in (asked.value.post_data or "")
    expect(page.locator(".messagelist")).to_be_visible()


def test_owners_and_their_share(visitors: Visitors, operator: str, site: ServeProcess) -> None:
    page = open_queue(visitors, operator, viewport=DESKTOP)
    crowded(page, site, 30)
    owners = page.locator("#owners tr")
    expect(owners).to_have_count(3)
    first = owners.first
    expect(cell(first, "owner")).to_have_text("user:1")
    values = [cell(first, part).inner_text() for part in ("running", "waiting", "share")]
    assert values == ["4", "10", "41 %"]
    cell(first, "owner").click()
    expect(page.locator("#queue-q")).to_have_value("user:1")
    expect(page.locator("#waiting tr")).to_have_count(10)
    expect(page.locator("#running tr")).to_have_count(4)
    expect(owners).to_have_count(3)
    cell(first, "owner").click()  # once more: everything
    expect(page.locator("#waiting tr")).to_have_count(30)


def test_what_comes_later_looks_as_the_first_page(
    visitors: Visitors, operator: str, site: ServeProcess
) -> None:
    page = open_queue(visitors, operator)
    crowd = Crowd(site)
    two = crowd.fill()
    third = crowd.ask()
    expect(row(page, "running", two[1].id)).to_be_visible(timeout=PATIENCE)
    source = cell(row(page, "waiting", third.id), "source")
    expect(source).to_have_text("Chat", timeout=PATIENCE)
    for table in ("waiting", "owners"):
        shown, first = page.evaluate(TREE, table)
        assert shown == first
        assert len(shown) == {"waiting": 1, "owners": 3}[table]
    for asker in (third, *two):
        asker.cancel()
    crowd.leave()


def test_several_are_moved_back_again_and_cancelled(
    visitors: Visitors, operator: str, site: ServeProcess
) -> None:
    page = open_queue(visitors, operator, viewport=DESKTOP)
    crowd = Crowd(site)
    two = crowd.fill()
    waits = [crowd.ask() for _ in range(4)]
    ids = [one.id for one in waits]
    expect(page.locator(ROWS.format("waiting"))).to_have_count(4, timeout=PATIENCE)

    def choose(*numbers: int) -> None:
        for number in numbers:
            page.locator(f"[name=selected][value='{ids[number]}']").check()

    choose(1, 3)
    item(page, "move", "edge", "position")
    page.get_by_label("Selected to position").fill("1")
    page.keyboard.press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("2 prompts are moved.")
    expect(page.locator(ROWS.format("waiting")).first).to_have_attribute("data-key", ids[1])
    assert keys(page, "waiting") == [ids[1], ids[3], ids[0], ids[2]]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".messagelist")).to_contain_text("2 prompts are back where they were.")
    expect(page.locator(ROWS.format("waiting")).first).to_have_attribute("data-key", ids[0])
    assert keys(page, "waiting") == ids
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    # All that a search finds, counted before it is confirmed.
    page.locator("#queue-q").fill(ids[2])
    expect(page.locator(ROWS.format("waiting"))).to_have_count(1)
    item(page, "cancel", "found", "waiting").click()
    expect(page.get_by_role("dialog")).to_contain_text("Cancel 1 response?")
    page.keyboard.press("Escape")
    page.locator("#queue-q").fill("waiting")
    item(page, "cancel", "found", "waiting").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Cancel 4 waiting prompts?")
    dialog.get_by_role("button", name=re.compile("Yes")).click()
    expect(page.locator(".messagelist")).to_contain_text("4 responses are cancelled.")
    for asker in waits:
        assert asker.until_end()["status"] == "cancelled"
    for asker in two:
        asker.cancel()
    crowd.leave()
