"""LaTeX formulas as MathML Core, with their source as an annotation. This runs in the pool.

`math_core` converts; here stands what models write and it does not know, as what it knows, and
what a page with a content policy cannot show (styles), as classes.
"""

from __future__ import annotations

import re
from html import escape

from math_core import LatexError, LatexToMathML

MOST_CHARS = 3_000
"""A longer formula is shown as it was written."""

_MOST_DEPTH = 60
"""So is one whose elements are nested deeper: browsers take long to lay that out."""

_MOST_GROWTH = 100
"""And one whose MathML has more than that many characters for each of its own."""

_MOST_UNCLOSED = 10
"""And one with more brackets that nothing closes: for each, the converter takes twice as long."""

_ENVIRONMENTS = """
align align* alignat alignat* aligned alignedat array Bmatrix bmatrix cases dcases displaymath
eqnarray eqnarray* equation equation* flalign flalign* gather gather* gathered math matrix multline
multline* pmatrix rcases smallmatrix split subarray Vmatrix vmatrix
"""
ENVIRONMENTS = frozenset(_ENVIRONMENTS.split())
"""What may stand between `\\begin{...}` and `\\end{...}` without delimiters around it."""

_ALIASES = {
    **dict.fromkeys(("align", "alignat", "flalign", "split", "alignedat"), "aligned"),
    **dict.fromkeys(("gather", "multline"), "gathered"),
    "smallmatrix": "matrix",
}
_NUMBERED = re.compile(
    r"\\(begin|end)\{(equation|displaymath|math|align|alignat|alignedat|flalign|split|gather"
    r"|multline|eqnarray|smallmatrix)\*?\}((?<=[td]\})\{\d+\})?"
)
_TEXT = re.compile(r"\\(?:text|mbox|hbox|textnormal|textup)\s*\{([^{}]*)\}")
_INNER_MATH = re.compile(r"\$([^$]*)\$|\\\((.*?)\\\)")
_UNESCAPED = re.compile(r"(?<!\\)[&#%_]")
_TAG = re.compile(r"\\tag(\*?)\s*\{([^{}]*)\}")
_OPERATOR = re.compile(r"\\DeclareMathOperator\*?\s*\{?(\\[A-Za-z]+)\}?\s*\{([^{}]*)\}")
_DROPPED = re.compile(
    r"\\label\s*\{[^{}]*\}|\\(?:nonumber|notag|allowbreak|nobreak|strut|hfill|tiny|small|normalsize"
    r"|large|Large|LARGE|huge|Huge)(?![A-Za-z])|(?<=\\\\)\s*\[-?[\d.]+\s*[a-z]{2}\]"
)
_MACROS = {
    "substack": r"\begin{subarray}{c}#1\end{subarray}",
    **dict.fromkeys(("dotsc", "dotso"), r"\ldots"),
    **dict.fromkeys(("dotsb", "dotsm", "dotsi"), r"\cdots"),
    **dict.fromkeys(("llap", "rlap", "mathllap", "mathrlap", "smash"), "#1"),
    **dict.fromkeys(("colorbox", "textcolor"), "#2"),
    "fcolorbox": "#3",
    "abs": r"\left|#1\right|",
    "norm": r"\left\lVert#1\right\rVert",
    "smallsetminus": r"\setminus",
    "mathds": r"\mathbb{#1}",
    "LaTeX": r"\text{LaTeX}",
    "TeX": r"\text{TeX}",
}
_COLOUR = re.compile(r"\\color\s*\{[^{}]*\}")

_OPEN_TAG = re.compile(r"<([a-z]+)((?: [^<>]*)?)>|</[a-z]+>")
_STYLE = re.compile(r' (style|class)="([^"]*)"')
_HUGE = re.compile(r' [a-z]+="-?\d{3,}[^"]*"')
_CLASSES = {
    "text-align: left": "left",
    "text-align: right": "right",
    "padding-left: 0": "joined-left",
    "padding-left:0": "joined-left",
    "padding-right: 0": "joined-right",
    "padding-right:0": "joined-right",
    "border-left": "line-left",
    "border-right": "line-right",
    "border-top": "line-top",
    "border-bottom": "line-bottom",
}
CLASSES = frozenset(_CLASSES.values())

_TAGS = """
math semantics annotation mrow mi mo mn mtext mspace msup msub msubsup mfrac msqrt mroot munder
mover munderover mtable mtr mtd mpadded mphantom menclose mmultiscripts mprescripts
"""
TAGS = frozenset(_TAGS.split())
ATTRIBUTES: dict[str, set[str]] = {
    "math": {"display"},
    "mi": {"mathvariant"},
    "mo": {
        *("form", "fence", "separator", "lspace", "rspace", "stretchy", "symmetric"),
        *("minsize", "maxsize", "largeop", "movablelimits"),
    },
    "mspace": {"width"},
    "mover": {"accent"},
    "munder": {"accentunder"},
    "munderover": {"accent", "accentunder"},
    "mfrac": {"linethickness", "displaystyle", "scriptlevel"},
    "mtable": {"displaystyle", "scriptlevel"},
    "mrow": {"displaystyle", "scriptlevel"},
    "mpadded": {"voffset", "width", "height", "depth", "lspace"},
    "menclose": {"notation"},
}

