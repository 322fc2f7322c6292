"""Markdown of answers as safe HTML, block by block, as their text comes in.

What runs patterns over that text runs in processes of its own, for a bounded time. This room knows
neither sockets nor the record.
"""

from streaming.markup.changes import Block, Change
from streaming.markup.html_renderer import HtmlRenderer
from streaming.markup.renderer import RENDERER
from streaming.markup.sender import HtmlSender
from streaming.markup.stream import MarkupStream
from streaming.markup.whole import render, render_all, to_html

__all__ = [
    "RENDERER",
    "Block",
    "Change",
    "HtmlRenderer",
    "HtmlSender",
    "MarkupStream",
    "render",
    "render_all",
    "to_html",
]
