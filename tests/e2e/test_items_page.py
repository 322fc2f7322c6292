"""What an answer has besides its text, on the page: thoughts apart, calls, refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.e2e import wire
from tests.e2e.page import OpenPage, ask, expect_connected, expect_status
from tests.e2e.scripted import ScriptedServer
from tests.support.processes import ServeProcess

CALL = '{"city": "Kyōto", "unit": "c"}'
OTHER = '{"zone": "Asia/Tokyo"}'
SCRIPT: list[list[str]] = [
    ["reasoning", "The weather is what they want."],
    ["text", "Let me **look** that up.\n\n"],
    ["reasoning", "And the time, too."],
    ["text", "One moment."],
    ["call", "get_weather", CALL],
    ["call", "get_time", OTHER],
]
THOUGHTS = "The weather is what they want.\n\nAnd the time, too."
TEXT = "Let me look that up.\n\nOne moment."
REFUSAL = "I cannot help with that. <b>Ask</b> **another**."


def play(page: Page, script: list[list[str]]) -> Locator:
    return ask(page, f"play {json.dumps(script)}")


def calls(answer: Locator) -> list[tuple[str, str]]:
    """Names and arguments, as they are on the page."""
    found: list[tuple[str, str]] = answer.locator(".call").evaluate_all(
        """all => all.map((each) => [".call-name", ".call-arguments"].map(
            (part) => each.querySelector(part).textContent))"""
    )
    return [(name, arguments) for name, arguments in found]


def thoughts_of(answer: Locator) -> str:
    return answer.locator(".thought-text").text_content() or ""


def found_by_axe(page: Page) -> list[str]:
    found = Axe().run(page, context="#thread").response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]


@pytest.mark.parametrize(
    ("locale", "label", "head", "thought"),
    [
        ("en", "Function call", "Arguments", "Thought for a moment"),
        ("ja", "関数の呼び出し", "引数", "少し考えました"),
    ],
)
def test_calls_and_thoughts_are_folded_and_stay_in_order(
    open_fast: OpenPage, locale: str, label: str, head: str, thought: str
) -> None:
    page = open_fast(locale=locale)
    answer = play(page, SCRIPT)
    expect_status(answer, "completed")
    expect(answer.locator(".call").first).to_be_visible()
    for _ in range(2):
        assert calls(answer) == [("get_weather", CALL), ("get_time", OTHER)]
        assert thoughts_of(answer) == THOUGHTS
        assert answer.locator(".text").inner_text().strip() == TEXT
        assert answer.locator("details[open]").count() == 0
        expect(answer.locator(".call-label").first).to_have_text(label)
        expect(answer.locator(".thought-label")).to_have_text(thought)
        expect(answer.locator(".refusal")).to_be_hidden()
        first = answer.locator(".call").first
        first.locator("summary").click()
        expect(first.locator(".call-arguments")).to_be_visible()
        expect(first.locator(".call-head")).to_have_text(head)
        assert found_by_axe(page) == []
        page.reload()
        expect_connected(page)


def test_a_refusal_is_read_as_the_answer_and_said_to_be_one(open_fast: OpenPage) -> None:
    page = open_fast(permissions=["clipboard-read", "clipboard-write"])
    answer = play(page, [["reasoning", "No."], ["refusal", REFUSAL]])
    expect_status(answer, "completed")
    expect(page.locator("#status")).to_have_text("The answer is complete.")
    for _ in range(2):
        expect(answer.locator(".refusal-text")).to_have_text(REFUSAL)  # as text, not as markup
        expect(answer.locator(".refusal-label")).to_have_text("The model declined")
        expect(answer.locator(".meta-text")).not_to_contain_text("wrote no")
        expect(answer.locator(".retry")).to_be_hidden()
        answer.locator(".copy-answer").click()
        expect(answer.locator(".copied")).to_be_attached()
        assert page.evaluate("navigator.clipboard.readText()") == REFUSAL
        assert found_by_axe(page) == []
        page.reload()
        expect_connected(page)


def test_what_is_copied_and_printed_has_no_thought_and_no_folded_call(
    open_fast: OpenPage,
) -> None:
    page = open_fast(permissions=["clipboard-read", "clipboard-write"])
    answer = play(page, SCRIPT)
    expect_status(answer, "completed")
    answer.locator(".copy-answer").click()
    expect(page.locator("#status")).to_have_text("Copied")
    markdown = "Let me **look** that up.\n\nOne moment."
    assert page.evaluate("navigator.clipboard.readText()") == markdown
    page.evaluate("""() => getSelection().selectAllChildren(document.querySelector(".answer"))""")
    page.keyboard.press("ControlOrMeta+c")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "One moment." in copied
    for hidden in ("weather", "get_time", "Thought", "Function", "And the time"):
        assert hidden not in copied
    page.emulate_media(media="print")
    expect(answer.locator(".thought")).to_be_hidden()
    expect(answer.locator(".text")).to_be_visible()


def test_an_answer_of_calls_alone_is_none_without_words(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = play(page, [["call", "get_weather", CALL]])
    expect_status(answer, "completed")
    for _ in range(2):
        assert calls(answer) == [("get_weather", CALL)]
        expect(answer.locator(".meta-text")).not_to_contain_text("nothing")
        expect(answer.locator(".copy-answer")).to_be_hidden()
        expect(answer.locator(".regenerate")).to_be_visible()
        page.reload()
        expect_connected(page)


# --- what a server can say ---

HOSTILE = "</pre><img src=x onerror=alert(1)> مرحبا \u202e {{ \U0001f600"


def call_events(server: ScriptedServer, index: int, name: str, pieces: list[str]) -> None:
    place = {"output_index": index, "item_id": f"fc_{index}"}
    begun = wire.call(name, "", "in_progress")
    server.say("response.output_item.added", output_index=index, item=begun)
    for piece in pieces:
        server.say("response.function_call_arguments.delta", **place, delta=piece)


def test_calls_that_grow_beside_each_other(open_fast: OpenPage) -> None:
    page = open_fast()
    server = ScriptedServer(page)
    answer = server.ask("hostile")
    call_events(server, 0, "first", ["{", HOSTILE])
    call_events(server, 1, "second", ["["])
    later = {"output_index": 0, "item_id": "fc_0", "delta": "}"}
    server.say("response.function_call_arguments.delta", **later)
    expect(answer.locator(".call")).to_have_count(2)
    expect(answer.locator(".coming")).to_be_hidden()
    answer.locator(".call summary").first.click()
    assert calls(answer) == [("first", "{" + HOSTILE + "}"), ("second", "[")]
    # It begins anew, and says less: what is on the page stays until something else is known.
    server.begin()
    call_events(server, 0, "first", ["{"])
    page.wait_for_timeout(50)
    assert calls(answer) == [("first", "{" + HOSTILE + "}"), ("second", "[")]
    server.end(items=[wire.call("first", "{}")])
    expect(answer.locator(".call")).to_have_count(1)
    assert calls(answer) == [("first", "{}")]
    assert answer.locator(".call").evaluate("e => e.open"), "what was opened stays open"
    assert answer.locator(".items img").count() == 0


def test_a_long_call_is_no_wider_than_a_phone(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 360, "height": 740})
    long = "a_function_with_a_name_that_is_longer_than_any_phone_is_wide_" * 2
    answer = play(page, [["call", long, json.dumps({"x" * 300: 1})], ["refusal", "No" * 300]])
    expect_status(answer, "completed")
    answer.locator(".call summary").click()
    for selector in ("html", "#scroller"):
        over = page.locator(selector).evaluate("e => e.scrollWidth - e.clientWidth")
        assert over <= 0, f"{selector} is {over} px too wide"


def test_the_end_alone_tells_all(open_fast: OpenPage) -> None:
    """As it is when the response was ended elsewhere: no item was said to be done."""
    page = open_fast()
    server = ScriptedServer(page)
    answer = server.ask("lost")
    items = [wire.reasoning("One."), wire.message("A "), wire.reasoning("Two."), wire.message("b")]
    server.end("cancelled", items=[*items, wire.refusal("No."), wire.call("f", "{}")])
    expect_status(answer, "cancelled")
    assert thoughts_of(answer) == "One.\n\nTwo."
    assert (answer.locator(".text").text_content() or "").strip() == "A b"
    expect(answer.locator(".refusal-text")).to_have_text("No.")
    assert calls(answer) == [("f", "{}")]


def test_thoughts_stand_apart_as_they_come_and_when_told_again(open_fast: OpenPage) -> None:
    page = open_fast()
    server = ScriptedServer(page)
    answer = server.ask("twice")
    for _ in range(2):
        server.think("One", 900, item=0)
        server.think(".", 900, item=0)
        server.write("Text.")
        server.think("Two.", 1_900, item=2)
        expect(answer.locator(".thought-text")).to_have_text("One. Two.")
        assert thoughts_of(answer) == "One.\n\nTwo."
        server.begin()
    items = [wire.reasoning("One."), wire.message("Text."), wire.reasoning("Two.")]
    server.end(items=items, ms=1_900)
    assert thoughts_of(answer) == "One.\n\nTwo."


def test_events_of_a_later_version_change_nothing(open_fast: OpenPage) -> None:
    page = open_fast()
    server = ScriptedServer(page)
    answer = server.ask("later")
    server.write("Text.")
    server.say("response.output_item.added", output_index=7, item={"type": "web_search_call"})
    server.say("response.something.delta", delta="x")
    later: list[dict[str, Any]] = [{"type": "web_search_call", "id": "ws_1"}]
    server.end(items=[wire.message("Text."), *later])
    expect(answer.locator(".text")).to_have_text("Text.")
    expect(answer.locator(".items")).to_be_hidden()


def test_an_old_page_is_told_to_reload(open_fast: OpenPage, fast_server: ServeProcess) -> None:
    page = open_fast()
    page.route_web_socket(
        "**/ws/chat/*",
        lambda route: (
            route.connect_to_server() if "version=2" not in route.url else _as_version_9(route)
        ),
    )
    page.reload()
    expect(page.locator("#notice")).to_contain_text("This page is too old. Reload it")
    page.unroute_all()


def _as_version_9(route: Any) -> None:
    error = {"type": "error", "code": "unsupported_version", "message": "version 9", "param": None}
    route.send(json.dumps(error))
    route.close(code=4403)
