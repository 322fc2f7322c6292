"""What a piece of Markdown leaves open ends with it."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from streaming.pages.sharing.closing import closed
from streaming.pages.sharing.markdown import escaped, quoted

_PIECES = [
    "```",
    "~~~~",
    "```py",
    " ```",
    "   ~~~",
    "- a",
    "1. b",
    "  ```",
    "   ```",
    "<!--",
    "-->",
]
_PIECES += ["<pre>", "</pre>", "<?", "?>", "<![CDATA[", "<script>", "> q", "# h", "", "x", "    y"]
_PIECES += ["- ```", "<div>", "* ~~~", "`", "  text", "<!-- a -->", "<textarea", "\t", "$$", "<!x"]


def follows(markdown: str) -> bool:
    """Whether what stands behind it is read as what it is."""
    tokens = MarkdownIt("commonmark").parse(f"{markdown}\n## You\n")
    return [(t.type, t.level, t.markup) for t in tokens[-3:]] == [
        ("heading_open", 0, "##"),
        ("inline", 1, ""),
        ("heading_close", 0, "##"),
    ]


@settings(derandomize=True, max_examples=300)
@example(["</pre>", "```", "\t", "```"])
@example(["<!-- a -->", "</pre>", "```", "", "```"])
@example(["- a", "-->", "   ~~~", "```"])
@example(["- ```", "-->", "  ```"])
@example(["- a", "  ```", "x", "y"])
@example(["<!--", "```", "x"])
@example(["```", "<!--"])
@given(st.lists(st.sampled_from(_PIECES), max_size=7))
def test_what_follows_an_answer_is_no_part_of_it(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert follows(closed(text)), text
    assert follows(quoted(text)), text


@given(st.text())
def test_nothing_is_changed_but_the_end(text: str) -> None:
    made = closed(text)
    plain = text.rstrip().replace("\r\n", "\n").replace("\r", "\n")
    assert made.startswith(plain)


@pytest.mark.parametrize("text", ["", " \n", "\r\n"])
def test_nothing_is_made_of_nothing(text: str) -> None:
    assert closed(text) == ""


@pytest.mark.parametrize(
    "title", ["# a *b* [c](d)", "<!-- x\ny", "`a", "a\x00b", "a &amp; b", "--"]
)
def test_a_title_is_text_on_one_line(title: str) -> None:
    (heading, inline, _) = MarkdownIt("commonmark").parse(f"# {escaped(title)}")
    assert heading.tag == "h1"
    text = "".join(child.content for child in inline.children or [])
    assert text == " ".join(title.replace("\x00", "�").split())
