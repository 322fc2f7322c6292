"""Markdown becomes the HTML it should, whole and in any pieces."""

import json
import random
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.markup import HtmlRenderer, MarkupStream, render, to_html
from streaming.markup.code import HIGHLIGHT_CHARS
from streaming.markup.html import PLAIN_CHARS
from streaming.markup.html_renderer import LAST
from streaming.markup.plain import TAIL
from streaming.protocol.response_events import TERMINAL_TYPES
from tests.support.inline_pool import inline_pool
from tests.support.structure import with_items

__all__ = ["inline_pool"]

DOCUMENT = """# Title

A *first* paragraph with `code`
and a second line.

1. one
   ```python
   def f():

       return "<b>"
   ```

2. two

   still two

* other

~~~~ c++ extra
```
int a;
~~~~

| a | b |
|:--|--:|
| 1 | 2 |

> quoted

Where $a_1 \\, b_2$ and \\(x \\le y\\) cost $5 and $10,[^note] see [there][1] and [^2].

\\[
\\frac{a}{b}
- c
\\]

$$ x^2 $$

- [ ] open
- [x] done[^2]

<details>
<summary>More of **it**</summary>

Inside, [there][1].

```py
"</details>"
```

</details>

これは**「重要」**です。https://example.com/a。

[^note]: A note, [there][1].

    Its second paragraph.
[^2]: Another.

[1]: https://example.com/first
[1]: https://example.com/second

Setext
======
#hashtag
####### seven

```
open to the end
"""

MARKDOWN_LINES = st.sampled_from(
    [
        *("", "", " ", "\t", "word", "two words", " a", "   b", "    c", "\td", "#", "# h", "#no"),
        *("- a", "- b", "* c", "+", "-", "  - d", " * e", "1. f", "2. g", "3) h", "10.  i", "1"),
        *("1.", "```", "```py", "``` a`b", "````", "~~~", "~~~ x", "  ```", "    ```", "`", "``"),
        *("> q", ">", "---", "===", "a | b", "--|--", "1 | 2", "**bold", "_em_", "word\r", "\r"),
        *("```\r", "[a]: http://a.b", "[a]", "http://a.b", "x" * 1001, " " * 1001, "`" * 1001),
        *("[a]: http://c.d", "[b]: <http://e.f> 'b'", "x [b] y [^1] z", "[^1]: note", "[^b]: [a]"),
        *("> [^1]: q", "[^1]", "$x$ and $5", "$$", "\\[", "\\]", "\\(x\\) \\(", "\\begin{align}"),
        *("\\end{align}", "- [ ] t", "- [x] **t**", "![a](http://a.b)", "これは**「b」**。"),
        *("<details>", "</details>", "<details><summary>s</summary>", "<summary>s</summary>"),
        *("<details open>x</details> y", "<b>x</b>", "<b>", "<br>", "<detail", "~~~~"),
    ]
)
MARKDOWN = st.lists(MARKDOWN_LINES, max_size=12).flatmap(
    lambda lines: st.sampled_from(["\n".join(lines), "\n".join(lines) + "\n"])
)


class _Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.text = ""

    def handle_data(self, data):
        self.text += data


def text_of(html):
    parser = _Text()
    parser.feed(html)
    parser.close()
    return parser.text


def pieces(text, seed):
    """The text cut at random places, drawn from `seed`."""
    draw = random.Random(seed)
    while text:
        size = draw.choice([1, 1, 2, 3, 8, 40])
        yield text[:size]
        text = text[size:]


class Page:
    """What a page shows that does what the changes say."""

    def __init__(self, blocks=()):
        self.blocks, self.tail = list(blocks), ""

    def show(self, change, delta=""):
        for block in change.blocks:
            assert block.index <= len(self.blocks), "a block before it is missing"
            html = block.html
            if block.keep is not None:
                html = with_items(self.blocks[block.index], block.keep, html)
            self.blocks[block.index : block.index + 1] = [html]
        self.tail = self.tail + change.more if change.tail is None else change.tail

    @property
    def text(self):
        return "".join(text_of(html) for html in self.blocks) + self.tail


