"""The safe HTML of one segment of Markdown. This runs in the pool.

Three fences stand one behind the other: the parser knows no raw HTML but a few tags without
attributes, and refuses every link but http, https and mailto; images are links, so that no third
host is asked for anything; and nh3 lets only the tags and attributes below through.
"""

from __future__ import annotations

import logging
import re
from typing import Any, NamedTuple

import nh3

from streaming.markup import formulas, growing, raw_html
from streaming.markup.code import TOKEN_CLASSES, Code, CodeParts
from streaming.markup.footnotes import known
from streaming.markup.parser import ALIGNMENTS, parser

logger = logging.getLogger(__name__)

PLAIN_CHARS = 20_000
"""A longer block of text is shown as it was written."""

_MAX_WEIGHT = 30_000
_BRACKET_WEIGHT, _SCHEME_WEIGHT, _CELL_WEIGHT = 50, 25, 3
"""What the parser takes for an open bracket, a `://`, or a table's cell, in characters of text."""

_TABLE_RULE = re.compile(r"^[ >\t]*[|:-][ |:\t-]*$", re.MULTILINE)
_BOX = re.compile(r"\[[ xX]\] ")
_CODE = re.compile(r'(?<=<pre tabindex="0"><code>)(.*?)(?=</code></pre>)', re.DOTALL)

_cleaner = nh3.Cleaner(
    tags={
        *("p", "br", "hr", "h3", "h4", "h5", "h6", "strong", "em", "s", "a", "code", "pre"),
        *("blockquote", "ol", "ul", "li", "div", "span", "label", "input", "button"),
        *("table", "thead", "tbody", "tr", "th", "td"),
        *raw_html.TAGS,
        *formulas.TAGS,
    },
    attributes={
        "a": {"href", "title"},
        "ol": {"start"},
        "li": {"data-item"},
        "pre": {"tabindex"},
        "div": {"data-language", "data-note", "tabindex", "role", "aria-label"},
        "span": {"tabindex"},
        "button": {"data-note", "aria-label"},
        "input": {"checked", "disabled"},
        "details": {"open"},
        **formulas.ATTRIBUTES,
    },
    tag_attribute_values={
        "annotation": {"encoding": {"application/x-tex"}},
        "input": {"type": {"checkbox"}},
    },
    allowed_classes={
        "p": {"plain"},
        "a": {"image"},
        "li": {"task"},
        "div": {"code", "open", "table", "formula", "footnote"},
        "button": {"footnote-mark", "footnote-back"},
        "th": set(ALIGNMENTS.values()),
        "td": set(ALIGNMENTS.values()),
        "span": TOKEN_CLASSES | {"tex", "formula", "tail"},
        "mtd": formulas.CLASSES,
    },
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={
        "a": {"target": "_blank"},
        "button": {"type": "button"},
        "input": {"disabled": ""},
    },
)


class Labels(NamedTuple):
    """What screen readers are told, in the reader's language; empty where it is not needed."""

    table: str = ""
    footnote: str = ""
    back: str = ""


class Job(NamedTuple):
    """A text to be rendered in the pool, with what other segments say of its links."""

    text: str
    final: bool
    """No more of the text will come."""
    labels: Labels
    definitions: tuple[str, ...] = ()
    """Lines of other segments that say where the links of this one lead."""
    notes: tuple[str, ...] = ()
    """Labels of footnotes that other segments have."""


def render_all(jobs: list[Job]) -> list[CodeParts | None]:
    """The HTML of several texts; None for one that would take long: it is to be shown as text."""
    return [_render(job) for job in jobs]


def _render(job: Job) -> CodeParts | None:
    if len(job.text) > PLAIN_CHARS or _weight(job.text) > _MAX_WEIGHT:
        return None
    codes: list[Code] = []
    env: dict[str, Any] = {"final": job.final, "codes": codes, "labels": job.labels}
    try:
        env["footnotes"] = known(job.notes)
        if job.definitions:
            _markdown.block.parse("\n".join(job.definitions), _markdown, env, [])
        if job.final:
            html = _markdown.render(job.text, env)
        else:
            html = growing.render(_markdown, job.text, env)
    except Exception as error:  # whose words may be those of the text
        message = "A block of Markdown could not be rendered; it is shown as text. (%s)"
        logger.error(message, type(error).__name__)
        return None
    pieces = _CODE.split(_cleaner.clean(html).strip("\n"))
    return CodeParts(pieces, codes) if len(pieces) == 2 * len(codes) + 1 else None


def _weight(text: str) -> int:
    """What it takes at most to parse the text, as that many characters of ordinary text."""
    brackets = text.count("[") - text.count("](") - len(_BOX.findall(text))
    columns = max((rule.count("|") for rule in _TABLE_RULE.findall(text)), default=0)
    cells = (columns + 1) * text.count("\n") if columns else 0
    return (
        len(text)
        + _BRACKET_WEIGHT * brackets
        + _SCHEME_WEIGHT * text.count("://")
        + _CELL_WEIGHT * cells
    )


_markdown = parser()
