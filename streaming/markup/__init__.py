"""Markdown of answers as safe HTML, block by block, as their text comes in."""

from streaming.markup.dresser import MarkupDresser
from streaming.markup.stream import Block, Change, MarkupStream, render, to_html

__all__ = ["Block", "Change", "MarkupDresser", "MarkupStream", "render", "to_html"]
