"""What an operator is about to act on stands still, and an action hits what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.operators import OPERATOR, button, item, new_staff, open_queue, row
from tests.e2e.queue_frames import Frames, cell, entry, keys, name, running, worker
from tests.e2e.visitors import Visitors, serving_fast, visiting
from tests.support.processes import ServeProcess

UNDER_THE_POINTER = """([x, y]) =>
    document.elementFromPoint(x, y).closest("button")?.value ?? null"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(tmp_path_factory.mktemp("held"))


@pytest.fixture(scope="module")
def operator(site: ServeProcess) -> str:
    return new_staff(site, *OPERATOR)


@pytest.fixture
def visitors(browser: Browser, site: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, site)


def waiting(*numbers: int) -> list[dict[str, Any]]:
    return [entry(number, position=index + 1) for index, number in enumerate(numbers)]


def names(*numbers: int) -> list[str]:
    return [name("a", number) for number in numbers]


def filled(visitors: Visitors, operator: str, site: ServeProcess, **options: Any) -> Any:
    """A page, its frames, and six that wait."""
    page = open_queue(visitors, operator, **options)
    frames = Frames(page, site)
    frames.open(workers=[worker()], running=[running(9)], waiting=waiting(1, 2, 3, 4, 5, 6))
    expect(page.locator("#waiting tr")).to_have_count(6)
    return page, frames


def point_at(page: Page, target: Locator) -> list[float]:
    """Where the pointer is then."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    assert box
    place = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    page.mouse.move(*place)
    return place


@pytest.mark.parametrize(
    "change",
    [
        {"waiting": waiting(2, 3, 4, 5, 6)},
        {"waiting": waiting(7, 1, 2, 3, 4, 5, 6)},
        {"waiting": waiting(4, 1, 2, 3, 5, 6)},
        {"waiting": waiting(1, 2, 4, 5, 6), "running": [running(3), running(9)]},
        {"running": [running(8), running(9), running(10)]},
        {"running": []},
        {"workers": [worker(1), worker(2), worker(3)]},
        {"paused": True},
        {"closed": "Back at noon."},
        {"waiting": [entry(n, position=None) for n in range(1, 7)]},
    ],
    ids=[
        "one above goes", "one above comes", "one is moved", "it starts", "others start",
        "what runs ends", "workers come", "all is paused", "the queue is closed", "all come back",
    ],
)  # fmt: skip
def test_a_row_does_not_move_under_the_pointer(
    visitors: Visitors, operator: str, site: ServeProcess, change: dict[str, Any]
) -> None:
    page, frames = filled(visitors, operator, site)
    cancel = item(page, "cancel", "response_id", name("a", 3))
    place = point_at(page, cancel)
    frames.send(**change)
    frames.send(running=[running(9, tokens=77)])  # a later frame has come
    expect(cell(row(page, "running", name("a", 9)), "progress")).to_have_text("77 / 400")
    assert page.evaluate(UNDER_THE_POINTER, place) == name("a", 3)
    with page.expect_request("**/queue/cancel/") as asked:
        page.mouse.click(*place)
    assert f"response_id={name('a', 3)}" in (asked.value.post_data or "")


def test_it_is_said_that_more_has_happened_and_shown_when_the_pointer_leaves(
    visitors: Visitors, operator: str, site: ServeProcess
) -> None:
    page, frames = filled(visitors, operator, site)
    note = page.locator("#queue-held")
    point_at(page, row(page, "waiting", name("a", 3)))
    frames.send(waiting=waiting(1, 2, 3, 4, 5, 6), running=[running(9, tokens=77)])
    expect(cell(row(page, "running", name("a", 9)), "progress")).to_have_text("77 / 400")
    expect(note).to_be_hidden()  # nothing came or went
    frames.send(waiting=waiting(7, 2, 3, 1, 5, 6))
    expect(note).to_have_text("The queue has changed. It is shown when you leave the rows.")
    assert keys(page, "waiting") == names(1, 2, 3, 4, 5, 6)
    expect(cell(row(page, "waiting", name("a", 1)), "place")).to_have_text("4")  # the truth
    expect(row(page, "waiting", name("a", 4))).to_have_attribute("data-gone", "")
    page.mouse.move(0, 0)
    expect(note).to_be_hidden()
    assert keys(page, "waiting") == names(7, 2, 3, 1, 5, 6)
    expect(page.locator("[data-gone]")).to_have_count(0)


def test_the_keyboard_holds_them_too(visitors: Visitors, operator: str, site: ServeProcess) -> None:
    page, frames = filled(visitors, operator, site)
    row(page, "waiting", name("a", 3)).get_by_role("button", name="Actions").focus()
    page.keyboard.press("Enter")
    expect(button(page, "move", "front", name("a", 3))).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(button(page, "move", "back", name("a", 3))).to_be_focused()
    frames.send(waiting=waiting(3, 1, 2, 4, 5, 6))
    expect(page.locator("#queue-held")).to_be_visible()
    assert keys(page, "waiting") == names(1, 2, 3, 4, 5, 6)
    page.locator("#queue-q").focus()
    expect(page.locator("#queue-held")).to_be_hidden()
    assert keys(page, "waiting") == names(3, 1, 2, 4, 5, 6)


def test_a_search_is_answered_though_the_pointer_rests_in_the_list(
    visitors: Visitors, operator: str, site: ServeProcess
) -> None:
    page, frames = filled(visitors, operator, site)
    page.locator("#queue-q").focus()
    point_at(page, row(page, "waiting", name("a", 3)))
    frames.send(waiting=waiting(2, 3, 4, 5, 6, 7))
    expect(page.locator("#queue-held")).to_be_visible()
    page.keyboard.type(name("a", 7)[:8])
    expect(page.locator("#waiting tr")).to_have_count(1)
    assert keys(page, "waiting") == names(7)


def test_what_one_has_done_is_shown_at_once_and_moves_nothing_by_its_message(
    visitors: Visitors, operator: str, site: ServeProcess
) -> None:
    page, frames = filled(visitors, operator, site)
    front = item(page, "move", "front", name("a", 3))
    place = point_at(page, front)
    before = row(page, "waiting", name("a", 3)).bounding_box()
    page.mouse.click(*place)
    expect(page.locator(".messagelist")).to_be_visible()
    assert row(page, "waiting", name("a", 3)).bounding_box() == before
    frames.send(waiting=waiting(3, 1, 2, 4, 5, 6))
    expect(cell(row(page, "waiting", name("a", 3)), "place")).to_have_text("1")
    assert keys(page, "waiting") == names(3, 1, 2, 4, 5, 6)


def test_a_finger_holds_them_for_a_while(
    visitors: Visitors, operator: str, site: ServeProcess
) -> None:
    page, frames = filled(
        visitors, operator, site, has_touch=True, viewport={"width": 390, "height": 844}
    )
    cell(row(page, "waiting", name("a", 3)), "place").tap()
    frames.send(waiting=waiting(2, 3, 4, 5, 6))
    expect(page.locator("#queue-held")).to_be_visible()
    assert keys(page, "waiting") == names(1, 2, 3, 4, 5, 6)
    expect(page.locator("#queue-held")).to_be_hidden()  # some seconds later, by itself
    assert keys(page, "waiting") == names(2, 3, 4, 5, 6)