_OPENERS = r"""
( [ \{ \lbrace \lbrack \langle \lfloor \lceil \lvert \lVert \lgroup \lmoustache \ulcorner \llcorner
\llbracket
"""
_CLOSERS = r"""
) ] \} \rbrace \rbrack \rangle \rfloor \rceil \rvert \rVert \rgroup \rmoustache \urcorner \lrcorner
\rrbracket
"""
_OPENING, _CLOSING = frozenset(_OPENERS.split()), frozenset(_CLOSERS.split())
_BRACKETS = re.compile(
    "|".join(
        re.escape(mark) + ("(?![A-Za-z])" if mark[-1].isalpha() else "")
        for mark in sorted(_OPENING | _CLOSING)
    )
)

_converter = LatexToMathML(
    macros=_MACROS, fancy_error=False, allow_unreliable_rendering=True, max_expansions=200
)


def mathml(latex: str, *, display: bool, after: str = "") -> str | None:
    """The MathML of a formula; None: it is to be shown as it was written.

    `after` is punctuation that follows it in a line of its own. It is not part of the source.
    """
    if len(latex) > MOST_CHARS or _unclosed(latex) > _MOST_UNCLOSED:
        return None
    try:
        converted = _converter.convert_with_local_state(
            _understood(latex) + after, displaystyle=display
        )
    except LatexError:
        return None
    if (
        len(converted) > _MOST_GROWTH * (len(latex) + 10)
        or _depth(converted) > _MOST_DEPTH
        or "<a " in converted  # a reference to another formula, which it does not know
    ):
        return None
    start = converted.index(">") + 1
    end = converted.rindex("</math>")
    shown = _OPEN_TAG.sub(_without_style, converted[start:end])
    source = escape(latex.strip(), quote=False)
    annotation = f'<annotation encoding="application/x-tex">{source}</annotation>'
    kind = ' display="block"' if display else ""
    return f"<math{kind}><semantics><mrow>{shown}</mrow>{annotation}</semantics></math>"


def _understood(latex: str) -> str:
    """The formula in the words of the converter; what it does not know stays, and is an error."""
    latex = _DROPPED.sub("", _COLOUR.sub("", latex))
    latex = _TAG.sub(lambda tag: rf"\qquad\text{{{tag[2] if tag[1] else f'({tag[2]})'}}}", latex)
    latex = _TEXT.sub(lambda text: _text(text[1]), latex)
    latex = _OPERATOR.sub(r"\\newcommand{\1}{\\operatorname{\2}}", latex)
    # What it knows already need not be defined again.
    latex = latex.replace(r"\newcommand", r"\providecommand")
    return _NUMBERED.sub(_unnumbered, latex).strip()


def _unnumbered(found: re.Match[str]) -> str:
    """Numbers of formulas that begin anew with each of them would say nothing."""
    side, name = found[1], found[2]
    if name in ("equation", "displaymath", "math"):
        return ""
    if name == "eqnarray":
        return r"\begin{array}{rcl}" if side == "begin" else r"\end{array}"
    return rf"\{side}{{{_ALIASES[name]}}}"


def _text(words: str) -> str:
    """Words, with the formulas in them outside of them."""
    parts, end = [], 0
    for inner in _INNER_MATH.finditer(words):
        parts += [_words(words[end : inner.start()]), inner[1] or inner[2] or ""]
        end = inner.end()
    return "".join(part for part in (*parts, _words(words[end:])) if part)


def _words(words: str) -> str:
    escaped = _UNESCAPED.sub(lambda mark: "\\" + mark[0], words)
    return rf"\text{{{escaped}}}" if words else ""


def _unclosed(latex: str) -> int:
    """How many brackets are open at most at the end, whatever closes the others."""
    count = 0
    for bracket in _BRACKETS.findall(latex):
        count = count + 1 if bracket in _OPENING else max(0, count - 1)
    return count


def _depth(markup: str) -> int:
    deepest = depth = 0
    for tag in _OPEN_TAG.finditer(markup):
        if tag[1] is None:
            depth -= 1
        elif not tag[0].endswith("/>"):
            depth += 1
            deepest = max(deepest, depth)
    return deepest


def _without_style(tag: re.Match[str]) -> str:
    """A tag with classes of ours instead of styles, and no huge lengths. Colours go, too: they
    are readable in one theme."""
    return _HUGE.sub("", _STYLE.sub(_classes, tag[0])) if tag[2] else tag[0]


def _classes(style: re.Match[str]) -> str:
    if style[1] == "class":
        return ""
    declarations = (part.strip() for part in style[2].split(";"))
    names = [
        name
        for part in declarations
        for start, name in _CLASSES.items()
        if part == start or (start.startswith("border") and part.startswith(start + ":"))
    ]
    return f' class="{" ".join(names)}"' if names else ""
