"""What a model thinks, on the page: open while it streams, folded when the answer begins."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.e2e.page import OpenPage, ask, expect_connected, expect_status, stop
from tests.e2e.scripted import ScriptedServer
from tests.support.fake_engine import thoughts, words

LABEL = ".thought-label"
TOOK = re.compile(r"^Thought for (a moment|\d+ s)$")

# Each frame's thought and text, whether the thought is open, and where things stand on the screen.
_RECORD = """() => {
    window.seen = [];
    const top = (element) => Math.round(element.getBoundingClientRect().top);
    const frame = () => {
        const answer = [...document.querySelectorAll(".answer")].at(-1);
        const thought = answer.querySelector(".thought");
        window.seen.push({
            thought: thought.querySelector(".thought-text").textContent,
            text: answer.querySelector(".text").textContent,
            open: thought.open && !thought.hidden,
            head: top(thought),
            prompt: top(answer.closest(".turn").querySelector(".bubble")),
        });
        requestAnimationFrame(frame);
    };
    frame();
}"""


def is_open(answer: Locator) -> bool:
    found: bool = answer.locator(".thought").evaluate("e => e.open")
    return found


def thought_of(answer: Locator) -> str:
    return answer.locator(".thought-text").text_content() or ""


def wait_for_thought(answer: Locator) -> None:
    expect(answer.locator(".thought")).to_have_attribute("open", "")
    expect(answer.locator(".thought-text")).to_contain_text("t12")


def expect_folded(answer: Locator) -> None:
    expect(answer.locator(".thought")).not_to_have_attribute("open", "")


def top_of(element: Locator) -> float:
    top: float = element.evaluate("e => e.getBoundingClientRect().top")
    return top


# --- while it streams ---


def test_no_frame_mixes_or_moves_what_is_thought_and_said(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 390, "height": 420})
    expect_status(ask(page, "say Many words."), "completed")
    answer = ask(page, "think 110 stop 60")
    page.evaluate(_RECORD)
    expect_status(answer, "completed")
    seen: list[dict[str, Any]] = page.evaluate("window.seen")
    frames = [each for each in seen if each["thought"]]
    assert len(frames) > 20
    assert any(frame["open"] for frame in frames)
    folds = 0
    for before, now in pairwise(frames):
        assert now["thought"].startswith(before["thought"])
        assert now["text"].strip().startswith(before["text"].strip())
        assert "w" not in now["thought"]
        assert "t" not in now["text"]
        if before["open"] and not now["open"]:
            folds += 1
            assert abs(now["head"] - before["head"]) <= 1, "the fold moves what is in sight"
            assert abs(now["prompt"] - before["prompt"]) <= 1
        else:  # the page follows the end, and nothing comes back down
            assert now["prompt"] <= before["prompt"] + 1
    assert folds == 1
    assert not frames[-1]["open"]
    assert thought_of(answer) == thoughts(110).strip()
    expect(answer.locator(LABEL)).to_have_text(TOOK)


def test_the_reader_opens_and_closes_it_and_it_stays(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 600, "height": 500})
    answer = ask(page, "think 60 stop 60")
    head = answer.locator(".thought summary")
    wait_for_thought(answer)
    expect(answer.locator(LABEL)).to_have_text("Thinking…")
    head.focus()
    page.keyboard.press("Enter")
    expect_folded(answer)
    expect(answer.locator(".text")).to_contain_text("w3")
    assert not is_open(answer)
    expect(head).to_be_focused()
    page.keyboard.press("Enter")
    expect(answer.locator(".thought-text")).to_be_visible()
    expect_status(answer, "completed")
    assert is_open(answer)
    expect(head).to_be_focused()


def test_whoever_reads_in_it_keeps_it_open(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 390, "height": 500})
    answer = ask(page, "think 250 stop 5")
    box = answer.locator(".thought-text")
    page.wait_for_function(
        "e => e.scrollTop > 60", arg=box.element_handle()
    )  # its end is in sight by itself
    box.hover()
    page.mouse.wheel(0, -40)
    page.wait_for_timeout(300)
    top = box.evaluate("e => e.scrollTop")
    expect_status(answer, "completed")
    assert is_open(answer)
    assert box.evaluate("e => e.scrollTop") == pytest.approx(top, abs=1)


def test_a_reload_and_a_second_tab_in_the_middle_of_it(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = ask(page, "think 150 stop 5")
    wait_for_thought(answer)
    other = open_fast(like=page, path=page.url.partition(page.url.split("/")[2])[2])
    page.reload()
    for each in (page, other):
        expect(each.locator(".thought-text")).to_contain_text("t12 ")
        expect(each.locator(LABEL)).to_have_text("Thinking…")
    labels = []
    for each in (page, other):
        expect_status(each.locator(".answer"), "completed")
        expect_folded(each.locator(".answer"))
        assert thought_of(each.locator(".answer")) == thoughts(150).strip()
        labels.append(each.locator(LABEL).text_content())
    page.reload()
    labels.append(page.locator(LABEL).text_content())
    assert labels[0] == labels[1] == labels[2]
    assert thought_of(page.locator(".answer")) == thoughts(150).strip()
    page.locator(".thought summary").click()
    ask(other, "stop 1")  # which the first one loads, as it loads all other turns
    expect(page.locator(".turn")).to_have_count(2)
    assert is_open(page.locator(".answer").first)


def test_the_connection_is_lost_in_the_middle_of_it(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = ask(page, "think 150 stop 5")
    wait_for_thought(answer)
    page.context.set_offline(True)
    expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
    before = thought_of(answer)
    page.context.set_offline(False)
    expect_connected(page)
    assert thought_of(answer).startswith(before)
    expect_status(answer, "completed")
    assert thought_of(answer) == thoughts(150).strip()
    expect_folded(answer)


def test_it_is_stopped_and_goes_on_inside_the_thought(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = ask(page, "think 90 stop 4")
    wait_for_thought(answer)
    heard = "e => e.closest('[aria-live]:not([aria-live=off]), [role=status], [role=alert]')"
    assert answer.locator(".thought").evaluate(f"e => ({heard})(e) === null")
    expect(page.locator("#status")).to_have_text("The model is thinking.")
    stop(page, answer)
    expect_folded(answer)
    expect(answer.locator(LABEL)).to_have_text(re.compile("^Stopped while thinking"))
    cut = thought_of(answer)
    page.reload()
    expect(answer.locator(LABEL)).to_have_text(re.compile("^Stopped while thinking"))
    answer.locator(".continue").click()
    expect(page.locator("#status")).to_have_text("The model is thinking.")
    expect_status(answer, "completed")
    assert thought_of(answer).startswith(cut)
    assert thought_of(answer) == thoughts(90).strip()
    assert (answer.locator(".text").text_content() or "").strip() == "".join(words(4)).strip()
    expect(answer.locator(LABEL)).to_have_text(TOOK)
    label = answer.locator(LABEL).text_content()
    expect(page.locator("#status")).to_have_text("The answer is complete.")
    page.reload()
    expect(answer.locator(LABEL)).to_have_text(label or "")


# --- what is made of it ---


def test_it_is_not_copied_and_printed_only_where_it_is_open(open_fast: OpenPage) -> None:
    page = open_fast(permissions=["clipboard-read", "clipboard-write"])
    answer = ask(page, "think 5 stop 3")
    expect_status(answer, "completed")
    said = "".join(words(3)).strip()
    answer.locator(".copy-answer").click()
    expect(page.locator("#status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").strip() == said
    select = """() => getSelection().selectAllChildren(document.querySelector(".answer"))"""
    for is_there in (False, True):
        page.evaluate(select)
        page.keyboard.press("ControlOrMeta+c")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert said in copied
        assert ("t1" in copied) == is_there
        assert "Thought" not in copied
        page.emulate_media(media="print")
        assert answer.locator(".thought").is_visible() == is_there
        page.emulate_media(media="screen")
        answer.locator(".thought summary").click()
    assert "t1" not in page.title()
    page.locator("#side-query").fill("t1 t2")
    expect(page.locator("#side-list")).not_to_contain_text("think 5")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_a_thought(open_fast: OpenPage, scheme: Any) -> None:
    page = open_fast(color_scheme=scheme, reduced_motion="reduce")
    answer = ask(page, "think 400 stop 3")
    wait_for_thought(answer)
    assert found_by_axe(page) == []
    stop(page, answer)
    answer.locator(".thought summary").click()
    assert found_by_axe(page) == []


def found_by_axe(page: Page) -> list[str]:
    found = Axe().run(page, context="#thread").response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]


# --- what a server can say ---

HOSTILE = (
    "<img src=x onerror=alert(1)>\n\nمرحبا <b>واحد</b>.\n"
    "`code` & &amp; \u202e end \ud83d\ude00 \ud83d"
)
"""Its last two signs are a character in halves, which come one after the other, and half a one."""


def test_a_thought_is_plain_text_in_any_direction(open_fast: OpenPage) -> None:
    page = open_fast()
    server = ScriptedServer(page)
    answer = server.ask("hostile")
    for piece in re.findall("(?s).{1,3}", HOSTILE):
        server.think(piece, 900)
    server.write("Yes.")
    server.end(text="Yes.", reasoning=HOSTILE, ms=900)
    expect_status(answer, "completed")
    whole = HOSTILE.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert thought_of(answer)[:-1] == whole[:-1]
    assert answer.locator(".thought-text :not(.thought-part)").count() == 0
    expect(answer.locator(LABEL)).to_have_text("Thought for a moment")
    answer.locator(".thought summary").click()
    places = answer.locator(".thought-text").evaluate(
        """(box) => {
            const text = box.querySelector(".thought-part").firstChild;
            const at = text.data.indexOf("مرحبا");
            const range = document.createRange();
            range.setStart(text, at);
            range.setEnd(text, text.data.indexOf("\\n", at));
            const line = range.getBoundingClientRect();
            const { left, right } = box.getBoundingClientRect();
            return [line.left - left, right - line.right];
        }"""
    )
    assert places[0] > 3 * places[1], "Arabic begins at the right"


def test_a_long_thought_stays_within_bounds(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 390, "height": 700})
    server = ScriptedServer(page)
    answer = server.ask("long")
    long = "x" * 40_000 + "\n" + "line of words\n" * 4_500
    for at in range(0, len(long), 1_000):
        server.think(long[at : at + 1_000], at)
    expect(answer.locator(".thought")).to_have_attribute("open", "")
    page.wait_for_function(
        "e => e.textContent.length > 102_900", arg=answer.locator(".thought-text").element_handle()
    )
    box = answer.locator(".thought-text")
    assert box.evaluate("e => [e.offsetHeight < 300, e.scrollWidth <= e.clientWidth]") == [True] * 2
    assert box.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight") < 3
    lengths = box.evaluate("e => [...e.children].map(part => part.textContent.length)")
    assert lengths[:2] == [20_000, 20_000]
    assert max(lengths[2:]) < 1_100, "what grows is short"
    server.end("incomplete", reasoning=long, ms=125_000)
    expect(answer.locator(LABEL)).to_have_text("Stopped while thinking · 2 min 5 s")
    expect(answer.locator(".meta-text")).to_contain_text("The model wrote no answer")
    assert thought_of(answer) == long.strip()


def test_an_answer_that_begins_anew_voids_both(open_fast: OpenPage) -> None:
    page = open_fast()
    server = ScriptedServer(page)
    answer = server.ask("anew")
    server.think("First thought.", 4_000)
    server.write("First answer.")
    expect(answer.locator(".text")).to_contain_text("First answer.")
    server.begin()
    server.think("First", 1_000)  # as if it were only told again
    page.wait_for_timeout(100)
    assert thought_of(answer) == "First thought."
    expect(answer.locator(".text")).to_contain_text("First answer.")
    server.think(" was wrong.", 2_000)
    expect(answer.locator(".thought-text")).to_have_text("First was wrong.")
    expect(answer.locator(".text")).not_to_contain_text("First answer.")
    expect(answer.locator(".thought")).to_have_attribute("open", "")
    server.write("Second.")
    expect_folded(answer)
    expect(answer.locator(LABEL)).to_have_text("Thought for 2 s")
    # A thought after some text: the line says so, and nothing opens above what is read.
    server.think(" Or not?", 3_000)
    expect(answer.locator(LABEL)).to_have_text("Thinking…")
    expect(answer.locator(".thought-text")).to_have_text("First was wrong. Or not?")
    page.wait_for_timeout(300)
    assert not is_open(answer)
    server.end("failed", "Second.", "First was wrong. Or not?", 3_000)
    expect(answer.locator(LABEL)).to_have_text("Thought for 3 s")
    expect(answer.locator(".meta-text")).to_contain_text("The model failed at this answer.")


def test_the_panel_says_what_the_model_takes_and_asks_for_a_thought(open_fast: OpenPage) -> None:
    page = open_fast()
    server = ScriptedServer(page, sampling={"temperature": 0.6, "top_k": 20})
    page.locator("#tune").click()
    expect(page.locator("#s-temperature")).to_have_attribute("placeholder", "0.6")
    expect(page.locator("#s-top_k")).to_have_attribute("placeholder", "20")
    expect(page.locator("#s-top_p")).to_have_attribute("placeholder", "0.9")
    page.get_by_label("Thinking").select_option("Off")
    page.keyboard.press("Escape")
    page.reload()
    expect_connected(page)
    server.ask("anything")
    assert server.received[-1]["params"] == {"reasoning_effort": "none"}
    server.end()
    page = open_fast(like=page)
    server = ScriptedServer(page, thinks=False)
    server.ask("anything")
    assert server.received[-1]["params"] == {}
    expect(page.locator("#s-reasoning_effort")).to_be_hidden()
    expect(page.locator("#tune")).not_to_have_class(re.compile("tuned"))


def test_how_much_can_be_chosen_once_a_server_elsewhere_has_thought(open_fast: OpenPage) -> None:
    page = open_fast()
    server = ScriptedServer(page, thinks=False)
    server.ask("anything")
    page.locator("#tune").click()
    expect(page.locator("#s-temperature")).to_be_visible()
    expect(page.locator("#s-reasoning_effort")).to_be_hidden()
    server.think("Hm")
    expect(page.locator("#s-reasoning_effort")).to_be_visible()
