"""The live queue's page in a real Chromium, with frames of a socket that the tests speak for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.e2e.operators import (
    OPERATOR,
    PATIENCE,
    Crowd,
    button,
    new_staff,
    open_queue,
    row,
    worker_id,
)
from tests.e2e.queue_frames import Frames, cell, entry, keys, name, running, worker
from tests.e2e.visitors import Visitors, serving_fast, visiting
from tests.support.processes import ServeProcess

PHONE = {"width": 380, "height": 800}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server that answers one at once, for minutes."""
    yield from serving_fast(
        tmp_path_factory.mktemp("live"),
        CHATSTREAM_MAX_RUNNING="1",
        CHATSTREAM_MAX_TOKENS="4000",
        FAKE_STEP_SECONDS="0.05",
    )


@pytest.fixture
def visitors(browser: Browser, watched: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, watched)


@pytest.fixture(scope="module")
def operator_name(watched: ServeProcess) -> str:
    return new_staff(watched, *OPERATOR, "view_conversation")


@pytest.fixture(scope="module")
def viewer_name(watched: ServeProcess) -> str:
    return new_staff(watched, "view_queue", "view_response")


# --- what the tables show ---


def test_what_a_frame_leaves_out_stays_and_clocks_go_on(
    visitors: Visitors, operator_name: str, watched: ServeProcess
) -> None:
    page = open_queue(visitors, operator_name)
    page.clock.install()
    frames = Frames(page, watched)
    held = entry(3, state="held", position=None, asked=3700.0)
    waits = [entry(1, eta=90.0), held]
    frames.open(workers=[worker(paused=True)], running=[running(9, since=10.0)], waiting=waits)
    machine = page.locator("#workers tr")
    expect(cell(machine, "worker")).to_have_text("gpu:1:abc")
    expect(cell(machine, "model")).to_have_text("SmolLM2-135M-Instruct")
    expect(cell(machine, "device")).to_have_text("cpu · bfloat16")
    expect(cell(machine, "share")).to_have_text("2 of 4")
    expect(cell(machine, "rows")).to_have_text("8 rows")
    expect(cell(machine, "rate")).to_have_text("41.7")
    expect(cell(machine, "memory")).to_have_text("300 MiB of 1.5 GiB")
    expect(cell(machine, "paused")).to_be_visible()
    answer = row(page, "running", name("a", 9))
    expect(cell(answer, "short")).to_have_text("a0000009")
    expect(cell(answer, "owner")).to_have_text("visitor:0000000000000000000009")
    expect(cell(answer, "conversation")).to_have_attribute("href", re.compile(name("c", 9)))
    expect(cell(answer, "worker")).to_have_text("gpu:1:abc")
    expect(cell(answer, "prompt")).to_have_text("37")
    expect(cell(answer, "progress")).to_have_text("20 / 400")
    expect(cell(answer, "rate")).to_have_text("2.0")  # 20 tokens in 10 s
    first, last = (row(page, "waiting", name("a", number)) for number in (1, 3))
    expect(cell(last, "place")).to_have_text("held")
    expect(cell(last, "waited")).to_have_text("1 h 1 min")
    expect(cell(last, "wait")).to_have_text("—")

    page.clock.pause_at(page.evaluate("Date.now()") + 60_000)
    before = page.evaluate("Date.now()")
    frames.send(workers=[worker(age=0)])
    frames.send(running=[running(9, since=30.0, tokens=60)])
    frames.send(waiting=[entry(1, eta=20.0, asked=40.0), held])
    expect(cell(machine, "paused")).to_be_hidden()
    expect(cell(answer, "progress")).to_have_text("60 / 400")
    expect(cell(first, "wait")).to_have_text("20 s")
    page.clock.run_for(5000)
    assert page.evaluate("Date.now()") == before + 5000
    expect(cell(machine, "beat")).to_have_text("5 s ago")
    expect(cell(answer, "time")).to_have_text("35 s")
    expect(cell(first, "waited")).to_have_text("45 s")
    expect(cell(first, "wait")).to_have_text("15 s")
    # Counted from the frames: 10 tokens a second since the last one.
    frames.send(running=[running(9, since=35.0, tokens=110)])
    expect(cell(answer, "rate")).to_have_text("10.0")
    page.clock.run_for(20_000)
    expect(cell(first, "wait")).to_have_text("soon")
    expect(page.locator("#count-waiting")).to_have_text("1")
    expect(page.locator("#count-held")).to_have_text("1")
    marks = re.compile("RESPONSE_ID|SHORT_ID|OWNER|CONVERSATION_ID|WORKER_ID")
    bodies = page.locator("#queue-form tbody").evaluate_all("all => all.map((b) => b.outerHTML)")
    assert not marks.search("".join(bodies))


