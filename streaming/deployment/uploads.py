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
    try:
        path = reverse("import").encode()
    except NoReverseMatch:  # a project that has no such page
        return 0
    is_import = target.partition(b"?")[0] == path
    return conf.get().max_import_mb * MEGABYTE + FORM_BYTES if is_import else 0
