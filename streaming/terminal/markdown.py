"""Markdown on a terminal, its code in colours where no lexer takes long for it.

A terminal is its reader's alone; still, an answer should not be able to make it hang.
"""

from __future__ import annotations

from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Markdown, MarkdownElement

from streaming.markup.code import is_highlighted, language_of

_NESTING = {"markdown", "md"}
"""They ask any lexer that the code names."""


class _Code(CodeBlock):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        language = language_of(self.lexer_name)
        if language in _NESTING or not is_highlighted(str(self.text), language):
            self.lexer_name = "text"
        yield from super().__rich_console__(console, options)


class TerminalMarkdown(Markdown):
    """rich's, with code as above."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
    }