def streamed(deltas, prefix=""):
    stream, page = MarkupStream(prefix), Page(render(prefix))
    for delta in deltas:
        page.show(stream.feed(delta), delta)
    page.show(stream.finish())
    assert stream.block_count == len(page.blocks)
    return page


@given(MARKDOWN, st.integers(0, 2**32))
@settings(deadline=None, max_examples=300)
def test_the_blocks_do_not_depend_on_how_the_text_was_cut(text, seed):
    page = streamed(pieces(text, seed))
    assert page.blocks == render(text)
    assert page.tail == ""


@given(st.text(alphabet="ab \n`~#*-1.>|[]()!_<&\\\t\r", max_size=200), st.integers(0, 2**32))
@settings(deadline=None, max_examples=300)
def test_nor_do_the_blocks_of_any_other_text(text, seed):
    assert streamed(pieces(text, seed)).blocks == render(text)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 10_000])
def test_a_document_in_pieces_equals_the_whole(size):
    deltas = [DOCUMENT[start : start + size] for start in range(0, len(DOCUMENT), size)]
    assert streamed(deltas).blocks == render(DOCUMENT)


@pytest.mark.parametrize("cut", range(len(DOCUMENT) + 1))
def test_a_continued_answer_equals_the_whole(cut):
    assert streamed([DOCUMENT[cut:]], prefix=DOCUMENT[:cut]).blocks == render(DOCUMENT)


@given(
    st.lists(
        st.sampled_from(
            ["aa", " ", "\n", "\n\n", "- ", "1. ", "> ", "*", " `", "\n```\n", "# ", "bb ", "  "]
        ),
        max_size=60,
    )
)
@settings(deadline=None, max_examples=300)
def test_at_every_moment_blocks_and_tail_hold_all_the_text(deltas):
    # No backticks side by side: words after three of them would name a language, and be no text.
    stream, page, source = MarkupStream(), Page(), ""
    for delta in deltas:
        source += delta
        page.show(stream.feed(delta), delta)
        assert [c for c in page.text if c in "ab"] == [c for c in source if c in "ab"]
    page.show(stream.finish())
    assert [c for c in page.text if c in "ab"] == [c for c in source if c in "ab"]


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n", "\r\n\r\n"])
def test_blank_text_has_no_blocks(text):
    assert render(text) == []
    assert to_html(text) == ""
    assert streamed(text).blocks == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a\n\nb", 2),
        ("a\nb", 1),
        ("# a\nb", 2),
        ("- a\n\n- b\n\n- c", 1),
        ("- a\n\n  b\n\nc", 2),
        ("- a\n\n* b", 2),
        ("1. a\n\n2. b", 1),
        ("1. a\n\n2) b", 2),
        ("1. a\n   ```\n   x\n\n   y\n   ```\n2. b", 1),
        ("1. a\n```\nx\n\ny\n```\n2. b", 3),
        ("1. a\n  ```\nx\n\ny\n  ```\n", 2),
        ("```\na\n\nb\n```", 1),
        ("```\na\n~~~\n\nb", 1),
        ("````\na\n```\n\nb\n````\nc", 2),
        ("``` a`b\n\nc", 2),
        ("a\n\n    code\n\n    more", 1),
        ("a\r\n\r\nb\r\n", 2),
        ("a\n===\n\nb", 2),
    ],
)
def test_where_blocks_end(text, count):
    assert len(render(text)) == count


def test_numbers_go_on_after_a_paragraph():
    assert render("1. a\n\nb\n\n2. c")[2].startswith('<ol start="2">')


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a\nb", "<p>a<br>\nb</p>"),
        ("# a", "<h3>a</h3>"),
        ("###### a", "<h6>a</h6>"),
        ("~~a~~ **b** *c* `d`", "<p><s>a</s> <strong>b</strong> <em>c</em> <code>d</code></p>"),
        ("manage.py a@b.com //c.com ftp://d.e", "<p>manage.py a@b.com //c.com ftp://d.e</p>"),
        ("[a](/b) [a](#b)", "<p>[a](/b) [a](#b)</p>"),
        ("![](javascript:a)", "<p>![](javascript:a)</p>"),
    ],
)
def test_inline_markdown(text, html):
    assert render(text) == [html]


