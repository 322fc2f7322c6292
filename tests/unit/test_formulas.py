"""Formulas: what is one, what is not, what becomes of it, and that none takes long."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.markup import MarkupStream, render
from streaming.markup.formulas import MOST_CHARS, mathml
from streaming.markup.html import Job, Labels, render_all
from streaming.markup.plain import TAIL
from streaming.system.bounded import BoundedPool, preload

SOURCES = re.compile(r'<annotation encoding="application/x-tex">(.*?)</annotation>', re.DOTALL)


def formulas(text: str) -> list[str]:
    """The LaTeX of each formula of a rendered text."""
    found = SOURCES.findall("".join(render(text)))
    return [html.unescape(source) for source in found]


def growing(text: str) -> str:
    """What is shown of a text that goes on."""
    [parts] = render_all([Job(text, False, Labels())])
    assert parts is not None
    return parts.html()


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        (r"Then \(x^2 \, y_1\) holds.", [r"x^2 \, y_1"]),
        (r"\(a\)\(b\), \(c\)", ["a", "b", "c"]),
        (r"so \[ a_1 < b_2 \] or", ["a_1 < b_2"]),
        ("\\[\nx\n- y\n+ z\n\\]", ["x\n- y\n+ z"]),
        (
            "\\[\n\\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix}\n\\]",
            [r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}"],
        ),
        ("$$\nx * y * z\n$$", ["x * y * z"]),
        ("$$ x $$", ["x"]),
        ("text\n$$\nx\n$$\nmore", ["x"]),
        ("with $$x$$ in it", ["x"]),
        ("1. one\n   \\[ x \\]\n2. two $y$", ["x", "y"]),
        ("> $$\n> x\n> y\n> $$", ["x\ny"]),
        ("- a\n\n  $$\n  x\n  $$", ["x"]),
        ("\\[\nx.\n\\],", ["x."]),
        ("$x$, $y$; ($z$) the $n$th **$w$**", ["x", "y", "z", "n", "w"]),
        ("設$x$は「$y$」。", ["x", "y"]),
        ("| $a$ | \\(b\\) |\n|---|---|\n| $c$ | d |", ["a", "b", "c"]),
        ("# On $e^x$", ["e^x"]),
        ("[see $x$](http://a.b)", ["x"]),
        (
            "\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}",
            ["\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}"],
        ),
        (r"thus \begin{cases} 1 \\ 2 \end{cases} here", [r"\begin{cases} 1 \\ 2 \end{cases}"]),
        (r"\(\text{if $x > 0$}\)", [r"\text{if $x > 0$}"]),
        (r"$\$5 + \$10$", [r"\$5 + \$10"]),
        (r"\(a \\ b\)", [r"a \\ b"]),
        ("Then $a$ costs $5.", ["a"]),
    ],
)
def test_what_is_a_formula(text: str, sources: list[str]) -> None:
    assert formulas(text) == sources
    assert "<em>" not in "".join(render(text))


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $10.",
        "From $5-$10 a month, or $20/month - $30/year.",
        "I had $5 or 10$ left, US$5, CA$7 and A$9.",
        "($5)-($10), $5M–$10M",
        "Set $HOME and $PATH, or $HOME:$PATH",
        "cheap ($), fair ($$), dear ($$$)",
        "$$ is dear and $$ is fair",
        "価格は$5です。$10もあります",
        "costs $5 and `echo $x$`",
        r"`\(x\)` and ``$y$``",
        "```\n\\[ x \\] $$ y $$\n```",
        "    \\[ x \\]",
        r"\$x\$",
        r"\\(x\\)",
        "$",
        "$$",
        "$ x $",
        r"\(\)",
        "$$ $$",
        "a $x\n\ny$ b",
        r"\[1\], \[sic\] and \[link\](http://a.b), list\[i\]",
        r"\begin{itemize} x \end{itemize}",
    ],
)
def test_what_is_none(text: str) -> None:
    assert "<math" not in "".join(render(text))
    assert "tex" not in re.findall(r'class="(\w+)"', "".join(render(text)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"a \(\unknown{x}\, y_1\) b", r"\(\unknown{x}\, y_1\)"),
        ("$$\n\\frac{1}{\n$$", "$$\n\\frac{1}{\n$$"),
        (r"\[ \left( x \]", r"\[ \left( x \]"),
        (r"$\ref{a}_1 * b_2 * c$", r"$\ref{a}_1 * b_2 * c$"),
        (r"a \(x_1 *b*", r"\("),
        (r"a \[x_1", r"\["),
    ],
)
def test_what_cannot_be_converted_is_shown_as_it_was_written(text: str, shown: str) -> None:
    assert html.escape(shown, quote=False) in "".join(render(text))


@pytest.mark.parametrize(
    "latex",
    [
        r"\begin{split} a &= b \end{split}",
        r"\begin{equation} x \label{a} \end{equation}",
        r"\begin{alignat*}{2} a &= b &\quad c &= d \end{alignat*}",
        r"\begin{eqnarray} a &=& b \end{eqnarray}",
        r"\sum_{\substack{i<j \\ k}} a_1, \dotsc, a_n",
        r"x = y \tag{1}",
        r"\begin{align} x &= 1 \tag{2} \nonumber \end{align}",
        r"\text{50% of a_b & c}",
        r"\newcommand{\R}{\mathbb{R}} x \in \R",
        r"\DeclareMathOperator{\tr}{tr} \tr A",
        r"\color{red} x + \textcolor{blue}{y}",
        r"\begin{matrix} 1 \\[2pt] 2 \end{matrix}",
        r"\Large \abs{x} + \norm{y}",
    ],
)
def test_what_models_write_is_understood(latex: str) -> None:
    assert mathml(latex, display=True) is not None


def test_a_formula_has_no_styles_and_is_a_block_or_not() -> None:
    [display] = render("\\[ \\begin{array}{c|c} a & b \\\\ \\hline c & d \\end{array} \\]")
    assert " style=" not in display
    assert 'class="line-right"' in display
    assert display.startswith('<div class="formula" tabindex="0"><math display="block">')
    [inline] = render(r"a \(x\) b")
    assert inline.startswith("<p>a <math><semantics>")
    [long] = render(rf"a \({'x + ' * 20}y\) b")
    assert '<span class="formula" tabindex="0"><math>' in long


# --- while it is written ---


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"a **b** \(x_1 * y_2 * z \, w", "<p>a <strong>b</strong> </p>"),
        (r"a \[ c_1 \; d_", "<p>a </p>"),
        ("a\n\\[\nx\n- y", "<p>a</p>"),
        ("$$\nx_1\n# y", ""),
        ("\\begin{align}\na &= b \\\\", ""),
        (r"a \begin{cases} 1 \\", "<p>a </p>"),
        (r"a \b", "<p>a</p>"),
        (r"a \begin{al", "<p>a</p>"),
        (r"a \begin{align*", "<p>a</p>"),
        (r"a \begin{itemize} b", rf"<p>a \begin{{itemize}} b{TAIL}</p>"),
        (r"a \bar", rf"<p>a \bar{TAIL}</p>"),
        ("- a\n  \\[\n  x", '<ul>\n<li data-item="0 0 1">a</li>\n</ul>'),
    ],
)
def test_half_a_formula_is_left_out(text: str, shown: str) -> None:
    """Its source would be taken back when it ends."""
    assert growing(text) == shown


@pytest.mark.parametrize(
    ("opener", "closer"),
    [
        ("a \\(", "\\) b"),
        ("a\n\\[\n", "\n\\]"),
        ("$$\n", "\n$$"),
        ("\\begin{align}\n", "\n\\end{align}"),
        ("- a\n  \\[\n  ", "\n  \\]"),
    ],
)
def test_a_formula_is_left_out_as_long_as_it_may_come(opener: str, closer: str) -> None:
    """One that is too long to be converted is shown as it was written, also while it grows."""
    longest = opener + "x + " * (MOST_CHARS // 4 - 12) + "y"
    assert "x +" not in growing(longest)
    assert "<math" in "".join(render(longest + closer))
    longer = opener + "x + " * (MOST_CHARS // 4) + "y +"
    assert '<span class="tex">' in growing(longer)
    assert '<span class="tex">' in "".join(render(longer + closer))


def test_half_a_formula_breaks_nothing_that_follows() -> None:
    blocks = render("\\[ x_1 *a*\n\n**bold** and \\(y\\)\n\n$$\n\n- item")
    assert blocks[1].startswith("<p><strong>bold</strong> and <math>")
    assert blocks[-1] == "<ul>\n<li>item</li>\n</ul>"


FORMULA_PARTS = st.sampled_from(
    [
        *("$", "$$", "\\(", "\\)", "\\[", "\\]", "\\begin{align}", "\\end{align}", "x", "_1", "^2"),
        *("\n", "\n\n", " ", "- ", "> ", "`", "```\n", "*", "**", "5", "|", "\\", "\\\\", "{", "}"),
    ]
)


@given(st.lists(FORMULA_PARTS, max_size=30))
@settings(deadline=None, max_examples=200)
def test_formulas_in_pieces_equal_the_whole(parts: list[str]) -> None:
    stream, blocks = MarkupStream(), {}
    for part in parts:
        for block in stream.feed(part).blocks:
            blocks[block.index] = block.html
    for block in stream.finish().blocks:
        blocks[block.index] = block.html
    assert [blocks[index] for index in sorted(blocks)] == render("".join(parts))


# --- what it costs ---

HOSTILE = {
    "braces": "{" * 1400 + "x" + "}" * 1400,
    "fractions": r"\frac{" * 290 + "x" + "}{y}" * 290,
    "roots": r"\sqrt{" * 400 + "x" + "}" * 400,
    "delimiters": r"\left(" * 200 + "x" + r"\right)" * 200,
    "powers": "x^{" * 700 + "}" * 700,
    "matrices": r"\begin{matrix}" * 60 + "x" + r"\end{matrix}" * 60,
    "columns": r"\begin{array}{" + "c" * 2500 + "}x" + r"\end{array}",
    "rows": r"\begin{matrix}" + r"\\" * 1400 + r"\end{matrix}",
    "primes": "x" + "'" * 2900,
    "itself": r"\newcommand{\a}{\a\a}\a",
    "doubling": "".join(
        rf"\newcommand{{\a{chr(98 + n)}}}{{\a{chr(97 + n)}\a{chr(97 + n)}}}" for n in range(20)
    )
    + r"\au",
    "texts": r"\text{" * 400 + "}" * 400,
    "labels": r"\label{" * 400,
    "tags": r"\tag{" * 490 + "x" + "}" * 490,
    "dollars": r"\text{" + "$" * 2000 + "}",
    "brackets": r"\\ [" * 700,
    "unclosed": "(" * 60,
    "unclosed kinds": r"\langle [ \{ \lfloor f(\sin( " * 10,
    "closed before": "(x)" * 200 + "(" * 30,
    "operators": r"\DeclareMathOperator{" * 100,
    "begins": r"\begin{align}" * 200,
}


@pytest.fixture(scope="module")
def pool():  # type: ignore[no-untyped-def]
    preload("streaming.markup.warm")
    pool = BoundedPool(1, seconds=20.0)
    yield pool
    pool.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_formula_ends_and_does_not_grow(pool: BoundedPool, name: str) -> None:
    latex = HOSTILE[name]
    assert len(latex) <= MOST_CHARS
    converted = pool.run(mathml, latex, display=True)
    assert converted is None or len(converted) < 120 * len(latex) + 2_000
    [parts] = pool.run(render_all, [Job(f"a \\({latex}\\) b\n\n$$\n{latex}\n$$", True, Labels())])
    assert parts is None or parts.html()


def test_a_longer_formula_is_shown_as_it_was_written() -> None:
    assert mathml("x" * MOST_CHARS, display=False) is not None
    assert mathml("x" * (MOST_CHARS + 1), display=False) is None


@pytest.mark.parametrize(
    "unit",
    [
        "$",
        "$ ",
        "$x",
        "$x$",
        "$$",
        "$$x",
        "\\(",
        "\\(x",
        "\\[",
        "\\[\n",
        "\\)",
        "$$\n",
        "\\begin{align}",
        "\\begin{align}\n",
        "\\end{align}",
        "\\\\",
        "<b>",
        "</b>",
        "<details>",
        "<details>\n",
        "</details>\n",
        "<details><summary>",
        "<summary>",
        "**「",
        "」**",
        "https://a.b。",
        "- [ ] a\n",
        "[^1]: ",
        "[^a",
        "<b><i>",
    ],
)
def test_no_text_of_one_kind_takes_long(pool: BoundedPool, unit: str) -> None:
    text = (unit * 20_000)[:20_000]
    pool.run(render_all, [Job(text, final, Labels()) for final in (True, False)])
