"""The text of a PDF, page by page."""

from __future__ import annotations

import io
import logging

from streaming.files.errors import Unreadable

MOST_PAGES = 2000


def pdf_text(data: bytes, most_chars: int) -> str:
    """Return the text of a PDF's pages. Raises Unreadable."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of each oddity of a file
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        # Many are encrypted with an empty password, so that they cannot be changed.
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("encrypted")
        if len(reader.pages) > MOST_PAGES:
            raise Unreadable("too_many_pages", MOST_PAGES)
        return _pages(reader, most_chars)
    except (FileNotDecryptedError, DependencyError):
        raise Unreadable("encrypted") from None
    except (Unreadable, MemoryError):
        raise
    except (RecursionError, LimitReachedError):
        raise Unreadable("too_hard") from None
    except Exception:  # of a stranger's file, the library raises whatever comes
        raise Unreadable("damaged") from None


def _pages(reader: object, most_chars: int) -> str:
    texts, chars = [], 0
    for page in reader.pages:  # type: ignore[attr-defined]
        text = page.extract_text().strip()
        texts.append(text)
        chars += len(text)
        if chars > most_chars:
            raise Unreadable("too_much_text", most_chars)
    return "\n\n".join(text for text in texts if text)
