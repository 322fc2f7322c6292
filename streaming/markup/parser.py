"""The Markdown parser: which rules it has, and what its tokens become. It runs in the pool."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from streaming.markup import growing
from streaming.markup.cjk import CjkInline, CjkLinkify
from streaming.markup.code import Code, code_html, language_of
from streaming.markup.footnotes import use_footnotes
from streaming.markup.math_rules import use_formulas
from streaming.markup.raw_html import use_raw_html

ALIGNMENTS = {f"text-align:{side}": f"align-{side}" for side in ("left", "center", "right")}

_LINK = re.compile(r"https?://|mailto:", re.IGNORECASE)
_TASK = re.compile(r"\[([ xX])\][ \t\n]")


def is_link(url: str) -> bool:
    """Whether it may be one of a page's links."""
    return _LINK.match(url) is not None


def parser() -> MarkdownIt:
    """Return a Markdown parser with all rules of ours; it passes no HTML through."""
    markdown = MarkdownIt("js-default")
    markdown.inline = CjkInline()
    markdown.configure("js-default", {"html": False, "linkify": True, "breaks": True})
    # Only what names its scheme: "manage.py" and "README.md" are no hosts.
    linkify = CjkLinkify(options={"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
    linkify.add("ftp:", None).add("//", None)
    markdown.linkify = linkify
    markdown.validateLink = is_link  # type: ignore[method-assign]
    use_formulas(markdown)
    use_raw_html(markdown)
    use_footnotes(markdown)
    markdown.core.ruler.push("tasks", _tasks)
    markdown.core.ruler.push("images_to_links", _images_to_links)
    markdown.core.ruler.push("headings_below_the_page", _headings_below_the_page)
    markdown.core.ruler.push("cells_without_styles", _cells_without_styles)
    markdown.add_render_rule("fence", _render_code)
    markdown.add_render_rule("code_block", _render_code)
    markdown.add_render_rule("table_open", _render_table_open)
    markdown.add_render_rule("table_close", _render_table_close)
    markdown.add_render_rule("checkbox", _render_checkbox)
    growing.install(markdown)
    return markdown


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
    link = Token("link_open", "a", 1, attrs={"class": "image", "href": source})
    if host := _host(source):
        link.attrSet("title", str(image.attrGet("title") or host))
    return [link, text, Token("link_close", "a", -1)]


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _headings_below_the_page(state: StateCore) -> None:
    """`#` becomes h3: the levels above belong to the page that the answer stands in."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"


def _cells_without_styles(state: StateCore) -> None:
    for token in state.tokens:
        if token.type in ("th_open", "td_open") and "style" in token.attrs:
            token.attrs = {"class": ALIGNMENTS[str(token.attrs["style"])]}


def _tasks(state: StateCore) -> None:
    """`[ ]` and `[x]` at the beginning of an item are checkboxes that nobody can change."""
    tokens = state.tokens
    for index in range(2, len(tokens)):
        item, inline = tokens[index - 2], tokens[index]
        if item.type != "list_item_open" or tokens[index - 1].type != "paragraph_open":
            continue
        found = _TASK.match(inline.content)
        children = inline.children
        if not found or not children or not children[0].content.startswith(found[0][:3]):
            continue
        children[0].content = children[0].content[3:].lstrip(" \t")
        box = Token("checkbox", "input", 0, meta={"done": found[1] != " "})
        inline.children = [
            Token("label_open", "label", 1),
            box,
            *children,
            Token("label_close", "label", -1),
        ]
        item.attrSet("class", "task")


def _render_checkbox(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    checked = " checked" if tokens[index].meta["done"] else ""
    return f'<input type="checkbox" disabled{checked}> '


def _render_code(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    token = tokens[index]
    env["codes"].append(Code(token.content, language_of(token.info)))
    return code_html(token.content, token.info, state="final" if env["final"] else "growing")


def _render_table_open(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    label = escape(env["labels"].table)
    return f'<div class="table" tabindex="0" role="region" aria-label="{label}"><table>'


def _render_table_close(*_: Any) -> str:
    return "</table></div>"
