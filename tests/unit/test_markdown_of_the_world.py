"""Markdown as it is written beside CommonMark: in East Asia, on GitHub, and by models."""

from __future__ import annotations

import re

import pytest

from streaming.markup import MarkupStream, render

LINK = re.compile(r'<a [^>]*?href="([^"]*)"')


def links(text: str) -> list[str]:
    return LINK.findall("".join(render(text)))


# --- emphasis and URLs in East Asia ---


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("これは**「重要」**です。", "これは<strong>「重要」</strong>です。"),
        ("**これは強調です。**次の文。", "<strong>これは強調です。</strong>次の文。"),
        ("请看**“重点”**内容。", "请看<strong>“重点”</strong>内容。"),
        ("**重点：**内容", "<strong>重点：</strong>内容"),
        ("**이 용어(This term)**를 강조", "<strong>이 용어(This term)</strong>를 강조"),
        ("強調*（かっこ）*です", "強調<em>（かっこ）</em>です"),
        ("これは**`code`**です", "これは<strong><code>code</code></strong>です"),
        ("値は~~「古い」~~です", "値は<s>「古い」</s>です"),
        ("**[リンク](http://a.b)**です", None),
        ("全角**！**も", "全角<strong>！</strong>も"),
        ("a**“b”**c", "a**“b”**c"),
        ("foo*(bar)*baz", "foo*(bar)*baz"),
        ("snake_case_name と_あ_", "snake_case_name と_あ_"),
        ("** 空白 **です", "** 空白 **です"),
        ("2 * 3 * 4", "2 * 3 * 4"),
    ],
)
def test_emphasis_beside_cjk(text: str, html: str | None) -> None:
    [block] = render(text)
    assert block == f"<p>{html}</p>" if html else "<strong>" in block


@pytest.mark.parametrize(
    "text", ["*a*b", "**a**b", "a*b*c", "*(a)*b", "**.a**b", "_a_b", "__a__", "*a_*_"]
)
def test_without_cjk_nothing_changes(text: str) -> None:
    from markdown_it import MarkdownIt

    assert render(text) == [MarkdownIt("js-default").render(text).strip()]


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("https://example.com/a。次", ["https://example.com/a"]),
        ("（https://example.com/a）です", ["https://example.com/a"]),
        (
            "「https://example.com」と、https://b.c/d、https://e.f！",
            ["https://example.com", "https://b.c/d", "https://e.f"],
        ),
        ("詳細：https://a.b/c?d=e，然后", ["https://a.b/c?d=e"]),
        (
            "https://ja.wikipedia.org/wiki/日本語",
            ["https://ja.wikipedia.org/wiki/%E6%97%A5%E6%9C%AC%E8%AA%9E"],
        ),
        ("https://a.b/c_(d).", ["https://a.b/c_(d)"]),
        ("mailto:a@b.c。", ["mailto:a@b.c"]),
        ("は\u3000https://a.b\u3000です", ["https://a.b"]),
    ],
)
def test_urls_end_before_cjk_punctuation(text: str, urls: list[str]) -> None:
    assert links(text) == urls


# --- references and footnotes ---


def test_a_reference_may_be_defined_in_another_block() -> None:
    blocks = render(
        "See [the docs][1], [one] and [none][x].\n\n- [a][ONE]\n\n[1]: http://a.b 'T'\n[one]: <http://c.d>"
    )
    assert 'href="http://a.b" title="T"' in blocks[0]
    assert 'href="http://c.d"' in blocks[0]
    assert "[none][x]" in blocks[0]
    assert 'href="http://c.d"' in blocks[1]
    assert blocks[2] == ""


def test_the_first_definition_counts_wherever_it_stands() -> None:
    text = "[a]\n\n[a]: http://first.b\n\n[a]\n\n[a]: http://second.b\n\n[a]"
    assert links(text) == ["http://first.b"] * 3
    assert links("[a]\n\n[a]: javascript:x\n\n[a]: http://b.c") == []


def test_a_definition_in_code_or_a_paragraph_is_none() -> None:
    assert links("[a]\n\n```\n[a]: http://b.c\n```") == []
    assert links("[a]\n\nwords\n[a]: http://b.c") == ["http://b.c"]  # as a URL
    assert links("[a] b") == []


def test_blocks_that_were_shown_get_their_links_when_the_definition_comes() -> None:
    stream, blocks = MarkupStream(), {}
    told = []
    for delta in (
        "See [docs][1] and[^n] so.\n\n",
        "More words.\n\n",
        "[1]: http://a.b\n[^n]: Note.\n",
        "\nEnd",
    ):
        change = stream.feed(delta)
        told.append([block.index for block in change.blocks])
        blocks.update({block.index: block.html for block in change.blocks})
    assert "[docs][1] and[^n]" in str(told) or blocks[0]
    blocks.update({block.index: block.html for block in stream.finish().blocks})
    assert 'href="http://a.b"' in blocks[0]
    assert 'class="footnote-mark"' in blocks[0]


@pytest.mark.parametrize("cut", range(0, 84, 3))
def test_a_continued_answer_resolves_what_comes_later(cut: int) -> None:
    text = "A [b] and[^c] here.\n\nWords.\n\n[b]: http://d.e/fgh\n[^c]: A note.\n\nThe [b] end."
    stream = MarkupStream(text[:cut])
    blocks = dict(enumerate(render(text[:cut])))
    for change in (
        stream.feed(text[cut : cut + 20]),
        stream.feed(text[cut + 20 :]),
        stream.finish(),
    ):
        blocks.update({block.index: block.html for block in change.blocks})
    assert [blocks[index] for index in sorted(blocks)][: stream.block_count] == render(text)


