"""While an answer comes, what is shown of it is a beginning of what it will be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings

from streaming.markup import MarkupStream, render
from streaming.markup.html import Job, Labels
from streaming.markup.html import render_all as parse_all
from streaming.markup.plain import TAIL
from streaming.markup.renderer import RENDERER, Renderer
from streaming.markup.rendering import Rendering
from streaming.markup.segments import Segment
from tests.support.every_kind import EVERY_KIND, LONG_LISTS
from tests.support.inline_pool import inline_pool
from tests.support.structure import leaves_of, not_part_of
from tests.unit.test_markup import MARKDOWN, PATHOLOGICAL, Page

__all__ = ["inline_pool"]


def faults(text: str, size: int) -> list[str]:
    """What was shown that the whole text does not have, or was taken back."""
    final, found, before = leaves_of(render(text)), [], ""
    stream, page = MarkupStream(), Page()
    for start in range(0, len(text), size):
        delta = text[start : start + size]
        page.show(stream.feed(delta), delta)
        leaves = leaves_of(page.blocks, page.tail)
        now = "".join(shown for _, shown in leaves)
        if fault := not_part_of(leaves, final):
            found.append(f"{start + size}: {fault}")
        if not now.startswith(before):
            found.append(f"{start + size}: taken back: {before[-40:]!r} is {now[-40:]!r}")
        before = now
    page.show(stream.finish())
    assert page.blocks == render(text)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 40])
def test_no_moment_shows_what_the_answer_does_not_have(size: int, inline_pool: object) -> None:
    assert faults(EVERY_KIND, size) == []


FORMULAS = [
    "a \\(x_1\\) \\[ y \\] $z$ $$w$$ b",
    "a \\begin{align} x &= y \\end{align} b\n\nmore",
    "a\n\n\\begin{align*}\nx &= y\n\\end{align*}\n\nmore",
    "\\begin{cases} 1 \\\\ 2 \\end{cases} \\begin{itemize} b \\bar",
    "- a \\begin{matrix} x \\end{matrix} b\n- c $$x$$ d",
    "costs $5 and $10, then $x$ and \\$5, ($y$), a$z$ b",
    "| a | $x$ |\n|---|---|\n| \\(y\\) | $$z$$ |\n\nb",
    "a\n\\[\n" + "x + " * 650 + "y\n\\]\n\nmore",
]


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_no_moment_shows_half_a_formula(size: int, text: str, inline_pool: object) -> None:
    assert faults(text, size if len(text) < 500 else 10 * size) == []


@pytest.mark.parametrize("text", LONG_LISTS)
@pytest.mark.parametrize("size", [3, 20])
def test_a_long_list_grows_by_its_last_item(size: int, text: str, inline_pool: object) -> None:
    assert faults(text, size) == []


@pytest.mark.parametrize("size", [4, 20])
def test_no_item_of_a_long_list_waits(size: int, inline_pool: object) -> None:
    """For more than its mark and a few words."""
    text = LONG_LISTS[0]
    stream, page, behind = MarkupStream(), Page(), 0
    for start in range(0, len(text), size):
        page.show(stream.feed(text[start : start + size]))
        shown = "".join(shown for _, shown in leaves_of(page.blocks, page.tail))
        words = "".join(char for char in text[: start + size] if char.isalpha())
        behind = max(behind, len(words) - sum(map(str.isalpha, shown)))
    assert behind <= size + 8
    assert stream.rendered_chars <= 12 * len(text)


@pytest.mark.parametrize(
    ("text", "grown", "final"),
    [
        ("a **Step2", "<strong>S", "a **Step2"),
        ("a **Step2\n\nb", "<strong>S", "a **Step2"),
        ("a `code", "<code>c", "a `code"),
        ("a <b>c", "<b>c", "a &lt;b&gt;c"),
        ("see [a]\n\n[a]: http://b.c", "see [a]", 'see <a href="http://b.c"'),
    ],
)
def test_what_has_no_end_is_text_in_the_end(
    text: str, grown: str, final: str, inline_pool: object
) -> None:
    """What the documentation of the protocol excepts."""
    stream, page, shown = MarkupStream(), Page(), ""
    for character in text:
        page.show(stream.feed(character), character)
        shown += "".join(page.blocks)
    page.show(stream.finish())
    assert grown in shown
    assert final in "".join(page.blocks)
    assert page.blocks == render(text)


class Refusing(Renderer):
    """One that cannot render a list from an item on."""

    def ask(
        self, segment: Segment, shown: int | None = None, *, start: int = 0, urgent: bool = True
    ) -> Rendering:
        if start:
            return Rendering(None, complete=True)
        return RENDERER.ask(segment, shown, urgent=urgent)


def test_items_that_cannot_be_rendered_are_shown_once(inline_pool: object) -> None:
    text = "".join(f"- item **{number}**\n" for number in range(100))
    stream, page = MarkupStream(renderer=Refusing()), Page()
    for start in range(0, len(text), 20):
        delta = text[start : start + 20]
        page.show(stream.feed(delta), delta)
        assert "".join(page.blocks).count("item **0**") + "".join(page.blocks).count(">0<") == 1


def growing(text: str) -> str:
    [parts] = parse_all([Job(text, final=False, labels=Labels())])
    return parts.html() if parts else ""


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a", "<p>a|</p>"),
        ("a **b", "<p>a <strong>b|</strong></p>"),
        ("a **b*", "<p>a <strong>b</strong></p>"),
        ("a ***b", "<p>a <em><strong>b|</strong></em></p>"),
        ("~~a *b", "<p><s>a <em>b|</em></s></p>"),
        ("2*3 and", "<p>2*3 and|</p>"),
        ("a * b", "<p>a * b|</p>"),
        ("a `b", "<p>a <code>b|</code></p>"),
        ("**a `b", "<p><strong>a <code>b|</code></strong></p>"),
        ("a `b` c", "<p>a <code>b</code> c|</p>"),
        ("a [b](http://c", "<p>a </p>"),
        ("a [b] c", "<p>a [b] c|</p>"),
        ("a ![b", "<p>a </p>"),
        ("a &am", "<p>a</p>"),
        ("a < b", "<p>a &lt; b|</p>"),
        ("a <http://b", "<p>a </p>"),
        ("costs $5 and", "<p>costs $5 and|</p>"),
        ("a $x", "<p>a </p>"),
        ("a\n1", "<p>a</p>"),
        ("a\n1. b", "<p>a</p>\n<ol>\n<li>b|</li>\n</ol>"),
        ("- a\n-", "<ul>\n<li>a</li>\n</ul>"),
        ("- a\n  - **b", "<ul>\n<li>a\n<ul>\n<li><strong>b|</strong></li>\n</ul>\n</li>\n</ul>"),
        ("> a *b", "<blockquote>\n<p>a <em>b|</em></p>\n</blockquote>"),
        ("# a *b", "<h3>a <em>b|</em></h3>"),
        ("a\n---", "<p>a</p>"),
        ("| a | b |", ""),
        ("| a | b |\n|--", ""),
        ("| a | b |\n", ""),
        ("12", ""),
        ("**", ""),
        ("[", ""),
        ("- [ ", ""),
    ],
)
def test_what_is_shown_of_a_text_that_still_comes(text: str, html: str) -> None:
    assert re.sub(' data-item="[^"]*"', "", growing(text)) == html.replace("|", TAIL)


def test_the_row_of_a_table_is_shown_when_it_is_whole() -> None:
    head = "| a | b |\n|---|---|\n"
    whole = growing(f"{head}| 1 | 2 |\n")
    assert "<td>2</td>" in whole
    assert TAIL not in whole
    assert growing(f"{head}| 1 | 2 |\n| 3 | 4") == whole
    assert "<td>" not in growing(f"{head}| 1 | 2")


def test_code_in_a_list_goes_on_in_its_block() -> None:
    text = "- a\n  ```py\n  x = 1"
    assert growing(text).endswith(f"<code>x = 1{TAIL}</code></pre></div></li>\n</ul>")
    assert growing(f"{text}\n  ``").endswith("<code>x = 1</code></pre></div></li>\n</ul>")


@given(MARKDOWN)
@settings(deadline=None, max_examples=300)
def test_there_is_one_place_for_the_tail_at_most(text: str) -> None:
    assert growing(text).count(TAIL) <= 1
    assert '"tail"' not in growing(text).replace(TAIL, "")


@pytest.mark.parametrize("unit", PATHOLOGICAL.values(), ids=PATHOLOGICAL)
def test_a_hostile_text_is_parsed_once_for_each_line_left_out(
    monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    from streaming.markup import html

    parsed = 0
    parse = html._markdown.render

    def counting(text: str, env: object) -> object:
        nonlocal parsed
        parsed += 1
        return parse(text, env)  # type: ignore[arg-type]

    monkeypatch.setattr(html._markdown, "render", counting)
    growing((unit * 20_000)[:20_000])
    assert parsed <= 4
