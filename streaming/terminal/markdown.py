"""Markdown on a terminal, with highlighted code where no lexer can take long.

Only its reader would wait; still, no answer may make a terminal hang.
"""

from __future__ import annotations

from typing import Any, ClassVar

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, reference
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Markdown, MarkdownElement

from streaming.markup.cjk import CjkInline
from streaming.markup.code import is_highlighted, is_long, language_of
from streaming.markup.math_rules import keep_formulas

_NESTING = {"markdown", "md"}
"""Languages whose lexer calls any other one that the code names."""


class _Code(CodeBlock):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        language, text = language_of(self.lexer_name), str(self.text)
        if language in _NESTING or not is_highlighted(text, language) or is_long(text, language):
            self.lexer_name = "text"
        yield from super().__rich_console__(console, options)


def _parser() -> MarkdownIt:
    markdown = MarkdownIt()
    markdown.inline = CjkInline()
    markdown.configure("commonmark").enable(["strikethrough", "table"])
    # HTML would not be shown at all.
    markdown.disable(["html_block", "html_inline"])
    markdown.block.ruler.at("reference", _reference)
    keep_formulas(markdown)
    return markdown


def _reference(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Parse a link's definition. A footnote of a single word looks like one, but is text."""
    is_footnote = state.src.startswith("[^", state.bMarks[start_line] + state.tShift[start_line])
    return not is_footnote and reference(state, start_line, end_line, silent)


class TerminalMarkdown(Markdown):
    """rich's Markdown, with bounded highlighting, and formulas and HTML as they were written."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
    }

    def __init__(self, markup: str, **options: Any) -> None:
        super().__init__("", **options)
        self.markup = markup
        self.parsed = _PARSER.parse(markup)


_PARSER = _parser()
