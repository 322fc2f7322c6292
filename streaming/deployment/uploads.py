"""Requests whose bodies are files: which they are, and how large they may be."""

from __future__ import annotations

from django.urls import NoReverseMatch, reverse

from streaming import conf
from streaming.pages.importing.bounds import FORM_BYTES, MEGABYTE

MOST_UPLOADS = 2
"""Files that are received at once. Each is in memory once, when it is handed on."""


def upload_bytes(method: bytes, target: bytes) -> int:
    """Return how many bytes the body of a request may have that brings a file; 0 for all others."""
    if method != b"POST":
        return 0
    path = target.partition(b"?")[0]
    if path == _path("import"):
        return conf.get().max_import_mb * MEGABYTE + FORM_BYTES
    if path in (_path("files"), _path("api:create_file")):
        return conf.get().max_file_mb * MEGABYTE + FORM_BYTES
    return 0


def _path(name: str) -> bytes | None:
    try:
        return reverse(name).encode()
    except NoReverseMatch:  # a project that has no such page
        return None
