"""Footnotes: each stands where it was written, and is found from its mark by its label.

There are no ids, which several answers on a page would share: the page looks for the label within
the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.footnote import footnote_plugin

_LABEL_CHARS = 40


def use_footnotes(markdown: MarkdownIt) -> None:
    """Add footnotes to a parser: marks are buttons, and notes stay where they stand."""
    markdown.use(footnote_plugin, inline=False, move_to_end=False)
    markdown.add_render_rule("footnote_ref", _render_mark)
    markdown.add_render_rule("footnote_reference_open", _render_open)
    markdown.add_render_rule("footnote_reference_close", _render_close)


def known(labels: Sequence[str]) -> dict[str, Any]:
    """What the parser knows of footnotes that stand in other segments."""
    return {"refs": {f":{label}": -1 for label in labels}, "list": {}}


def _render_mark(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    label = _shown(tokens[index])
    name = escape(env["labels"].footnote)
    button = f'<button class="footnote-mark" data-note="{label}" aria-label="{name} {label}">'
    return f"<sup>{button}{label}</button></sup>"


def _render_open(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    label = _shown(tokens[index])
    name = escape(env["labels"].back)
    button = f'<button class="footnote-back" data-note="{label}" aria-label="{name} {label}">'
    return f'<div class="footnote" data-note="{label}">{button}{label}</button><div>'


def _render_close(*_: Any) -> str:
    return "</div></div>\n"


def _shown(token: Token) -> str:
    return escape(str(token.meta["label"])[:_LABEL_CHARS])
