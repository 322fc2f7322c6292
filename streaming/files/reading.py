"""Reads a file: what kind it is, by its content, and the text in it.

Runs in a process of its own, within bounds of time and memory (`extraction`), whatever a stranger's
file does to the libraries that read it. What is not text never gets as far as a guess by its name.
"""

from __future__ import annotations

from typing import NamedTuple

from streaming.files import encodings
from streaming.files.errors import Unreadable
from streaming.files.names import ending_of

_HEAD = 1024
"""Bytes in which a PDF may begin, as its readers allow."""

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!\x1a", b"\x28\xb5\x2f\xfd")

_MARKDOWN = ("md", "markdown", "mdown", "rst", "adoc")
_CSV = ("csv", "tsv", "tab")
_PLAIN = ("", "txt", "text", "log", "srt", "vtt")


class Reading(NamedTuple):
    """What a file is, by `StoredFile.Kind` and as MIME names it, and the text that is in it."""

    kind: str
    content_type: str
    text: str


def read(data: bytes, name: str, most_chars: int) -> Reading:
    """Return what is in a file. Raises Unreadable."""
    if b"%PDF-" in data[:_HEAD]:
        from streaming.files.pdf import pdf_text

        return Reading("pdf", "application/pdf", bounded(pdf_text(data, most_chars), most_chars))
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        from streaming.files.docx import CONTENT_TYPE, docx_text

        return Reading("docx", CONTENT_TYPE, bounded(docx_text(data), most_chars))
    if data.startswith(_OLE):
        raise Unreadable("old_office")
    if data.startswith(_ARCHIVES):
        raise Unreadable("archive")
    return read_text(encodings.decode(data), name, most_chars)


def read_text(text: str | None, name: str, most_chars: int) -> Reading:
    """Return what a text is; its kind by its name, which changes nothing of it. Raises
    Unreadable."""
    if text is None:
        raise Unreadable("unknown_type")
    kind = _kind_of(ending_of(name))
    return Reading(kind, "text/plain", bounded(text, most_chars))


def bounded(text: str, most_chars: int) -> str:
    """Return a text as the record can keep it. Raises Unreadable for one that is too long or
    empty."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "").strip("\n")
    if len(text) > most_chars:
        raise Unreadable("too_much_text", most_chars)
    if not text.strip():
        raise Unreadable("no_text")
    return text.encode("utf-8", "replace").decode()  # no half of a surrogate pair


def _kind_of(ending: str) -> str:
    if ending in _PLAIN:
        return "text"
    if ending in _MARKDOWN:
        return "markdown"
    if ending in _CSV:
        return "csv"
    return "json" if ending in ("json", "jsonl", "ndjson", "geojson") else "code"