SAFE = 'target="_blank" rel="noopener noreferrer nofollow"'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("http://a.b/c_d_e", f'<a href="http://a.b/c_d_e" {SAFE}>http://a.b/c_d_e</a>'),
        ("[a](http://b.c 'd')", f'<a href="http://b.c" title="d" {SAFE}>a</a>'),
        ("<mailto:a@b.c>", f'<a href="mailto:a@b.c" {SAFE}>mailto:a@b.c</a>'),
        (
            "![a](http://b.c/d.png)",
            f'<a class="image" href="http://b.c/d.png" title="b.c" {SAFE}>a</a>',
        ),
        (
            "![](http://b.c)",
            f'<a class="image" href="http://b.c" title="b.c" {SAFE}>http://b.c</a>',
        ),
        ("[![a](http://b.c)](http://d.e)", f'<a href="http://d.e" {SAFE}>a</a>'),
    ],
)
def test_links(text, html):
    assert render(text) == [f"<p>{html}</p>"]


def test_code_is_highlighted_by_class_names():
    [html] = render("```Python title\nx = '<b>'\n```")
    assert html.startswith('<div class="code" data-language="python"><pre tabindex="0"><code>')
    assert "<span class=\"s1\">'&lt;b&gt;'</span>" in html
    assert "style" not in html
    assert text_of(html) == "x = '<b>'\n"


@pytest.mark.parametrize("code", ["\n\n  a\n\n", "", "\n", "a", "\ta\n", "é<&>\n"])
@pytest.mark.parametrize("language", ["", "python", "no-such-language"])
def test_code_is_shown_to_the_letter(code, language):
    assert text_of(render(f"```{language}\n{code}\n```")[0]) == code + "\n"


def test_code_of_an_indented_fence_loses_that_indentation():
    assert text_of(render("  ```\n  a\n   b\n c\n  ```")[0]) == "a\n b\nc\n"


def test_code_without_an_end():
    assert text_of(render("```\na")[0]) == "a"
    assert text_of(render("```")[0]) == ""


def test_open_code_stays_in_the_tail():
    stream, page = MarkupStream(), Page()
    for delta in ("```py\n", "x = 1\n" * 500, "y"):
        page.show(stream.feed(delta), delta)
    code = f'<pre tabindex="0"><code>{TAIL}</code></pre>'
    assert page.blocks == [f'<div class="code open" data-language="py">{code}</div>']
    assert page.tail == "x = 1\n" * 500 + "y"
    page.show(stream.feed("\n```\n"), "\n```\n")
    assert page.tail == ""
    assert '<span class="n">y</span>' in page.blocks[0]


@pytest.mark.parametrize(
    ("text", "html", "tail"),
    [
        ("some words and a ha", "<p>some words and a ha|</p>", ""),
        ("some words and a half ", "<p>some words and a half|</p>", " "),
        ("some words in\na li", "<p>some words in<br>\na li|</p>", ""),
        ("- some words and\n- ", "<ul>\n<li>some words and|</li>\n</ul>", ""),
        ("- some words and\n- *", "<ul>\n<li>some words and</li>\n</ul>", ""),
        ("some **strong wo", "<p>some <strong>strong wo|</strong></p>", ""),
        ("> some *slan", "<blockquote>\n<p>some <em>slan|</em></p>\n</blockquote>", ""),
        ("some [words](http", "<p>some </p>", ""),
        ("some `co", "<p>some <code>co|</code></p>", ""),
        ("長い文章には空白がありませんからね", "<p>長い文章には空白がありませんからね|</p>", ""),
    ],
)
def test_the_tail_stands_where_the_text_goes_on(text, html, tail):
    page = Page()
    page.show(MarkupStream().feed(text), text)
    blocks = [re.sub(' data-item="[^"]*"', "", block) for block in page.blocks]
    assert (blocks, page.tail) == ([html.replace("|", TAIL)], tail)


