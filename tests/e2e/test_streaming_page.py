"""What a reader sees while an answer streams in: nothing jumps, nothing is taken back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.frames import record_frames, recorded
from tests.e2e.page import OpenPage, ask, expect_status
from tests.support.every_kind import EVERY_KIND, LONG_LISTS

PROSE = "Many words stand here, one after the other, and no line of them is of any use. " * 34


def streamed(page: Page, text: str) -> str:
    record_frames(page)
    expect_status(ask(page, f"say {text}"), "completed")
    seen = recorded(page)
    print(seen, *seen.faults, sep="\n")
    assert seen.frames > 20
    assert seen.torn == 0, f"{seen}\n" + "\n".join(seen.faults)
    return str(seen)


@pytest.mark.parametrize("width", [1280, 390])
def test_no_frame_is_torn(open_fast: OpenPage, width: int) -> None:
    page = open_fast(viewport={"width": width, "height": 800})
    streamed(page, EVERY_KIND)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_long_list_is_not_torn(open_fast: OpenPage, number: int) -> None:
    """It is told item by item, and is at its end what a page has that is opened then."""
    page = open_fast(viewport={"width": 600, "height": 800})
    streamed(page, LONG_LISTS[number])
    html = "e => [...e.querySelectorAll('.block')].map(b => b.innerHTML)"
    live = page.locator(".answer .text").evaluate(html)
    page.reload()
    expect(page.locator(".answer li").first).to_be_visible()
    assert page.locator(".answer .text").evaluate(html) == live


# --- scrolling while it comes ---


def wheel_up(page: Page) -> None:
    page.locator("#thread").hover()
    for _ in range(3):
        page.mouse.wheel(0, -12)
        page.wait_for_timeout(30)


def keys_up(page: Page) -> None:
    page.locator("#scroller").focus()
    page.keyboard.press("ArrowUp")


def finger_down(page: Page) -> None:
    """It draws the text with it, by a few pixels at a time."""
    session = page.context.new_cdp_session(page)
    for number, type_ in enumerate(["touchStart", *["touchMove"] * 12, "touchEnd"]):
        points = [] if type_ == "touchEnd" else [{"x": 200, "y": 300 + 4 * number}]
        session.send("Input.dispatchTouchEvent", {"type": type_, "touchPoints": points})
        page.wait_for_timeout(20)


def place_of(page: Page) -> tuple[float, float]:
    """Pixels above and below what is in sight."""
    top, below = page.evaluate(
        """() => {
            const { scrollTop, scrollHeight, clientHeight } = document.getElementById("scroller");
            return [scrollTop, scrollHeight - scrollTop - clientHeight];
        }"""
    )
    return top, below


def wait_for_more(page: Page, answer: Locator, pixels: int = 60) -> None:
    """Until the answer is so much longer."""
    height = answer.evaluate("e => e.offsetHeight")
    page.wait_for_function(
        "([e, h]) => e.offsetHeight >= h", arg=[answer.element_handle(), height + pixels]
    )


def wait_for_overflow(page: Page) -> None:
    page.wait_for_function("() => document.getElementById('scroller').scrollTop > 150")


@pytest.mark.parametrize("move_up", [wheel_up, keys_up, finger_down])
def test_any_movement_up_lets_go_of_the_end(
    open_fast: OpenPage, move_up: Callable[[Page], None]
) -> None:
    page = open_fast(viewport={"width": 500, "height": 420}, has_touch=True)
    answer = ask(page, f"say {PROSE}")
    wait_for_overflow(page)
    assert place_of(page)[1] < 2
    move_up(page)
    expect(page.locator("#latest")).to_be_visible()
    page.wait_for_timeout(300)  # the movement may be a smooth one
    top, below = place_of(page)
    assert below > 0
    wait_for_more(page, answer)
    assert place_of(page)[0] == pytest.approx(top, abs=1)
    assert place_of(page)[1] > below + 50


@pytest.mark.parametrize("way", ["button", "wheel"])
def test_reaching_the_end_follows_again(open_fast: OpenPage, way: str) -> None:
    page = open_fast(viewport={"width": 500, "height": 420})
    answer = ask(page, f"say {PROSE}")
    wait_for_overflow(page)
    wheel_up(page)
    wait_for_more(page, answer)
    assert place_of(page)[1] > 50
    if way == "button":
        page.locator("#latest").click()
    else:
        page.mouse.wheel(0, 5000)
    expect(page.locator("#latest")).to_be_hidden()
    wait_for_more(page, answer)
    page.wait_for_timeout(50)
    assert place_of(page)[1] < 2


def test_a_movement_down_that_ends_before_the_end_does_not_follow(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 500, "height": 420})
    answer = ask(page, f"say {PROSE}")
    wait_for_overflow(page)
    page.locator("#thread").hover()
    page.mouse.wheel(0, -120)
    page.wait_for_timeout(300)
    page.mouse.wheel(0, 60)
    page.wait_for_timeout(300)
    top = place_of(page)[0]
    wait_for_more(page, answer)
    assert place_of(page)[0] == pytest.approx(top, abs=1)


# --- what is selected while it comes ---


def test_a_selection_in_the_growing_paragraph_stays(open_fast: OpenPage) -> None:
    """Over marks that are rendered meanwhile, and the end of the paragraph."""
    page = open_fast()
    text = "One *two* three words, " + "and **more** of them with `code` in it, " * 20 + "\n\nEnd."
    answer = ask(page, f"say {text}")
    expect(answer.locator(".text")).to_contain_text("of them")
    page.evaluate(
        """() => {
            const p = document.querySelector(".answer .text p");
            const nodes = document.createTreeWalker(p, NodeFilter.SHOW_TEXT);
            let last = nodes.nextNode();
            const first = last;
            while (nodes.nextNode()) {
                if (nodes.currentNode.data.includes("of them")) last = nodes.currentNode;
            }
            const end = last.data.indexOf("of them") + 7;
            getSelection().setBaseAndExtent(first, 1, last, end);
            window.selected = getSelection().toString();
            window.lost = 0;
            const look = () => {
                if (getSelection().toString() !== window.selected) window.lost++;
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    assert page.evaluate("window.selected").startswith("ne two three")
    expect_status(answer, "completed")
    expect(answer.locator(".text")).to_contain_text("End.")
    page.wait_for_timeout(50)
    assert page.evaluate("window.lost") == 0
    assert page.evaluate("getSelection().toString()") == page.evaluate("window.selected")


def test_text_that_did_not_change_keeps_its_nodes(open_fast: OpenPage) -> None:
    page = open_fast()
    items = "".join(f"- item {number} with *words*\n" for number in range(30))
    answer = ask(page, f"say {items}")
    expect(answer.locator("li")).not_to_have_count(0)
    answer.locator("li").nth(2).wait_for()
    page.evaluate(
        """() => {
            window.changes = [];
            const options = { childList: true, subtree: true, characterData: true };
            const first = (window.first = document.querySelector(".answer li"));
            new MutationObserver((all) => window.changes.push(...all.map((one) => one.type)))
                .observe(first, options);
        }"""
    )
    expect_status(answer, "completed")
    expect(answer.locator("li")).to_have_count(30)
    assert page.evaluate("window.changes") == []
    assert page.evaluate("document.querySelector('.answer li') === window.first")


# --- direction ---

BOTH_WAYS = """# مرحبا بالعالم

هذه فقرة عربية مع `code` في الوسط.

An English paragraph stands between them.

- عنصر أول
- English item (with brackets)

> اقتباس قصير

| الاسم | القيمة |
|---|---|
| واحد | 12 |

```python
x = "مرحبا"  # تعليق
```

1. First
2. Second

`code` ثم كلام عربي.
"""

_SIDES = """(selector) => [...document.querySelectorAll(selector)].map((element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const all = [...range.getClientRects()].filter((rect) => rect.width);
    const left = Math.min(...all.map((rect) => rect.left));
    const right = Math.max(...all.map((rect) => rect.right));
    const block = element.closest(".block, .bubble").getBoundingClientRect();
    return left - block.left < block.right - right ? "left" : "right";
})"""


def sides(page: Page, selector: str) -> list[str]:
    """On which side of its block each element's text stands."""
    found: list[str] = page.evaluate(_SIDES, selector)
    return found


@pytest.mark.parametrize("reload", [False, True])
def test_each_block_has_a_direction_of_its_own(open_fast: OpenPage, reload: bool) -> None:
    page = open_fast(viewport={"width": 900, "height": 1100})
    answer = ask(page, f"say {BOTH_WAYS}")
    expect_status(answer, "completed")
    if reload:
        page.reload()
        expect(page.locator(".answer h3")).to_be_visible()
    assert sides(page, ".answer h3") == ["right"]
    assert sides(page, ".block > p") == ["right", "left", "right"]
    assert sides(page, ".answer ul > li") == ["right", "right"]  # where their marks are
    assert sides(page, ".answer ol > li") == ["left", "left"]
    assert sides(page, ".answer blockquote p") == ["right"]
    assert sides(page, ".answer tr:first-child > :first-child") == ["right", "right"]
    assert sides(page, ".answer pre code") == ["left"]
    borders = page.locator(".answer blockquote").evaluate(
        "e => [getComputedStyle(e).borderLeftWidth, getComputedStyle(e).borderRightWidth]"
    )
    assert borders == ["0px", "3px"]
    # A full stop ends its line, whichever side that is; brackets of an English item are its own.
    ends = page.evaluate(
        """() => [...document.querySelectorAll(".block > p, .answer ul li")].map((e) => {
            const texts = document.createTreeWalker(e, NodeFilter.SHOW_TEXT);
            let last;
            while (texts.nextNode()) last = texts.currentNode;
            const range = document.createRange();
            const x = (at) => {
                range.setStart(last, at);
                range.setEnd(last, at + 1);
                return range.getBoundingClientRect().left;
            };
            return x(last.length - 1) < x(last.length - 3) ? "left" : "right";
        })"""
    )
    assert ends == ["left", "right", "left", "right", "left"]


def test_each_line_of_a_prompt_has_a_direction_of_its_own(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 900, "height": 700})
    ask(page, "say so\n- مرحبا (واحد).\nAn English line that is longer than the others (2).")
    sides_of_lines = page.evaluate(
        r"""() => {
            const bubble = document.querySelector(".bubble");
            const text = bubble.firstChild;
            const box = bubble.getBoundingClientRect();
            const range = document.createRange();
            let at = 0;
            return text.data.split("\n").map((line) => {
                range.setStart(text, at);
                range.setEnd(text, at + line.length);
                at += line.length + 1;
                const rect = range.getBoundingClientRect();
                return rect.left - box.left <= box.right - rect.right ? "left" : "right";
            });
        }"""
    )
    assert sides_of_lines == ["left", "right", "left"]
