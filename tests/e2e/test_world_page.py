"""Formulas, footnotes, tasks and details on the page; what is copied of an answer; long code."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.page import OpenPage, ask, expect_connected, expect_status

CLIPBOARD = ["clipboard-read", "clipboard-write"]

CHANGED_PIXELS = """
async (images) => {
  const [before, after] = await Promise.all(images.map(async (image) => {
    const bytes = Uint8Array.from(atob(image), (each) => each.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    canvas.drawImage(bitmap, 0, 0);
    return canvas.getImageData(0, 0, bitmap.width, bitmap.height).data;
  }));
  let changed = 0;
  for (let at = 0; at < before.length; at += 4) {
    const isChanged = [0, 1, 2].some((each) => Math.abs(before[at + each] - after[at + each]) > 64);
    if (isChanged) changed += 1;
  }
  return changed;
}
"""

WORLD = r"""The root is \(x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}\), for $5 and $10.[^1]

\[
\sum_{i=1}^{n} a_i x_i + \sum_{j=1}^{m} b_j y_j + \int_0^\infty e^{-x^2}\,dx
+ \frac{\sqrt{\pi}}{2} = c
\]

これは**「重要」**です。See [the docs][d] and ![a cat](https://example.com/cat.png).

- [ ] open
- [x] done

1. one
2. two

<details>
<summary>More</summary>

Inside.

</details>

[d]: https://example.com/docs
[^1]: A note with $y_1$.
"""


def tell(page: Page, text: str) -> Locator:
    answer = ask(page, f"say {text}")
    expect_status(answer, "completed")
    return answer


def clipboard(page: Page) -> dict[str, str]:
    items: dict[str, str] = page.evaluate(
        """async () => {
            const [item] = await navigator.clipboard.read();
            const read = async (type) => [type, await (await item.getType(type)).text()];
            return Object.fromEntries(await Promise.all(item.types.map(read)));
        }"""
    )
    return items


def test_an_answer_of_the_world_is_rendered(open_fast: OpenPage) -> None:
    page = open_fast()
    text = tell(page, WORLD).locator(".text")
    expect(text.locator("math")).to_have_count(3)
    expect(text.locator("math[display=block]")).to_have_count(1)
    annotations = text.locator("annotation[encoding='application/x-tex']")
    assert annotations.first.text_content() == r"x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}"
    expect(text.locator("strong")).to_have_text("「重要」")
    expect(text.locator("a[href='https://example.com/docs']")).to_have_text("the docs")
    expect(text.locator("a.image")).to_have_text("a cat")
    expect(text.locator("img")).to_have_count(0)
    expect(text.locator("input[type=checkbox]:disabled")).to_have_count(2)
    expect(text.get_by_label("done")).to_be_checked()
    assert text.locator("math").first.evaluate("e => e.getBoundingClientRect().height") > 20
    inside = text.get_by_text("Inside.")
    expect(inside).to_be_hidden()
    text.get_by_text("More", exact=True).click()
    expect(inside).to_be_visible()


def test_a_wide_formula_scrolls_by_itself_on_a_phone(open_fast: OpenPage) -> None:
    page = open_fast(viewport={"width": 360, "height": 700})
    answer = tell(page, WORLD)
    formula = answer.locator("div.formula")
    assert formula.evaluate("e => e.scrollWidth > e.clientWidth")
    assert page.evaluate(
        """() => ["#scroller", "html"].every((selector) => {
            const element = document.querySelector(selector);
            return element.scrollWidth <= element.clientWidth;
        })"""
    )


def test_footnotes_lead_to_each_other_within_their_answer(open_fast: OpenPage) -> None:
    page = open_fast()
    first, second = (tell(page, WORLD) for _ in range(2))
    for answer in (second, first):
        answer.get_by_role("button", name="Footnote 1", exact=True).click()
        back = answer.get_by_role("button", name="Back from footnote 1")
        expect(back).to_be_focused()
        expect(back).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(answer.get_by_role("button", name="Footnote 1", exact=True)).to_be_focused()
    assert page.locator(".text [id]").count() == 0


def test_an_answer_is_copied_as_html_and_as_its_source(open_fast: OpenPage) -> None:
    page = open_fast(permissions=CLIPBOARD)
    answer = tell(page, f"{WORLD}\n```python\nx = 1\n```")
    answer.locator(".copy-answer").click()
    expect(answer.locator(".copy-answer.copied")).to_be_visible()
    copied = clipboard(page)
    assert copied["text/plain"] == f"{WORLD}\n```python\nx = 1\n```"
    html = copied["text/html"]
    for part in ("<strong>「重要」</strong>", "application/x-tex", "<details>", "[1]", "x"):
        assert part in html
    for part in ("<button", "tabindex", "Copy"):
        assert part not in html


def test_without_a_clipboard_of_the_browsers_both_are_copied_too(open_fast: OpenPage) -> None:
    """As on plain HTTP, where browsers keep it to themselves."""
    page = open_fast()
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.reload()
    expect_connected(page)
    answer = tell(page, "some **words**")
    page.evaluate(
        """() => document.addEventListener("copy", ({ clipboardData: data }) => {
            window.copied = [data.getData("text/plain"), data.getData("text/html")];
        })"""
    )
    answer.locator(".copy-answer").click()
    expect(answer.locator(".copy-answer.copied")).to_be_visible()
    assert page.evaluate("window.copied") == [
        "some **words**",
        "<p>some <strong>words</strong></p>",
    ]


SELECT = """([from, to]) => {
    const range = document.createRange();
    const ends = [from, to].map((selector) => document.querySelector(selector));
    range.setStartBefore(ends[0]);
    range.setEndAfter(ends[1]);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
}"""


def test_a_selection_is_copied_as_sane_text(open_fast: OpenPage) -> None:
    page = open_fast(permissions=CLIPBOARD)
    answer = tell(page, f"{WORLD}\n| a | b |\n|---|---|\n| $z$ | 2 |\n\n```python\nx = 1\n```")
    expect(answer.locator(".copy-code")).to_be_visible()
    page.evaluate(SELECT, [".text .block", ".text .block:last-of-type"])
    page.keyboard.press("Control+c")
    copied = clipboard(page)
    text = copied["text/plain"]
    root = r"$x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}$"
    assert text.startswith(f"The root is {root}, for $5 and $10.[1]\n\n$$\\sum_")
    for part in ("- [ ] open\n- [x] done", "1. one\n2. two", "a\tb\n$z$\t2", "\nx = 1"):
        assert part in text
    assert "Copy" not in text
    assert "<math" in copied["text/html"]
    assert page.evaluate("getSelection().isCollapsed") is False


PARTS = """1. one
2. two
3. three
   - inner
     1. most
4. four

| a | b |
|---|---|
| 1 | 2 |

```python
if x:
    y = 8
    z = 9
```
"""

INNER = "\n   - inner\n     1. most"

SELECT_TEXT = """([from, to]) => {
    const at = (words) => {
        const walker = document.createTreeWalker(document.querySelector(".text"), 4);
        while (walker.nextNode()) {
            const found = walker.currentNode.data.indexOf(words);
            if (found >= 0) return [walker.currentNode, found];
        }
    };
    const [end, offset] = at(to);
    getSelection().setBaseAndExtent(...at(from), end, offset + to.length);
}"""


@pytest.mark.parametrize(
    ("from_", "to", "text", "html"),
    [
        pytest.param("if", "9", "if x:\n    y = 8\n    z = 9", "<pre><code>", id="code"),
        pytest.param("y", "8", "y = 8", "<pre><code>", id="a line"),
        pytest.param("two", "three", "2. two\n3. three", '<ol start="2">', id="items"),
        pytest.param("inner", "four", f"3. {INNER}\n4. four", '<ol start="3">', id="from within"),
        pytest.param(
            "three", "a", f"3. three{INNER}\n4. four\na", '<ol start="3">', id="item and more"
        ),
        pytest.param("hre", "hre", "hre", "hre", id="part of an item"),
        pytest.param("a", "b", "a\tb", "<tr>", id="a row"),
    ],
)
def test_a_part_of_an_answer_is_copied_as_it_stands(
    open_fast: OpenPage, from_: str, to: str, text: str, html: str
) -> None:
    page = open_fast(permissions=CLIPBOARD)
    answer = tell(page, PARTS)
    expect(answer.locator(".code .k")).to_have_text("if")
    page.evaluate(SELECT_TEXT, [from_, to])
    page.keyboard.press("Control+c")
    copied = clipboard(page)
    assert copied["text/plain"] == text
    assert html in copied["text/html"]


def test_details_stay_as_the_reader_has_them_while_they_grow(open_fast: OpenPage) -> None:
    page = open_fast()
    inside = "\n\n".join(f"Paragraph {number} with *some* words." for number in range(25))
    answer = ask(page, f"say <details>\n<summary>More</summary>\n\n{inside}\n\n</details>")
    answer.locator(".text summary").click()
    expect(answer.get_by_text("Paragraph 12")).to_be_visible()
    expect_status(answer, "completed")
    expect(answer.get_by_text("Paragraph 24")).to_be_visible()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(r"\(\raisebox{7em}{OVER}\)", id="raised"),
        pytest.param("O" + "\u030b" * 60, id="accents"),
    ],
)
def test_an_answer_is_painted_over_nothing_else(open_fast: OpenPage, words: str) -> None:
    page = open_fast(viewport={"width": 1000, "height": 900})
    text = tell(page, f"Words {words}").locator(".text")
    page.mouse.move(0, 0)
    top = text.evaluate("e => e.getBoundingClientRect().top")
    clip: Any = {"x": 0, "y": 60, "width": 1000, "height": top - 70}
    shown = at_rest(page, clip)
    text.evaluate("e => (e.style.visibility = 'hidden')")
    assert changed_pixels(page, shown, at_rest(page, clip)) < 30


def changed_pixels(page: Page, before: bytes, after: bytes) -> int:
    """How many pixels of two PNG images differ as ink and paper do: edges of letters, which may
    be smoothed anew when a part of the page becomes a layer, do not."""
    images = [base64.b64encode(image).decode() for image in (before, after)]
    changed: int = page.evaluate(CHANGED_PIXELS, images)
    return changed


def at_rest(page: Page, clip: Any) -> bytes:
    """A part of the page once nothing moves there any more: buttons fade where the pointer was."""
    shown = page.screenshot(clip=clip, animations="disabled")
    for _ in range(50):
        page.wait_for_timeout(100)
        again = page.screenshot(clip=clip, animations="disabled")
        if again == shown:
            return again
        shown = again
    raise AssertionError("the page never comes to rest")


def test_a_formula_is_copied_as_its_latex(open_fast: OpenPage) -> None:
    page = open_fast(permissions=CLIPBOARD)
    tell(page, WORLD)
    page.evaluate(SELECT, [".text math mfrac", ".text math mfrac"])
    page.keyboard.press("Control+c")
    assert clipboard(page)["text/plain"] == r"x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}"


def test_what_is_selected_in_the_message_box_is_copied_as_it_is(open_fast: OpenPage) -> None:
    page = open_fast(permissions=CLIPBOARD)
    tell(page, "some **words**")
    page.locator("#prompt").fill("my $x$ words")
    page.locator("#prompt").press("Control+a")
    page.keyboard.press("Control+c")
    assert clipboard(page)["text/plain"] == "my $x$ words"


def test_the_button_of_a_long_code_block_stays_in_view(open_fast: OpenPage) -> None:
    page = open_fast(permissions=CLIPBOARD)
    code = "\n".join(f"line{number} = {number}" for number in range(120))
    answer = tell(page, f"```python\n{code}\n```\n\nThe end.")
    button = answer.locator(".copy-code")
    answer.get_by_text("line60", exact=True).scroll_into_view_if_needed()
    expect(button).to_be_in_viewport(ratio=1)
    answer.get_by_text("line10", exact=True).scroll_into_view_if_needed()
    expect(button).to_be_in_viewport(ratio=1)
    button.click()
    assert clipboard(page)["text/plain"] == code + "\n"
    assert answer.locator(".code").evaluate(
        "e => e.querySelector('button').getBoundingClientRect().right"
        " <= e.getBoundingClientRect().right"
    )
