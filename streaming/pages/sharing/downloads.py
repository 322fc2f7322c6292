"""Texts that are downloaded as files while they are made."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import translation
from django.utils.http import content_disposition_header

from streaming.record.database import pieces_in_database


def download(
    request: HttpRequest, pieces: Iterator[str], name: str, content_type: str
) -> StreamingHttpResponse:
    """Return a file of that name, whose pieces are made as they are sent, in the language of the
    request."""
    pieces = _in_language(translation.get_language(), pieces)
    # Each server takes the iterator of its kind alone without collecting it first.
    content = pieces_in_database(pieces) if isinstance(request, ASGIRequest) else pieces
    return StreamingHttpResponse(
        content,
        content_type=f"{content_type}; charset=utf-8",
        headers={
            "Content-Disposition": content_disposition_header(True, name) or "attachment",
            "X-Robots-Tag": "noindex",
        },
    )


def _in_language(language: str | None, pieces: Iterator[str]) -> Iterator[str]:
    # The middleware has left by then.
    while True:
        with translation.override(language):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece
