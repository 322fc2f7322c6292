"""What a page says of an attached file."""

from __future__ import annotations

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

from streaming.record.attachments import Attachment

register = template.Library()

_KINDS = {"markdown": "Markdown", "json": "JSON", "pdf": "PDF", "docx": "Word"}
_MEGABYTE = 2**20


@register.filter
def about_file(file: Attachment) -> str:
    """Return a file's kind, size and tokens, as `static/streaming/files/words.js` says them."""
    parts = [_kind(file.kind)]
    if file.size >= _MEGABYTE:
        halves = round(file.size / _MEGABYTE * 2)
        parts.append(f"{number_format(halves / 2, halves % 2)} MB")
    elif file.size:
        parts.append(f"{number_format(-(-file.size // 1024))} kB")
    if file.tokens:
        text = ngettext("about %(count)s token", "about %(count)s tokens", file.tokens)
        parts.append(text % {"count": number_format(file.tokens, force_grouping=True)})
    return " · ".join(parts)


def _kind(kind: str) -> str:
    match kind:
        case "image":
            return gettext("Image")
        case "code":
            return gettext("Code")
        case "csv":
            return gettext("Table")
        case _:
            return _KINDS.get(kind) or gettext("Text")