def test_words_are_told_as_they_come_and_marks_when_they_are_rendered():
    stream, page = MarkupStream(), Page()
    told = []
    for delta in ("some words", " come", " one **by", "** one", "\n\nand"):
        change = stream.feed(delta)
        page.show(change, delta)
        told.append((len(change.blocks), change.tail, change.more))
    assert told == [(1, "", ""), (0, None, " come"), (1, "", ""), (1, "", ""), (2, "", "")]
    assert page.blocks == [
        "<p>some words come one <strong>by</strong> one</p>",
        f"<p>and{TAIL}</p>",
    ]


def test_tables_scroll_and_have_no_styles():
    [html] = render("a|b|c\n:-|:-:|-:\n1|2|3")
    assert html.startswith('<div class="table" tabindex="0" role="region" aria-label="Table">')
    assert '<th class="align-left">a</th>' in html
    assert '<td class="align-center">2</td>' in html
    assert '<td class="align-right">3</td>' in html
    assert "style" not in html


def test_a_template_gets_each_block_by_itself():
    html = to_html("a\n\n<b>")
    head = '<div class="block" dir="auto">'
    assert html == f"{head}<p>a</p></div>{head}<p>&lt;b&gt;</p></div>"
    assert hasattr(html, "__html__")
    assert all(hasattr(block, "__html__") for block in render("a"))


def test_half_a_character_pair_does_no_harm():
    assert render("a\ud800b") == ["<p>a\ufffdb</p>"]
    assert text_of(render("```\n\udfff\n```")[0]) == "\ufffd\n"


def test_what_the_parser_cannot_do_is_shown_as_text(monkeypatch, caplog, inline_pool):
    def fail(*_):
        raise ValueError("no")

    monkeypatch.setattr("streaming.markup.html._markdown.render", fail)
    assert render("a <b>") == ['<p class="plain">a &lt;b&gt;</p>']
    assert "could not be rendered" in caplog.text


# --- what it costs ---

PATHOLOGICAL = {
    "bracket": "[",
    "image": "![",
    "star": "*a ",
    "bold": "**a",
    "quote": ">",
    "quotes": "> > a\n",
    "backtick": "`a ``b ",
    "nested": "- ",
    "items": "- a\n",
    "spaced items": "- a\n\n",
    "table": "a|b\n-|-\n" + "c|d\n",
    "columns": "a|",
    "line": "word ",
    "lines": "a\n",
    "paragraphs": "a b c\n\n",
    "headings": "# a\n",
    "code": "```py\nx\n```\n",
    "spaces": " ",
    "info": "```x",
    "tilde": "~",
    "reference": "[a\n",
    "scheme": "://",
    "urls": "http://a.b ",
}


def costs(monkeypatch, text, size=10):
    """Code points given to the parser and the highlighter, and source text looked at: until half
    of the text has come, and until its end."""
    spent = half = 0

    def counting(function):
        def wrapper(text, *args, **kwargs):
            nonlocal spent
            spent += len(text)
            return function(text, *args, **kwargs)

        return wrapper

    from streaming.markup import html, parser, renderer

    renderer.RENDERER.forget()
    with monkeypatch.context() as patch:
        patch.setattr(html._markdown, "render", counting(html._markdown.render))
        patch.setattr(renderer, "plain_text", counting(renderer.plain_text))
        patch.setattr(parser, "code_html", counting(parser.code_html))
        patch.setattr(renderer, "code_parts", counting(renderer.code_parts))
        stream = MarkupStream()
        for start in range(0, len(text), size):
            if start == len(text) // 2:
                half = spent
            stream.feed(text[start : start + size])
        stream.finish()
    assert stream.rendered_chars <= 18 * len(text) + 100
    return half, spent


@pytest.mark.parametrize("unit", PATHOLOGICAL.values(), ids=PATHOLOGICAL)
def test_the_work_stays_in_proportion_to_the_text(monkeypatch, inline_pool, unit):
    half, whole = costs(monkeypatch, (unit * 30_000)[:30_000])
    assert whole <= 2.5 * max(half, 15_000)


def test_the_parser_never_sees_more_than_a_bounded_text(monkeypatch, inline_pool):
    from streaming.markup import html

    seen = []
    parse = html._markdown.render
    monkeypatch.setattr(
        html._markdown, "render", lambda text, env: seen.append(len(text)) or parse(text, env)
    )
    for unit in PATHOLOGICAL.values():
        render(unit * (60_000 // len(unit)))
    assert 0 < max(seen) <= PLAIN_CHARS


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1000,
        "[a\n" * 1000,
        "://" * 2000,
        "|".join("a" * 60) + "\n" + "|".join("-" * 60) + "\n" + "c\n" * 1000,
        "w " * PLAIN_CHARS,
    ],
    ids=["brackets", "references", "schemes", "cells", "long"],
)
def test_what_would_take_long_is_shown_as_text(text):
    [html] = render(text)
    assert html.startswith('<p class="plain">')
    assert text_of(html) == text.strip()


def test_a_long_list_is_cut_between_its_items():
    blocks = render("".join(f"{number}. item\n\n" for number in range(1, 2001)))
    assert 1 < len(blocks) < 5
    assert blocks[1].startswith('<ol start="')
    assert sum(block.count("<li>") for block in blocks) == 2000


