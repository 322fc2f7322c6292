"""How the chat page stands: widths, buttons, the state line, themes, in real Chromium."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.page import LONG, PATIENCE, OpenPage, ask, expect_status, wait_for_text

WIDTHS = (360, 390, 820, 1100, 1440)
WIDE_CODE = "x = " + "1 + " * 60 + "1"
RICH = (
    "say Some words of text, " + "which go on and on, " * 12 + "and end.\n\n"
    f"```python\n{WIDE_CODE}\n" + "y = 2\n" * 60 + "```\n\n"
    "|" + " a column |" * 12 + "\n|" + "--|" * 12 + "\n|" + " a value |" * 12 + "\n\n"
    "```python\nz = 3\n```\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\nThe end."
)

EDGES = """(selectors) => selectors.flatMap((selector) =>
    [...document.querySelectorAll(selector)].map((element) => {
        const { left, right } = element.getBoundingClientRect();
        return [selector, Math.round(left), Math.round(right)];
    }))"""
TOO_WIDE = """() => ["html", "#scroller", ".dock", ".bar"].filter((selector) => {
    const element = document.querySelector(selector);
    return element.scrollWidth > element.clientWidth;
})"""
LINE = """(element) => {
    const probe = document.createElement("span");
    const { font } = getComputedStyle(element);
    probe.style.cssText = `position: absolute; width: 70ch; font: ${font}`;
    document.body.append(probe);
    const [most, width] = [probe, element].map((each) => each.getBoundingClientRect().width);
    probe.remove();
    return width - most;
}"""
DARKNESS = """async (image) => {
    const bytes = Uint8Array.from(atob(image), (each) => each.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const { width, height } = bitmap;
    const canvas = new OffscreenCanvas(width, height).getContext("2d");
    canvas.drawImage(bitmap, 0, 0);
    const { data } = canvas.getImageData(0, 0, width, height);
    const mean = (x) => {
        let sum = 0;
        for (let y = 0; y < height; y++) sum += data[4 * (y * width + x)];
        return sum / height;
    };
    const middle = mean(Math.floor(width / 2));
    return { left: middle - mean(4), right: middle - mean(width - 5) };
}"""


def turn(page: Page, number: int) -> Locator:
    return page.locator(".turn").nth(number)


def box(locator: Locator) -> dict[str, float]:
    found = locator.bounding_box()
    assert found is not None
    return {"x": found["x"], "y": found["y"], "width": found["width"], "height": found["height"]}


def end_of(box: dict[str, float]) -> float:
    return box["y"] + box["height"]


def shadows(element: Locator) -> dict[str, bool]:
    """At which edges of an element there is a shadow, along its blank lowest pixels."""
    area = box(element)
    clip = {"x": area["x"], "y": end_of(area) - 8, "width": area["width"], "height": 4}
    page = element.page
    image = page.screenshot(clip=clip, animations="disabled")  # type: ignore[arg-type]
    darker = page.evaluate(DARKNESS, base64.b64encode(image).decode())
    return {side: difference > 4 for side, difference in darker.items()}


def test_one_width_at_every_width_and_no_room_for_nothing(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 1440, "height": 900})
    for prompt in ("say one", RICH, "say three"):
        expect_status(ask(page, prompt), "completed")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(TOO_WIDE) == [], width
        edges = page.evaluate(EDGES, [".answer .code", ".answer .table", ".text", ".composer"])
        assert len({(left, right) for _, left, right in edges}) == 1, (width, edges)
        paragraph = turn(page, 1).locator(".text p").first
        assert paragraph.evaluate(LINE) <= 1, width

        page.mouse.move(1, 1)
        turn(page, 0).scroll_into_view_if_needed()
        before = box(turn(page, 0))
        bubble, text = box(turn(page, 0).locator(".bubble")), box(turn(page, 0).locator(".text"))
        room = text["y"] - end_of(bubble)
        next_bubble = box(turn(page, 1).locator(".bubble"))
        assert room <= (24 if width > 576 else 40), (width, room)
        if width > 576:
            assert next_bubble["y"] - end_of(text) <= 50, width
        turn(page, 0).hover()
        assert box(turn(page, 0)) == before
        copy, edit = (turn(page, 0).locator(name) for name in (".copy-prompt", ".edit"))
        for button in (copy, edit, turn(page, 0).locator(".regenerate")):
            expect(button).to_have_css("opacity", "1")
            expect(button).to_be_in_viewport(ratio=1)


def test_buttons_appear_for_the_keyboard_and_for_a_finger(open_fast: OpenPage) -> None:
    page = open_fast()
    for prompt in ("say one", "say two"):
        expect_status(ask(page, prompt), "completed")
    page.mouse.move(1, 1)
    copy = turn(page, 0).locator(".copy-prompt")
    actions = turn(page, 0).locator(".prompt-actions")
    faded = "e => getComputedStyle(e).opacity"
    expect(copy).to_have_css("opacity", "0")
    expect(turn(page, 0).locator(".meta")).to_have_css("opacity", "0")
    expect(turn(page, 1).locator(".copy-prompt")).to_have_css("opacity", "1")
    for _ in range(14):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.matches('.turn:first-of-type .copy-prompt')"):
            break
    expect(copy).to_be_focused()
    expect(copy).to_have_css("opacity", "1")
    assert actions.evaluate(faded) == "1"

    phone = open_fast(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 780})
    for prompt in ("say one", "say two"):
        expect_status(ask(phone, prompt), "completed")
    for name in (".copy-prompt", ".edit", ".copy-answer", ".regenerate"):
        button = turn(phone, 0).locator(name)
        expect(button).to_have_css("opacity", "1")
        area = box(button)
        assert min(area["width"], area["height"]) >= 40
    # What the row takes lies in the room between prompt and answer, and covers neither.
    copy_area = box(turn(phone, 0).locator(".copy-prompt"))
    text = box(turn(phone, 0).locator(".text"))
    icon_end = copy_area["y"] + copy_area["height"] / 2 + 8
    assert icon_end <= text["y"]
    assert text["y"] - end_of(box(turn(phone, 0).locator(".bubble"))) <= 50


def test_what_scrolls_sideways_says_so_and_the_head_of_code_stays(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 1100, "height": 700})
    answer = ask(page, RICH)
    expect_status(answer, "completed")
    code, short_code = answer.locator(".code").all()
    table, short_table = answer.locator(".table").all()
    for element in (short_code.locator("pre"), short_table):
        element.scroll_into_view_if_needed()
        assert shadows(element) == {"left": False, "right": False}
    for element in (table, code.locator("pre")):
        element.evaluate("e => e.scrollIntoView({block: 'end'})")
        assert element.evaluate("e => e.scrollWidth > e.clientWidth")
        assert shadows(element) == {"left": False, "right": True}
        element.evaluate("e => { e.scrollLeft = 60; }")
        assert shadows(element) == {"left": True, "right": True}
        element.evaluate("e => { e.scrollLeft = e.scrollWidth; }")
        assert shadows(element) == {"left": True, "right": False}

    answer.get_by_text("y", exact=True).nth(40).evaluate("e => e.scrollIntoView({block: 'center'})")
    top = box(page.locator("#scroller"))["y"]
    area = box(code)
    assert area["y"] < top - 100
    button = code.locator(".copy-code")
    expect(button).to_be_in_viewport(ratio=1)
    assert box(button)["y"] - top < 12
    at = {"x": area["x"] + 30, "y": top + 12}
    # The head is the block's own; below it is the code.
    hit = "({x, y}) => document.elementFromPoint(x, y).className"
    assert page.evaluate(hit, at) == "code"
    head = code.evaluate("e => getComputedStyle(e, '::before').content")
    assert head == '"python"'


def test_the_header_names_the_conversation(open_fast: OpenPage) -> None:
    page = open_fast()
    title = page.locator(".bar h1")
    assert box(title)["width"] <= 1  # for those who hear the page alone
    expect_status(ask(page, "say a title"), "completed")
    expect(title).to_have_text("say a title")
    assert box(title)["width"] > 50
    page.get_by_role("link", name="say a title").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the menu
    page.get_by_role("menuitem", name="Rename").click()
    page.locator(".side-rename").fill("Renamed, and " + "very long " * 10)
    page.keyboard.press("Enter")
    expect(title).to_contain_text("Renamed, and")
    page.set_viewport_size({"width": 390, "height": 700})
    assert page.evaluate(TOO_WIDE) == []
    assert box(title)["width"] > 150
    page.reload()
    expect(title).to_contain_text("Renamed, and")


def test_one_state_is_told_at_a_time(open_fast: OpenPage) -> None:
    busy, page = open_fast(), open_fast()
    connection, notice = page.locator("#connection"), page.locator("#notice")
    expect(connection).to_be_hidden()
    running = ask(busy, LONG)
    wait_for_text(running)
    page.context.set_offline(True)
    expect(connection).to_have_attribute("data-state", "lost")
    expect(notice).to_be_visible()
    expect(connection).to_be_hidden()
    page.context.set_offline(False)
    expect(connection).to_have_attribute("data-state", "open", timeout=PATIENCE)
    expect(connection).to_be_visible()
    expect(connection).to_have_text("Connected")
    expect(notice).to_be_hidden()
    expect(connection).to_be_hidden()  # a moment later


def test_stop_stands_in_the_place_of_send(open_fast: OpenPage) -> None:
    page = open_fast()
    prompt, stop, send = (page.locator(name) for name in ("#prompt", "#stop", "#send"))
    expect(send).to_be_visible()
    expect(stop).to_be_hidden()
    place = box(send)
    answer = ask(page, LONG)
    wait_for_text(answer)
    expect(send).to_be_hidden()
    assert box(stop) == place
    assert stop.evaluate("e => getComputedStyle(e).backgroundColor") == page.evaluate(
        "getComputedStyle(document.body).color"
    )
    prompt.fill("next")
    expect(stop).to_be_hidden()
    expect(send).to_be_enabled()
    prompt.fill("  ")  # nothing
    expect(stop).to_be_visible()
    stop.click()
    expect_status(answer, "cancelled")
    expect(send).to_be_visible()
    expect(prompt).to_be_focused()


def test_versions_stand_where_they_were_made(open_fast: OpenPage) -> None:
    page = open_fast()
    expect_status(ask(page, "say one"), "completed")
    answer, prompt = page.locator(".answer"), page.locator(".prompt")
    answer.locator(".regenerate").click()
    expect(answer.locator(".version")).to_have_text("2 / 2")
    expect(prompt.locator(".version")).to_have_count(0)
    expect_status(answer, "completed")
    prompt.locator(".edit").click()
    page.locator(".editor-text").fill("say two")
    page.locator(".editor-text").press("Enter")
    expect(prompt.locator(".version")).to_have_text("2 / 2")
    expect(answer.locator(".version")).to_have_count(0)
    expect_status(answer, "completed")
    answer.locator(".regenerate").click()
    for _ in range(2):  # as the page made them, and as the server knows them
        expect_status(answer, "completed")
        expect(answer.locator(".version")).to_have_text("2 / 2")
        expect(prompt.locator(".version")).to_have_text("2 / 2")
        page.reload()
    prompt.locator(".older").click()
    expect(page.locator(".bubble")).to_have_text("say one")
    expect(prompt.locator(".version")).to_have_text("1 / 2")
    expect(prompt.locator(".older")).to_be_focused()
    expect(answer.locator(".version")).to_have_text("2 / 2")  # the newest answer to it
    answer.locator(".older").click()
    expect(answer.locator(".version")).to_have_text("1 / 2")
    expect(page.locator(".bubble")).to_have_text("say one")
    expect(page.locator("#status")).to_have_text("Version 1 of 2")
    expect_status(ask(page, "say more"), "completed")
    expect(turn(page, 0).locator(".prompt .versions")).to_be_visible()
    expect(turn(page, 0).locator(".answer .versions")).to_be_visible()


def test_a_theme_is_there_at_once_in_every_tab(open_fast: OpenPage) -> None:
    page = open_fast(color_scheme="light")
    other = open_fast(like=page)
    other.goto(other.url + "accounts/")
    body = "getComputedStyle(document.body).backgroundColor"
    dark, light = "rgb(23, 24, 22)", "rgb(250, 249, 246)"
    assert page.evaluate(body) == light
    other.get_by_label("Appearance", exact=True).select_option("dark")
    for each in (other, page):
        expect(each.locator("html")).to_have_attribute("data-theme", "dark")
        assert each.evaluate(body) == dark
    metas = page.locator('meta[name="theme-color"]').evaluate_all("es => es.map((e) => e.content)")
    assert metas == ["#171816", "#171816"]
    assert page.locator('meta[name="color-scheme"]').get_attribute("content") == "dark"
    page.reload()
    assert page.evaluate(body) == dark
    other.route("**/preferences/", lambda route: route.abort("internetdisconnected"))
    other.get_by_label("Appearance", exact=True).select_option("light")
    expect(other.get_by_label("Appearance", exact=True)).to_have_value("dark")  # what is kept
    expect(other.locator("html")).to_have_attribute("data-theme", "dark")
    other.unroute("**/preferences/")
    other.get_by_label("Appearance", exact=True).select_option("system")
    for each in (other, page):
        expect(each.locator("html")).not_to_have_attribute("data-theme", "dark")
        assert each.evaluate(body) == light


CONTROLS = ("#tune", "#send", ".copy-answer", ".regenerate", ".edit", "#side-open", ".new")


@pytest.mark.parametrize(
    "options",
    [
        {"forced_colors": "active"},
        {"reduced_motion": "reduce"},
        {"viewport": {"width": 320, "height": 512}},
    ],
    ids=["forced colours", "reduced motion", "zoomed"],
)
def test_no_control_is_lost(open_fast: OpenPage, options: dict[str, Any]) -> None:
    """320 pixels are what 1280 are at 400 %."""
    page = open_fast(**{"viewport": {"width": 820, "height": 700}, **options})
    answer = ask(page, "say words")
    expect_status(answer, "completed")
    for selector in CONTROLS:
        expect(page.locator(selector)).to_be_visible()
        expect(page.locator(selector)).to_be_in_viewport(ratio=1)
    assert page.evaluate(TOO_WIDE) == []
    page.locator("#prompt").focus()
    if "forced_colors" in options:
        edge = "e => getComputedStyle(e).borderTopWidth"
        for selector in (".bubble", ".composer", "#send"):
            assert page.locator(selector).evaluate(edge) == "1px"
        answer.locator(".like").click()
        expect(answer.locator(".like")).to_have_css("outline-style", "solid")
    if "reduced_motion" in options:
        moving = "document.getAnimations().filter((each) => each.playState === 'running').length"
        running = ask(page, LONG)
        wait_for_text(running)
        assert page.evaluate(moving) == 0
        page.locator("#stop").click()
    page.locator("#side-open").click()
    expect(page.locator("#side")).to_be_in_viewport()
    expect(page.locator("#side-close")).to_be_in_viewport(ratio=1)


def test_right_to_left(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 820, "height": 700})
    answer = ask(page, "say שלום עולם\n\n| א | ב |\n|--|--|\n| 1 | 2 |\n\n```python\nx = 1\n```")
    expect_status(answer, "completed")
    paragraph = answer.locator(".text p").first
    assert paragraph.evaluate("e => getComputedStyle(e.closest('.block')).direction") == "rtl"
    text, column = box(paragraph), box(answer.locator(".text"))
    assert text["x"] + text["width"] == pytest.approx(column["x"] + column["width"], abs=1)
    assert answer.locator("pre").evaluate("e => getComputedStyle(e).direction") == "ltr"

    page.evaluate("document.documentElement.dir = 'rtl'")  # a page of such a language
    assert page.evaluate(TOO_WIDE) == []
    composer = box(page.locator("#composer"))
    middle = composer["x"] + composer["width"] / 2
    assert box(page.locator("#send"))["x"] < middle < box(page.locator("#tune"))["x"]
    assert box(page.locator(".bubble"))["x"] == pytest.approx(composer["x"], abs=1)
    assert box(page.locator(".brand"))["x"] > box(page.locator(".bar h1"))["x"]
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate(TOO_WIDE) == []