def test_a_definition_that_became_another_thing_is_taken_back() -> None:
    before = "A [b] here.\n\n[b]: http://d.e"
    stream, blocks = MarkupStream(before), dict(enumerate(render(before)))
    assert 'href="http://d.e"' in blocks[0]
    for change in (stream.feed(" and words"), stream.finish()):
        blocks.update({block.index: block.html for block in change.blocks})
    assert blocks[0] == "<p>A [b] here.</p>"


def test_resolving_stays_in_proportion_to_the_text() -> None:
    users = "".join(f"[a{number}] " for number in range(50))
    text = f"{users}\n\n" * 40 + "".join(f"[a{number}]: http://b.c\n\n" for number in range(50))
    stream = MarkupStream()
    for start in range(0, len(text), 40):
        stream.add(text[start : start + 40])
        stream.take()
    stream.close()
    assert stream.rendered_chars < 20 * len(text)


def test_footnotes() -> None:
    first, definitions = render(
        "A[^1] b[^long note] c[^x] d[^1].\n\n[^1]: One *a*.\n\n    More.\n[^x]: Two."
    )
    names = 'class="footnote-mark" data-note="1" aria-label="Footnote 1" type="button"'
    assert first.count(f"<sup><button {names}>1</button></sup>") == 2
    assert "[^long note]" in first
    assert definitions.count('<div class="footnote" data-note=') == 2
    assert "<p>One <em>a</em>.</p>\n<p>More.</p>" in definitions
    assert " id=" not in first + definitions


# --- tasks, images, details, tags ---


def test_task_lists_are_checkboxes_that_nobody_can_change() -> None:
    [html] = render("- [ ] open **b**\n- [x] done\n- [X] loud\n- [y] none\n- [ ]\n1. [x] numbered")
    assert html.count('<input type="checkbox" disabled="">') == 1
    assert html.count('<input type="checkbox" disabled="" checked="">') == 3
    assert '<li class="task"><label>' in html
    assert "[y] none" in html


def test_an_image_is_a_placeholder_with_its_link() -> None:
    [html] = render("![A *cat*](https://a.b/cat.png 'Tom')")
    assert html == (
        '<p><a class="image" href="https://a.b/cat.png" title="Tom" target="_blank" '
        'rel="noopener noreferrer nofollow">A cat</a></p>'
    )
    assert "<img" not in "".join(render("![a](data:image/png;base64,x) <img src=http://a.b>"))


DETAILS = """<details>
<summary>More **here**</summary>

Text with *marks*.

```html
</details>
```

- item

</details>

After."""


def test_details_hold_their_blocks() -> None:
    details, after = render(DETAILS)
    assert details.startswith("<details>\n<summary>More <strong>here</strong></summary>\n<p>Text")
    assert "&lt;/details&gt;" in re.sub(r"<span[^>]*>|</span>", "", details)
    assert details.endswith("<li>item</li>\n</ul>\n</details>")
    assert after == "<p>After.</p>"


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        (
            "<details><summary>a</summary>b</details>",
            ["<details>\n<summary>a</summary>\n<p>b</p>\n</details>"],
        ),
        ("<details open>\n\nx\n\n</details>", ['<details open="">\n<p>x</p>\n</details>']),
        (
            "<details>\na\n<details>\nb\n\nc\n</details>\nd\n</details>\ne",
            [
                "<details>\n<p>a</p>\n<details>\n<p>b</p>\n<p>c</p>\n</details>\n<p>d</p>\n</details>",
                "<p>e</p>",
            ],
        ),
        ("<details>\n\nx\n\ny", ["<details>\n<p>x</p>\n<p>y</p>\n</details>"]),
        ("a\n\n</details>", ["<p>a</p>", "<p>&lt;/details&gt;</p>"]),
        ("<details onclick=x>\na", ["<p>&lt;details onclick=x&gt;<br>\na</p>"]),
        ("<detailsx>", ["<p>&lt;detailsx&gt;</p>"]),
        ("- a\n  <details>\n  b\n  </details>\n- c", None),
    ],
)
def test_details_of_every_shape(text: str, blocks: list[str] | None) -> None:
    shown = render(text)
    assert shown == blocks if blocks else "<details>\n<p>b</p>\n</details>" in shown[0]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("H<sub>2</sub>O x<sup>2</sup>", "H<sub>2</sub>O x<sup>2</sup>"),
        (
            "<kbd>Ctrl</kbd> <b>b</b> <I>i</I> <u>u</u>",
            "<kbd>Ctrl</kbd> <b>b</b> <i>i</i> <u>u</u>",
        ),
        ("a<br>b<br/>c<br />d", "a<br>\nb<br>\nc<br>\nd"),
        ("<b>a **c** d</b>", "<b>a <strong>c</strong> d</b>"),
        ("<b>a **c</b> d**", "&lt;b&gt;a <strong>c&lt;/b&gt; d</strong>"),
        ("<b>a <i>b</b></i>", "&lt;b&gt;a <i>b&lt;/b&gt;</i>"),
        ("<b>a", "&lt;b&gt;a"),
        ("a</b>", "a&lt;/b&gt;"),
        ("<b class='x'>a</b>", "&lt;b class='x'&gt;a&lt;/b&gt;"),
        ("<div>a</div> <font>b</font>", "&lt;div&gt;a&lt;/div&gt; &lt;font&gt;b&lt;/font&gt;"),
        (
            "`<b>` <ruby>漢<rt>かん</rt></ruby>",
            "<code>&lt;b&gt;</code> <ruby>漢<rt>かん</rt></ruby>",
        ),
    ],
)
def test_harmless_tags(text: str, html: str) -> None:
    assert "".join(render(text)) == f"<p>{html}</p>"