@pytest.mark.parametrize(
    ("code", "coloured"),
    [
        ("x = 1\n" * (HIGHLIGHT_CHARS // 6 - 1), True),
        ("x = 1\n" * (HIGHLIGHT_CHARS // 6 + 1), False),
        ("x(" * 251, False),
        ("a\n " * 200, False),
    ],
)
def test_only_code_that_no_lexer_stumbles_over_is_coloured(inline_pool, code, coloured):
    [html] = render(f"```python\n{code}\n```")
    assert ("<span" in html) is coloured
    assert text_of(html) == code + "\n"


# --- events ---


def delta(text, offset):
    event = {"type": "response.output_text.delta", "response_id": "r", "sequence_number": 1}
    return json.dumps(event | {"delta": text, "chatstream": {"offset": offset}})


def done(*texts, kind="response.completed"):
    """The last event; each text is a part of a message of its own."""
    items = [
        {"type": "message", "content": [{"type": "output_text", "text": text}]} for text in texts
    ]
    return json.dumps({"type": kind, "response": {"status": "completed", "output": items}})


IN_PROGRESS = '{"type": "response.in_progress",  "prompt_tokens": 3}'


async def rendered(renderer, *events):
    return [json.loads(await renderer.render_event(event)) for event in events]


async def test_deltas_and_the_end_carry_blocks():
    renderer = HtmlRenderer()
    assert await renderer.render_event(IN_PROGRESS) == IN_PROGRESS
    first, second, end = await rendered(renderer, delta("# é\n", 0), delta("b", 4), done("# é\nb"))
    title = {"index": 0, "html": "<h3>é</h3>"}
    assert (first["blocks"], first["tail"], first["block_count"]) == ([title], "", 1)
    assert first["delta"] == "# é\n"
    assert first["sequence_number"] == 1
    assert (second["blocks"], second["tail"]) == ([{"index": 1, "html": f"<p>b{TAIL}</p>"}], "")
    assert "block_count" not in second
    words, more = await rendered(HtmlRenderer(), delta("b", 0), delta("c", 1))
    assert (words["tail"], "more" in words) == ("", False)
    assert (more["blocks"], more["tail"], more["more"]) == ([], None, "c")
    assert (end["blocks"], end["tail"]) == ([{"index": 1, "html": "<p>b</p>"}], "")
    assert (end["block_count"], end["response"]["status"]) == (2, "completed")


@pytest.mark.parametrize(
    "event", ['{"type":"response.queued", "size":1}', '{ "type":"error","code":"not_found"}']
)
async def test_other_events_pass_untouched(event):
    assert await HtmlRenderer().render_event(event) == event


async def test_a_second_beginning_voids_what_came_before():
    renderer = HtmlRenderer()
    await rendered(renderer, IN_PROGRESS, delta("a\n\nb\n\nc", 0), IN_PROGRESS)
    again, end = await rendered(renderer, delta("x" * 20, 0), done("x" * 20))
    assert again["blocks"] == [{"index": 0, "html": f"<p>{'x' * 20}{TAIL}</p>"}]
    assert again["block_count"] == 1
    assert end["blocks"] == [{"index": 0, "html": f"<p>{'x' * 20}</p>"}]
    assert end["block_count"] == 1


async def test_a_continued_answer_goes_on_in_its_last_block():
    renderer = HtmlRenderer("# a\n\nbe")
    first, end = await rendered(renderer, delta("gin", 0), done("gin"))
    assert first["blocks"] == [{"index": 1, "html": f"<p>begin{TAIL}</p>"}]
    assert (first["tail"], first["block_count"]) == ("", 2)
    assert end["blocks"] == [{"index": 1, "html": "<p>begin</p>"}]


async def test_an_end_with_another_text_tells_all_blocks():
    [only] = await rendered(HtmlRenderer("a\n\n"), done("b"))
    assert [block["html"] for block in only["blocks"]] == ["<p>a</p>", "<p>b</p>"]
    assert (only["tail"], only["block_count"]) == ("", 2)
    _, other = await rendered(HtmlRenderer(), delta("a\n\nb", 0), done("c"))
    assert other["blocks"] == [{"index": 0, "html": "<p>c</p>"}]
    assert other["block_count"] == 1
    [empty] = await rendered(HtmlRenderer(), done(""))
    assert (empty["blocks"], empty["block_count"]) == ([], 0)


@pytest.mark.parametrize("kind", LAST)
async def test_the_text_of_all_messages_is_one(kind):
    """Whatever stands between them, and whatever the end is called."""
    thought = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "# no"}]}
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "# nor this"}]}
    end = json.loads(done("One *two", "* three", kind=kind))
    output = end["response"]["output"]
    end["response"]["output"] = [thought, output[0], thought, refusal, output[1]]
    deltas = [delta("One *two", 0), delta("* three", 8)]
    *_, told = await rendered(HtmlRenderer(), *deltas, json.dumps(end))
    [alone] = await rendered(HtmlRenderer(), json.dumps(end))
    whole = "<p>One <em>two</em> three</p>"
    assert [block["html"] for block in told["blocks"]] == [whole]
    assert alone["blocks"] == [{"index": 0, "html": whole}]
    assert (alone["block_count"], alone["tail"]) == (1, "")


def test_the_last_events_are_those_of_the_protocol():
    assert LAST == TERMINAL_TYPES


async def test_what_comes_besides_is_not_even_parsed():
    """Nor is it where its text quotes an event that is."""
    quoted = json.dumps('{"type":"response.completed"}')
    event = f'{{"type":"response.reasoning_text.delta", "delta":{quoted}, "broken":'
    assert await HtmlRenderer().render_event(event) == event


async def test_an_event_with_html_is_written_as_it_came():
    """Its own fields, byte for byte, and then those that are added."""
    event = '{"sequence_number":1,"type":"response.output_text.delta", "delta":"\\u00e9", "x":1.50}'
    rendered = await HtmlRenderer().render_event(event)
    assert rendered.startswith(event[:-1] + ',"blocks":[')
    assert json.loads(rendered)["tail"] == ""


async def test_a_missing_delta_is_made_good_at_the_end():
    missed, end = await rendered(HtmlRenderer(), delta("b", 1), done("ab"))
    assert (missed["blocks"], missed["tail"]) == ([], None)
    assert end["blocks"] == [{"index": 0, "html": "<p>ab</p>"}]
