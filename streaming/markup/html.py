"""The safe HTML of one segment of Markdown. This runs in the pool.

Three fences stand one behind the other: the parser knows no raw HTML and refuses every link
but http, https and mailto; images are links, so that no third host is asked for anything; and
nh3 lets only the tags and attributes below through.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import nh3
from linkify_it import LinkifyIt  # type: ignore[import-untyped]
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from streaming.markup import growing
from streaming.markup.code import TOKEN_CLASSES, Code, Parts, code_html, language_of

logger = logging.getLogger(__name__)

PLAIN_CHARS = 20_000
"""A longer block of text is shown as it was written."""

_MAX_WEIGHT = 30_000
_BRACKET_WEIGHT, _SCHEME_WEIGHT, _CELL_WEIGHT = 50, 25, 3
"""What the parser takes for an open bracket, a `://`, or a table's cell, in characters of text."""

_SCHEMES = {"http", "https", "mailto"}
_LINK = re.compile(r"https?://|mailto:", re.IGNORECASE)
_TABLE_RULE = re.compile(r"^[ >\t]*[|:-][ |:\t-]*$", re.MULTILINE)
_CODE = re.compile(r'(?<=<pre tabindex="0"><code>)(.*?)(?=</code></pre>)', re.DOTALL)
_ALIGNMENTS = {f"text-align:{side}": f"align-{side}" for side in ("left", "center", "right")}

_cleaner = nh3.Cleaner(
    tags={
        *("p", "br", "hr", "h3", "h4", "h5", "h6", "strong", "em", "s", "a", "code", "pre"),
        *("blockquote", "ol", "ul", "li", "div", "span"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    },
    attributes={
        "a": {"href", "title"},
        "ol": {"start"},
        "li": {"data-item"},
        "pre": {"tabindex"},
        "div": {"data-language", "tabindex", "role", "aria-label"},
    },
    allowed_classes={
        "p": {"plain"},
        "div": {"code", "open", "table"},
        "th": set(_ALIGNMENTS.values()),
        "td": set(_ALIGNMENTS.values()),
        "span": TOKEN_CLASSES | {"tail"},
    },
    url_schemes=_SCHEMES,
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
)


class Job(NamedTuple):
    text: str
    final: bool
    """No more of the text will come."""
    table_label: str
    """What screen readers call a table, in the reader's language."""


def render_all(jobs: list[Job]) -> list[Parts | None]:
    """The HTML of several texts; None for one that would take long: it is to be shown as text."""
    return [_render(job) for job in jobs]


def _render(job: Job) -> Parts | None:
    if len(job.text) > PLAIN_CHARS or _weight(job.text) > _MAX_WEIGHT:
        return None
    codes: list[Code] = []
    env = {"final": job.final, "codes": codes, "table_label": job.table_label}
    try:
        if job.final:
            html = _markdown.render(job.text, env)
        else:
            html = growing.render(_markdown, job.text, env)
    except Exception as error:  # whose words may be those of the text
        message = "A block of Markdown could not be rendered; it is shown as text. (%s)"
        logger.error(message, type(error).__name__)
        return None
    pieces = _CODE.split(_cleaner.clean(html).strip("\n"))
    return Parts(pieces, codes) if len(pieces) == 2 * len(codes) + 1 else None


def _weight(text: str) -> int:
    """What it takes at most to parse the text, as that many characters of ordinary text."""
    brackets = text.count("[") - text.count("](")
    columns = max((rule.count("|") for rule in _TABLE_RULE.findall(text)), default=0)
    cells = (columns + 1) * text.count("\n") if columns else 0
    return (
        len(text)
        + _BRACKET_WEIGHT * brackets
        + _SCHEME_WEIGHT * text.count("://")
        + _CELL_WEIGHT * cells
    )


# --- the parser ---


def _is_link(url: str) -> bool:
    return _LINK.match(url) is not None


def _images_to_links(state: StateCore) -> None:
    """An image is a link to it, and inside a link no more than its words."""
    for inline in state.tokens:
        if not inline.children or all(child.type != "image" for child in inline.children):
            continue
        depth, children = 0, []
        for child in inline.children:
            depth += child.nesting if child.type in ("link_open", "link_close") else 0
            children += _image_link(child, depth > 0) if child.type == "image" else [child]
        inline.children = children


def _image_link(image: Token, inside_link: bool) -> list[Token]:
    source = str(image.attrGet("src") or "")
    words = "".join(child.content for child in image.children or []) or source
    text = Token("text", "", 0, content=words)
    if inside_link:
        return [text]
    return [Token("link_open", "a", 1, attrs={"href": source}), text, Token("link_close", "a", -1)]


def _headings_below_the_page(state: StateCore) -> None:
    """`#` becomes h3: the levels above belong to the page that the answer stands in."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"


def _cells_without_styles(state: StateCore) -> None:
    for token in state.tokens:
        if token.type in ("th_open", "td_open") and "style" in token.attrs:
            token.attrs = {"class": _ALIGNMENTS[str(token.attrs["style"])]}


def _render_code(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    token = tokens[index]
    env["codes"].append(Code(token.content, language_of(token.info)))
    return code_html(token.content, token.info, state="final" if env["final"] else "growing")


def _render_table_open(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    label = escape(env["table_label"])
    return f'<div class="table" tabindex="0" role="region" aria-label="{label}"><table>'


def _render_table_close(*_: Any) -> str:
    return "</table></div>"


def _parser() -> MarkdownIt:
    markdown = MarkdownIt("js-default", {"html": False, "linkify": True, "breaks": True})
    # Only what names its scheme: "manage.py" and "README.md" are no hosts.
    linkify = LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
    linkify.add("ftp:", None).add("//", None)
    markdown.linkify = linkify
    markdown.validateLink = _is_link  # type: ignore[method-assign]
    markdown.core.ruler.push("images_to_links", _images_to_links)
    markdown.core.ruler.push("headings_below_the_page", _headings_below_the_page)
    markdown.core.ruler.push("cells_without_styles", _cells_without_styles)
    markdown.add_render_rule("fence", _render_code)
    markdown.add_render_rule("code_block", _render_code)
    markdown.add_render_rule("table_open", _render_table_open)
    markdown.add_render_rule("table_close", _render_table_close)
    growing.install(markdown)
    return markdown


_markdown = _parser()