def test_what_somebody_is_at_stays(
    visitors: Visitors, operator_name: str, watched: ServeProcess
) -> None:
    page = open_queue(visitors, operator_name)
    frames = Frames(page, watched)
    waits = [entry(number) for number in range(1, 6)]
    frames.open(workers=[worker(1), worker(2)], running=[running(9)], waiting=waits)
    page.locator("[name='capacity:gpu:1:abc']").fill("3")
    page.locator(f"[name=selected][value='{name('a', 4)}']").check()
    page.mouse.move(0, 0)  # a list stands still while the pointer is in it
    menu = row(page, "waiting", name("a", 2)).get_by_role("button", name="Actions")
    menu.focus()
    order = [4, 2, 1, 6, 5]  # one came, one went, one is ahead now
    waits = [entry(number, position=index + 1) for index, number in enumerate(order)]
    frames.send(waiting=waits, workers=[worker(2, capacity=2), worker(1)])
    expect(cell(row(page, "waiting", name("a", 2)), "place")).to_have_text("2")
    assert keys(page, "waiting") == [name("a", number) for number in order]
    assert keys(page, "workers") == ["gpu:2:abc", "gpu:1:abc"]
    expect(menu).to_be_focused()
    expect(page.locator("[name=selected]:checked")).to_have_count(1)
    expect(page.locator(f"[name=selected][value='{name('a', 4)}']")).to_be_checked()
    expect(page.locator("[name='capacity:gpu:1:abc']")).to_have_value("3")
    expect(page.locator("[name='capacity:gpu:2:abc']")).to_have_value("2")
    # The row with the focus goes: its table has it.
    frames.send(waiting=[entry(1)])
    expect(page.locator("#waiting tr")).to_have_count(1)
    expect(page.get_by_role("group", name="Waiting")).to_be_focused()
    # All that is shown; what comes later is not meant.
    everything = page.get_by_label("Select all shown").last
    everything.check()
    expect(page.locator("[name=selected]:checked")).to_have_count(1)
    frames.send(waiting=[entry(1), entry(2)])
    expect(everything).not_to_be_checked()
    expect(page.locator("[name=selected]:checked")).to_have_count(1)
    # Of two buttons the other one takes the place, and the focus.
    button(page, "pause", "worker_id", "gpu:1:abc").focus()
    frames.send(workers=[worker(1, paused=True)])
    expect(button(page, "resume", "worker_id", "gpu:1:abc")).to_be_focused()
    expect(button(page, "pause", "worker_id", "gpu:1:abc")).to_be_hidden()
    drains = worker(1, state="draining", orders={"capacity": None, "drain": True})
    frames.send(workers=[drains])
    expect(button(page, "undrain", "worker_id", "gpu:1:abc")).to_be_visible()
    expect(button(page, "drain", "worker_id", "gpu:1:abc")).to_be_hidden()
    # What came back from a dead worker, or is held, has no place to be moved from.
    frames.send(waiting=[entry(1, position=None), entry(2, state="held", position=None)])
    expect(cell(row(page, "waiting", name("a", 1)), "place")).to_have_text("back")
    expect(page.locator("#waiting :is([name=front], [name=back]):enabled")).to_have_count(0)


def test_the_banners_and_their_controls(
    visitors: Visitors, operator_name: str, watched: ServeProcess
) -> None:
    page = open_queue(visitors, operator_name)
    frames = Frames(page, watched)
    frames.open(workers=[worker()])
    expect(page.locator("#paused, #closed").first).to_be_hidden()
    frames.send(paused=True)
    expect(page.locator("#paused")).to_be_visible()
    expect(cell(page.locator("#workers tr"), "paused")).to_be_visible()
    expect(button(page, "resume", "all", "1")).to_be_visible()
    expect(button(page, "pause", "all", "1")).to_be_hidden()
    frames.send(closed="<b>Back</b> at noon.")
    expect(page.locator("#closed")).to_contain_text("<b>Back</b> at noon.")
    expect(page.locator("#paused")).to_be_visible()
    expect(button(page, "reopen", "reopen", "1")).to_be_visible()
    expect(page.locator("[name=closed_message]")).to_be_hidden()
    frames.send(paused=False, closed=None)
    expect(page.locator("#closed")).to_be_hidden()
    expect(page.locator("#paused")).to_be_hidden()
    expect(page.locator("[name=closed_message]")).to_be_visible()


# --- the search ---


