"""The drawer with instructions and sampling, and the card of the model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.page import OpenPage, ask, expect_connected, expect_status
from tests.e2e.scripted import ScriptedServer
from tests.e2e.visitors import Visitors, new_name, sign_up, visiting
from tests.support.processes import ServeProcess

BRIEF, FRENCH = "Be brief.", "Answer in French."
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 780}, "has_touch": True}


@pytest.fixture
def visitors(browser: Browser, fast_server: ServeProcess) -> Iterator[Visitors]:
    yield from visiting(browser, fast_server)


def open_drawer(page: Page) -> None:
    page.locator("#tune").click()
    expect(page.locator("#i-conversation")).to_be_editable()


def close_drawer(page: Page) -> None:
    page.keyboard.press("Escape")
    expect(page.locator("#settings")).to_be_hidden()


def is_accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []


def test_those_of_a_conversation_go_with_its_first_prompt_and_stay_with_it(
    open_fast: OpenPage,
) -> None:
    page = open_fast()
    open_drawer(page)
    page.get_by_label("In this conversation").fill(BRIEF)
    page.get_by_label("In this conversation").blur()
    expect(page.locator("#w-conversation")).to_have_text("They go with your first prompt.")
    close_drawer(page)
    expect(page.locator("#tune")).to_have_class(re.compile("tuned"))
    page.reload()  # nothing is sent yet, and nothing is lost
    expect_connected(page)
    sent: list[str] = []
    page.on("websocket", lambda ws: ws.on("framesent", lambda data: sent.append(str(data))))
    page.reload()
    expect_connected(page)
    expect_status(ask(page, "say one"), "completed")
    expect_status(ask(page, "say two"), "completed")
    first, second = (each for each in sent if "response.create" in each)
    assert f'"instructions":"{BRIEF}"' in first
    assert "instructions" not in second
    page.reload()
    expect_connected(page)
    expect(page.locator("#tune")).to_have_class(re.compile("tuned"))
    open_drawer(page)
    expect(page.locator("#i-conversation")).to_have_value(BRIEF)
    page.locator("#i-conversation").fill(FRENCH)
    close_drawer(page)
    open_drawer(page)
    expect(page.locator("#i-conversation")).to_have_value(FRENCH)
    page.locator("#i-conversation").fill("")
    close_drawer(page)
    expect(page.locator("#tune")).not_to_have_class(re.compile("tuned"))
    other = open_fast(like=page)  # another conversation begins without
    open_drawer(other)
    expect(other.locator("#i-conversation")).to_have_value("")


def test_those_of_an_account_hold_for_all_its_conversations(
    visitors: Visitors, fast_server: ServeProcess
) -> None:
    page = visitors.open()
    open_drawer(page)
    expect(page.locator("#i-account")).to_have_count(0)
    page.get_by_role("link", name="Sign in").last.click()
    page.wait_for_url(re.compile(r"/accounts/login/\?next=%2F$"))
    sign_up(page, fast_server, new_name())
    expect_connected(page)
    open_drawer(page)
    without = page.get_by_label("Leave out those for all my conversations here")
    expect(without).to_be_hidden()
    page.get_by_label("In all my conversations").fill(FRENCH)
    expect(without).to_be_visible()
    page.get_by_label("In all my conversations").blur()
    expect(page.locator("#w-account")).to_have_text("Saved.")
    is_accessible(page)
    close_drawer(page)
    expect_status(ask(page, "say one"), "completed")
    open_drawer(page)
    expect(page.locator("#i-account")).to_have_value(FRENCH)
    without.check()
    expect(page.locator("#w-conversation")).to_have_text("Saved.")
    close_drawer(page)
    open_drawer(page)
    expect(without).to_be_checked()
    page.goto(f"{fast_server.url}/accounts/")
    box = page.get_by_label("In all my conversations")
    expect(box).to_have_value(FRENCH)
    box.fill(BRIEF)
    page.locator("section", has=box).get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your instructions were saved.")).to_be_visible()
    expect(page.get_by_label("In all my conversations")).to_have_value(BRIEF)
    is_accessible(page)


def test_what_cannot_be_saved_is_said_and_stays(open_fast: OpenPage) -> None:
    page = open_fast()
    expect_status(ask(page, "say one"), "completed")
    open_drawer(page)
    box = page.locator("#i-conversation")
    box.fill("x" * 4001)
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#w-conversation")).to_contain_text("4,001 characters; at most 4,000")
    close_drawer(page)
    open_drawer(page)
    expect(box).to_have_value("x" * 4001)
    box.fill("👍" * 4000)  # as the server counts them
    expect(box).to_have_attribute("aria-invalid", "false")
    expect(page.locator("#n-conversation")).to_have_text("4,000 / 4,000")
    box.fill(BRIEF)

    posts = re.compile("/c/.*/instructions/")
    page.route(posts, lambda route: route.abort("internetdisconnected"))
    box.blur()
    expect(page.locator("#w-conversation")).to_contain_text("Not saved: The server")
    page.unroute(posts)
    close_drawer(page)  # which tries again
    open_drawer(page)
    expect(box).to_have_value(BRIEF)
    page.reload()
    expect_connected(page)
    open_drawer(page)
    expect(box).to_have_value(BRIEF)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_drawer_is_modal_and_at_its_edge(open_fast: OpenPage, width: int) -> None:
    page = open_fast(viewport={"width": width, "height": 800}, reduced_motion="reduce")
    page.locator("#tune").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#i-conversation")).to_be_editable()
    drawer = page.locator("#settings")
    box = drawer.bounding_box()
    assert box is not None
    assert (box["x"] + box["width"], box["y"] + box["height"]) == (width, 800)
    if width < 600:
        assert (box["x"], box["width"]) == (0, width)
        assert 50 < box["y"] < 400  # the page is seen above it
    else:
        assert (box["y"], box["height"]) == (0, 800)
    assert drawer.evaluate("e => e.querySelector('form').getAnimations().length") == 0
    for key in ("Tab", "Shift+Tab"):
        for _ in range(30):
            page.keyboard.press(key)
            at = page.evaluate(
                "document.activeElement === document.body || "
                "document.getElementById('settings').contains(document.activeElement)"
            )
            assert at  # (the browser's own bar is the body's)
    is_accessible(page)
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(page.locator("#tune")).to_be_focused()
    page.locator("#tune").click()
    page.mouse.click(5, 5)  # beside it
    expect(drawer).to_be_hidden()


def test_a_drawer_that_cannot_be_fetched_says_so(open_fast: OpenPage) -> None:
    page = open_fast()
    page.route("**/drawer/", lambda route: route.abort("internetdisconnected"))
    page.locator("#tune").click()
    expect(page.locator("#notice")).to_contain_text("cannot be reached")
    page.unroute("**/drawer/")
    open_drawer(page)


def test_defaults_are_shown_beside_what_differs(open_fast: OpenPage) -> None:
    page = open_fast()
    ScriptedServer(page, sampling={"temperature": 0.6})
    open_drawer(page)
    field = page.locator(".field", has=page.locator("#s-temperature"))
    expect(field.locator(".default")).to_be_empty()
    page.get_by_label("Temperature").fill("1.5")
    expect(field.locator(".default")).to_have_text("Default: 0.6")
    page.get_by_role("button", name="Reset to defaults").click()
    expect(page.get_by_label("Temperature")).to_have_value("")


# --- the model's card ---


def facts(page: Page) -> dict[str, str]:
    rows = page.locator("#model-card dl > div:visible")
    return {row.locator("dt").inner_text(): row.locator("dd").inner_text() for row in rows.all()}


def test_the_card_says_what_is_known_of_the_model(open_fast: OpenPage) -> None:
    page = open_fast(reduced_motion="reduce")
    ScriptedServer(
        page,
        sampling={"temperature": 0.6, "top_k": 20},
        card={"parameters": 134_515_008, "dtype": "int8", "takes_system": False},
    )
    name = page.get_by_role("button", name="scripted")
    name.focus()
    page.keyboard.press("Enter")
    card = page.get_by_role("dialog", name="scripted")
    expect(card.get_by_text("int8")).to_be_visible()
    assert facts(page) == {
        "Parameters": "135M",
        "Weights": "int8",
        "Context": "4,096 tokens",
        "Longest answer": "400 tokens",
        "Thinking": "It may think before it answers.",
        "Instructions": "They are put before the first prompt.",
        "Sampling by default": "temperature 0.6\ntop_k 20",
    }
    is_accessible(page)
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(name).to_be_focused()
    name.click()
    expect(card).to_be_visible()
    name.click()
    expect(card).to_be_hidden()


def test_what_nobody_knows_is_left_out_of_the_card(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 360, "height": 700})
    limits = {"max_input_chars": 10_000, "max_tokens": 400, "context_tokens": None}
    ScriptedServer(page, model="m" * 80, thinks=False, limits=limits)
    page.locator("#model").click()
    expect(page.locator("#model-card h2")).to_have_text("m" * 80)
    assert facts(page) == {"Longest answer": "400 tokens"}
    box = page.locator("#model-card").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    ScriptedServer(page, model=None)  # a reload: no worker is there
    expect(page.locator("#model")).to_be_hidden()


def test_it_is_all_japanese(open_fast: OpenPage) -> None:
    page = open_fast(locale="ja-JP", **PHONE)
    page.locator("#tune").tap()
    expect(page.locator("#i-conversation")).to_be_editable()
    page.locator("#i-conversation").fill("短く答えてください。")
    page.locator("#i-conversation").blur()
    expect(page.locator("#w-conversation")).to_have_text("最初の質問と一緒に送られます。")
    words = page.locator("#settings").inner_text()
    assert re.findall(r"[A-Za-z]{4,}", words) == []
    close_drawer(page)
    page.locator("#model").tap()
    expect(page.locator("#model-card")).to_contain_text("コンテキスト")
    is_accessible(page)