def test_the_search_looks_through_all(
    visitors: Visitors, operator_name: str, watched: ServeProcess
) -> None:
    page = open_queue(visitors, operator_name)
    frames = Frames(page, watched)
    waits = [entry(number) for number in range(1, 621)]
    frames.open(workers=[worker(1), worker(2)], running=[running(900)], waiting=waits)
    expect(page.locator("#waiting tr")).to_have_count(500)
    expect(page.locator("#waiting-more")).to_have_text(
        "120 more are not shown; the search looks through all."
    )
    found, field = page.locator("#queue-found"), page.locator("#queue-q")
    expect(found).to_have_text("")
    field.fill(f"  {name('C', 610)[:8]} WAITING ")
    expect(page.locator("#waiting tr")).to_have_count(1)
    expect(row(page, "waiting", name("a", 610))).to_be_visible()
    expect(page.locator("#waiting-more")).to_be_hidden()
    expect(found).to_have_text("1 of 623")
    expect(page.locator("#count-waiting")).to_have_text("620")
    expect(page.locator("#workers tr")).to_have_count(0)
    section = page.locator("section", has=page.locator("#workers"))
    expect(section.get_by_text("The search finds none of these.")).to_be_visible()
    expect(section.get_by_text("No worker is running.")).to_be_hidden()
    expect(page).to_have_url(re.compile(r"\?q=C0000262\+WAITING$"))
    assert page.locator("#queue-form [name=next]").input_value().endswith("?q=C0000262+WAITING")
    frames.send(waiting=[])
    expect(found).to_have_text("0 of 3")
    field.fill("gpu:1")
    expect(found).to_have_text("2 of 3")  # the worker, and what it runs
    field.fill("")
    expect(found).to_have_text("")
    expect(page).to_have_url(re.compile(r"/queue/$"))
    expect(page.get_by_text("Nobody waits.")).to_be_visible()


def test_the_server_searches_too(
    visitors: Visitors, operator_name: str, watched: ServeProcess
) -> None:
    crowd = Crowd(watched)
    answered = crowd.ask()
    answered.until("response.in_progress")
    waits = [crowd.ask() for _ in range(2)]
    page = open_queue(visitors, operator_name, java_script_enabled=False)
    expect(page.locator("#waiting tr")).to_have_count(2)
    page.locator("#queue-q").fill(waits[1].id)
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#waiting tr")).to_have_count(1)
    expect(row(page, "waiting", waits[1].id)).to_contain_text("visitor:")
    expect(page.locator("#running tr, #workers tr")).to_have_count(0)
    expect(page.locator("#queue-found")).to_have_text("1 of 4")
    expect(page.locator("#count-waiting")).to_have_text("2")
    page.locator("#queue-q").fill("running")
    page.locator("#queue-q").press("Enter")
    expect(row(page, "running", answered.id)).to_contain_text(re.compile(r"\d+ / 4000"))
    expect(page.locator("#waiting tr")).to_have_count(0)
    for asker in (*waits, answered):  # leave nothing behind
        asker.cancel()
    crowd.leave()


# --- people ---


def test_a_viewer_sees_rows_move_and_has_no_controls(
    visitors: Visitors, viewer_name: str, watched: ServeProcess
) -> None:
    page = open_queue(visitors, viewer_name)
    expect(page.locator("#workers tr")).to_have_attribute("data-key", worker_id(page))
    crowd = Crowd(watched)
    first, second = crowd.ask(), crowd.ask()
    expect(row(page, "running", first.id)).to_be_visible()
    expect(row(page, "waiting", second.id)).to_be_visible()
    main = page.locator("#content-main")
    controls = main.locator("button, input:not(#queue-filter *), select, textarea")
    expect(controls).to_have_count(0)
    templates = page.locator("template").evaluate_all(
        "all => all.map((one) => one.content.querySelectorAll('button, input').length)"
    )
    assert templates == [0, 0, 0, 0]
    # The owner searches; the conversation is not for this one to open.
    links = row(page, "running", first.id).get_by_role("link")
    expect(links).to_have_text([re.compile("^visitor:"), first.id[:8]])
    first.cancel()
    expect(row(page, "running", second.id)).to_be_visible()
    expect(row(page, "running", first.id)).to_have_count(0)
    expect(page.locator("#waiting tr")).to_have_count(0)
    second.cancel()
    expect(page.get_by_text("Nothing is being answered.")).to_be_visible(timeout=PATIENCE)
    crowd.leave()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_out_of_reach(
    visitors: Visitors, operator_name: str, watched: ServeProcess, scheme: str
) -> None:
    page = open_queue(visitors, operator_name, viewport=PHONE, color_scheme=scheme)
    frames = Frames(page, watched)
    waits = [entry(1), entry(2, eta=70.0), entry(3, state="held", position=None)]
    frames.open(
        workers=[worker(1), worker(2, state="loading", details={"host": "gpu"}), worker(3)],
        running=[running(8), running(9, prompt_tokens=None)],
        waiting=waits,
        paused=True,
        closed="Closed. " + "w" * 200,
    )
    expect(page.locator("#waiting tr")).to_have_count(3)
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    assert page.evaluate(widths) == [380, 380]
    for _ in range(2):
        report = Axe().run(page, context="#content-main")
        assert report.response["violations"] == []
        frames.send(paused=False, closed=None)
        expect(page.locator("#closed")).to_be_hidden()
    page.set_viewport_size({"width": 1400, "height": 900})
    fits = "boxes => boxes.every((box) => box.scrollWidth <= box.clientWidth)"
    assert page.locator("#queue-form .cs-scroll").evaluate_all(fits)
